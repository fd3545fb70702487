#!/bin/sh
# What tools/test_boards.py needs: the static program for arm64, its init, Debian's kernel.
#   tools/test_boards.sh MODEL
set -eu
cd "$(dirname "$0")/.."
build=build/dist-arm64
scripts/sysroot.sh arm64
cmake --preset dist-arm64 >/dev/null
cmake --build "$build" --target edgellm-core --parallel "$(scripts/jobs.sh)"
aarch64-linux-gnu-strip -o "$build/edgellm" "$build/core/edgellm"
aarch64-linux-gnu-gcc -std=c11 -D_GNU_SOURCE -Os -static -s -Wall -Wextra -o "$build/init" \
    tools/boards/init.c
[ -d build/boards/kernel ] || scripts/foreign.sh --kernel arm64 build/boards/kernel
tools/test_boards.py "$build/edgellm" "$build/init" build/release/edgellm build/boards/kernel "$1" \
    build/boards
