#!/bin/sh
# What programs for a board are linked with: the libraries of Debian for its architecture, as a folder.
#   scripts/sysroot.sh amd64|arm64|armhf|riscv64      makes build/sysroot/ARCH, once
set -eu
cd "$(dirname "$0")/.."
arch=$1
packages="libc6-dev libjansson-dev libedit-dev libwebsockets-dev libssl-dev libcap-dev"
[ "$(cat "build/sysroot/$arch.made" 2>/dev/null)" != "$packages" ] || exit 0
echo "Unpacking Debian's libraries for $arch into build/sysroot/$arch"
# shellcheck disable=SC2086 # packages are words
scripts/foreign.sh "$arch" "build/sysroot/$arch" $packages
echo "$packages" >"build/sysroot/$arch.made"
