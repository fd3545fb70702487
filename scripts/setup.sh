#!/bin/sh
# Installs the system packages that are missing, and asks nobody if none is.
#   scripts/setup.sh [--test | --web | --clients | --examples | --scale | --lint | --fuzz | --ci | --mca | --quality | --dist | --boards | --deb | --roots | --apt | --image | --wheel | --site]
#       also what `make test` needs; what `make test-web`, `make test-clients`, `make test-examples`,
#       `make test-scale`, `make lint`, `make fuzz` need; what .ci/run needs, that is what test, lint and fuzz need and more; what `make mca` needs, the text that `make
#       quality` reads, what `make dist`, `make test-boards`, `make deb`, `make test-deb`, `make apt-repo` and `make test-image` need;
#       also what `make wheel` needs; what `make site` needs and nothing else
# Each line of the tables is a package and the command that proves it is there, so that tools
# installed by other means count, and nothing is asked of apt when all is well.
set -eu
cd "$(dirname "$0")/.."

compiles() { echo '#include <stdio.h>
int main(void) { return 0; }' | "${CC:-cc}" -x c -o /dev/null - 2>/dev/null; }
recent_cmake() {
    cmake --version 2>/dev/null | awk '
        NR == 1 { split($3, v, "."); recent = v[1] > 3 || (v[1] == 3 && v[2] >= 22) }
        END { exit !recent }'
}
has() { command -v "$1" >/dev/null 2>&1; }
has_in_sbin() { PATH=$PATH:/usr/sbin has "$1"; }
openblas() { library openblas || library blas-openblas; }
library() { pkg-config --exists "$1" 2>/dev/null; }
fuzzes() { echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n);
int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d[0] + (int)n; }' |
    clang -fsanitize=fuzzer,address -x c -o /dev/null - 2>/dev/null; }
exists() { [ -e "$1" ]; }
broker() { has mosquitto || exists /usr/sbin/mosquitto; }
browser() { has "${CHROMIUM:-chromium}" || has chromium-browser || has google-chrome; }
venv() { python3 -c 'import importlib.util as u; exit(u.find_spec("ensurepip") is None)'; }
pip() { python3 -c 'import importlib.util as u; exit(u.find_spec("pip") is None)'; }

