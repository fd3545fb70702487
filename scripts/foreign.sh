#!/bin/sh
# Unpacks Debian packages of another architecture, without installing any, and without rights: apt is
# given a state of its own, so that this machine's packages, their lists and its architectures stay as
# they are. From where this machine's apt takes Debian; signatures are checked.
#   scripts/foreign.sh ARCH FOLDER PACKAGE...      with all that they depend on
#   scripts/foreign.sh --kernel ARCH FOLDER           Linux and its modules alone
# riscv64 is in Debian from 13 (trixie) on: before that it is taken from there. What was downloaded
# stays in build/apt.
set -eu
cd "$(dirname "$0")/.."
kernel=
[ "$1" != --kernel ] || { kernel=y; shift; }
arch=$1 folder=$2
shift 2
if ! command -v apt-get >/dev/null; then
    echo "foreign.sh: this needs apt-get: packages of other machines are taken from Debian" >&2
    exit 1
fi

state=$PWD/build/apt/$arch
mkdir -p "$state/lists/partial" "$state/archives/partial" "$state/sources"
: >"$state/status"
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
from=$release
[ "$arch" != riscv64 ] || [ "$release" != bookworm ] || from=trixie
scripts/debian_sources.sh "$from" "$state/sources"

apt() {
    tool=$1
    shift
    "$tool" -q -o Dir::State="$state" -o Dir::State::Lists="$state/lists" \
        -o Dir::State::status="$state/status" -o Dir::Cache="$state" \
        -o Dir::Cache::archives="$state/archives" -o Dir::Etc::sourcelist=/dev/null \
        -o Dir::Etc::sourceparts="$state/sources" -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Architecture="$arch" -o APT::Architectures="$arch" -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Debug::NoLocking=true "$@"
}

# One list of many may be out of step with its mirror: what is missed then is said below.
apt apt-get update >"$state/log" 2>&1 || true
if [ -n "$kernel" ]; then
    names=$(apt apt-cache depends "linux-image-$arch" 2>>"$state/log" |
        sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p')
    # shellcheck disable=SC2086 # names are words
    (cd "$state/archives" && apt apt-get download $names) >>"$state/log" 2>&1 && status=0 || status=$?
else
    apt apt-get install --download-only --yes --no-install-recommends "$@" >>"$state/log" 2>&1 &&
        status=0 || status=$?
    names=$(apt apt-get install --simulate --no-install-recommends "$@" 2>/dev/null |
        sed -n 's/^Inst \([^ :]*\).*/\1/p')
fi
if [ "$status" != 0 ] || [ -z "$names" ]; then
    echo "foreign.sh: no packages for $arch from here ($state/log):" >&2
    tail -n 5 "$state/log" >&2
    exit 1
fi

rm -rf "$folder.new"
mkdir -p "$folder.new/usr/lib" "$folder.new/usr/bin" "$folder.new/usr/sbin"
for merged in lib bin sbin; do # some packages hold /lib, some /usr/lib, and both mean the latter
    ln -s "usr/$merged" "$folder.new/$merged"
done
for name in $names; do
    # Of several versions that were downloaded, the newest.
    package=$(find "$state/archives" -name "${name}_*.deb" | sort -V | tail -n 1)
    dpkg-deb -x "$package" "$folder.new"
done
# Links to places of that system stay within the folder.
find "$folder.new" -type l -lname '/*' | while read -r link; do
    ln -sfnr "$folder.new$(readlink "$link")" "$link"
done
rm -rf "$folder"
mv "$folder.new" "$folder"
