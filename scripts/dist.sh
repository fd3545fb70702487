#!/bin/sh
# Release binaries, for boards and for this kind of machine: build/dist/*.tar.gz and their SHA256SUMS.
#   scripts/dist.sh [amd64|arm64|armhf|riscv64]...      all four if none is named
# Two archives each: edgellm-VERSION-linux-ARCH with programs, library and header, for Debian's shared
# libraries, and edgellm-core-VERSION-linux-ARCH, one static program. The same sources give the same
# bytes in every folder: tools/test_dist.sh. EDGELLM_SYSROOTS=FOLDER: where the libraries lie.
set -eu
cd "$(dirname "$0")/.."
umask 022
version=$(sed -n 's/^project(edgellm VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
# The time that all files get: of the last change.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH="$epoch"
jobs=$(scripts/jobs.sh)
out=build/dist

# archive FOLDER: build/dist/FOLDER.tar.gz of build/dist/stage/FOLDER
archive() {
    tar --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --format=gnu \
        --mode=u+rwX,go+rX,go-w -C "$out/stage" -cf - "$1" | gzip -9n >"$out/$1.tar.gz"
}

# papers FOLDER WHOLE: what a lone program is accompanied by, of what the whole has.
papers() {
    mkdir -p "$1/share/doc/edgellm/docs"
    cp LICENSE README.md CHANGELOG.md "$1/share/doc/edgellm"
    cp -R docs/*.md docs/*.yaml docs/boards "$1/share/doc/edgellm/docs"
    cp -R "$2/share/man" "$2/share/bash-completion" "$2/share/zsh" "$2/share/fish" "$1/share"
}

# build_arch ARCH
build_arch() {
    build=build/dist-$1
    whole=edgellm-$version-linux-$1
    core=edgellm-core-$version-linux-$1
    if [ -z "${EDGELLM_SYSROOTS:-}" ]; then
        scripts/sysroot.sh "$1"
        cmake --preset "dist-$1" >/dev/null
    else
        cmake --preset "dist-$1" -DEDGELLM_SYSROOT="$EDGELLM_SYSROOTS/$1" >/dev/null
    fi
    cmake --build "$build" --parallel "$jobs"
    cmake --install "$build" --strip --prefix "$out/stage/$whole" >/dev/null
    cmake --install "$build" --strip --prefix "$out/stage/$core" --component core >/dev/null
    papers "$out/stage/$core" "$out/stage/$whole"
    archive "$whole"
    archive "$core"
}

[ $# -gt 0 ] || set -- amd64 arm64 armhf riscv64
rm -rf "$out"
mkdir -p "$out/stage"
for arch in "$@"; do
    build_arch "$arch"
done
rm -rf "$out/stage"
(cd "$out" && sha256sum -- *.tar.gz >SHA256SUMS && ls -l -- *.tar.gz && cat SHA256SUMS)