packages="
gcc:compiles
libc6-dev:compiles
make:has make
cmake:recent_cmake
pkg-config:has pkg-config
libjansson-dev:library jansson
libedit-dev:library libedit
libopenblas-dev:openblas
liblapacke-dev:library lapacke
libcmocka-dev:library cmocka
python3:has python3
python3-pip:pip
"
test_packages="
g++:has c++
libarchive-dev:library libarchive
libcurl4-openssl-dev:library libcurl
libwebsockets-dev:library libwebsockets
libssl-dev:library openssl
"
web_packages="
chromium:browser
"
scale_packages="
nginx:has_in_sbin nginx
haproxy:has_in_sbin haproxy
"
clients_packages="
nodejs:has node
npm:has npm
"
examples_packages="
mosquitto:broker
mosquitto-clients:has mosquitto_pub
"
lint_packages="
clang:has clang
clang-tidy:has clang-tidy
cppcheck:has cppcheck
"
ci_packages="
clang-format:has clang-format
valgrind:has valgrind
strace:has strace
ninja-build:has ninja
ccache:has ccache
"
# To build for other processors and emulate them.
cross_packages="
qemu-user:has qemu-aarch64
gcc-aarch64-linux-gnu:has aarch64-linux-gnu-gcc
libc6-dev-arm64-cross:exists /usr/aarch64-linux-gnu/include/stdio.h
gcc-arm-linux-gnueabihf:has arm-linux-gnueabihf-gcc
libc6-dev-armhf-cross:exists /usr/arm-linux-gnueabihf/include/stdio.h
gcc-riscv64-linux-gnu:has riscv64-linux-gnu-gcc
libc6-dev-riscv64-cross:exists /usr/riscv64-linux-gnu/include/stdio.h
clang-19:has clang-19
"
# To build for other processors, all of it against their own libraries.
dist_packages="
gcc:compiles
make:has make
cmake:recent_cmake
pkg-config:has pkg-config
git:has git
python3:has python3
"
deb_packages="
git:has git
dpkg-dev:has dpkg-buildpackage
debhelper:has dh
lintian:has lintian
systemd:has systemd-analyze
libcap-dev:exists /usr/include/sys/capability.h
"
# To make roots of Debian's, build packages in them and try these.
roots_packages="
debootstrap:has_in_sbin debootstrap
python3:has python3
curl:has curl
"
apt_packages="
dpkg-dev:has dpkg-deb
apt-utils:has apt-ftparchive
gpg:has gpg
gpg-agent:has gpg-agent
"
image_packages="
curl:has curl
skopeo:has skopeo
umoci:has umoci
"
boards_packages="
qemu-system-arm:has qemu-system-aarch64
e2fsprogs:has_in_sbin mke2fs
"
fuzz_packages="
clang:has clang
libclang-rt-14-dev:fuzzes
llvm:has llvm-cov
"
mca_packages="
python3:has python3
llvm-19:has llvm-mca-19
clang-19:has clang-19
gcc-aarch64-linux-gnu:has aarch64-linux-gnu-gcc
libc6-dev-arm64-cross:exists /usr/aarch64-linux-gnu/include/stdio.h
gcc-riscv64-linux-gnu:has riscv64-linux-gnu-gcc
libc6-dev-riscv64-cross:exists /usr/riscv64-linux-gnu/include/stdio.h
"
venv_packages="
python3:has python3
python3-venv:venv
"
quality_packages="
git-doc:exists /usr/share/doc/git-doc/git-add.txt
"
[ "$(uname -m)" = x86_64 ] || cross_packages=
[ "$(uname -m)" = x86_64 ] || mca_packages="$mca_packages
gcc-x86-64-linux-gnu:has x86_64-linux-gnu-gcc
libc6-dev-amd64-cross:exists /usr/x86_64-linux-gnu/include/stdio.h
"

missing=
list=$packages
case "${1:-}" in
--test) list="$packages$test_packages" ;;
--web) list="$packages$test_packages$web_packages" ;;
--scale) list="$packages$test_packages$scale_packages" ;;
--clients) list="$packages$test_packages$clients_packages" ;;
--examples) list="$packages$test_packages$examples_packages" ;;
--lint) list="$packages$test_packages$lint_packages" ;;
--fuzz) list="$packages$fuzz_packages" ;;
--mca) list=$mca_packages ;;
--quality) list=$quality_packages ;;
--dist) list="$dist_packages$cross_packages" ;;
--deb) list="$packages$test_packages$deb_packages" ;;
--roots) list=$roots_packages ;;
--apt) list=$apt_packages ;;
--image) list="$dist_packages$cross_packages$image_packages" ;;
--boards) list="$dist_packages$cross_packages$boards_packages" ;;
--wheel) list="$packages$venv_packages" ;;
--site) list=$venv_packages ;;
--ci) list="$packages$test_packages$lint_packages$fuzz_packages$ci_packages$cross_packages" ;;
esac
while IFS=: read -r package check; do
    [ -n "$package" ] || continue
    $check >/dev/null 2>&1 </dev/null || missing="$missing $package"
done <<LIST
$list
LIST
[ -n "$missing" ] || exit 0

line="apt-get install -y --no-install-recommends$missing"
install() {
    echo "Installing packages:$missing"
    $1 sh -c "DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND; apt-get update && $line"
}
refuse() {
    echo "These packages are missing:$missing" >&2
    if has apt-get; then
        echo "Run this once, then try again:" >&2
        echo "  sudo $line" >&2
    else
        echo "Install them, or what your system calls them, then try again." >&2
    fi
    exit 1
}

has apt-get || refuse
if [ "$(id -u)" = 0 ]; then
    install ""
elif has sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
    install sudo || refuse
else
    refuse
fi
