#!/bin/sh
# A container image of static programs and nothing else, made without a container engine: an OCI layout
# in build/image/edgellm, for amd64 and arm64 (docs/BOARDS.md). The same sources give the same bytes.
#   scripts/image.sh [ARCH]...      both if none is named
#   MODEL=FILE: a second layer with that model, which the image then serves
set -eu
cd "$(dirname "$0")/.."
umask 022
version=$(sed -n 's/^project(edgellm VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
jobs=$(scripts/jobs.sh)
out=build/image

# root ARCH TRIPLE: what the image for it holds, in build/image/ARCH.
root() {
    scripts/sysroot.sh "$1"
    cmake --preset "dist-$1" >/dev/null
    cmake --build "build/dist-$1" --target static_programs --parallel "$jobs"
    folder=$out/$1
    mkdir -p "$folder/usr/bin" "$folder/usr/libexec/edgellm" "$folder/etc" "$folder/usr/share/doc/edgellm"
    "$2-strip" -o "$folder/usr/bin/edgellm" "build/dist-$1/core/edgellm"
    for program in serve batch; do
        "$2-strip" -o "$folder/usr/libexec/edgellm/edgellm-$program" "build/dist-$1/core/edgellm-$program"
    done
    echo 'edgellm:x:65532:65532::/:' >"$folder/etc/passwd"
    echo 'edgellm:x:65532:' >"$folder/etc/group"
    cp LICENSE "$folder/usr/share/doc/edgellm"
    # Licences of what is linked in.
    for library in libwebsockets-dev libssl-dev libcap-dev libjansson-dev libc6-dev; do
        mkdir -p "$folder/usr/share/doc/$library"
        cp "build/sysroot/$1/usr/share/doc/$library/copyright" "$folder/usr/share/doc/$library"
    done
}

[ $# -gt 0 ] || set -- amd64 arm64
rm -rf "$out"
mkdir -p "$out"
images=
for arch in "$@"; do
    case $arch in
    amd64) root amd64 x86_64-linux-gnu ;;
    arm64) root arm64 aarch64-linux-gnu ;;
    *) echo "image.sh: $arch: images are for amd64 and arm64" >&2 && exit 1 ;;
    esac
    images="$images $arch=$out/$arch"
done
# shellcheck disable=SC2086 # images are words
python3 scripts/oci_layout.py "$out/edgellm" "$version" "$epoch" ${MODEL:+--model "$MODEL"} $images
