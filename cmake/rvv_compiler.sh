#!/bin/sh
# A compiler launcher: compiles the files of the vector level of RISC-V with CLANG, all others as
# they would be without it (rvv.cmake).
#   rvv_compiler.sh CLANG --target=TRIPLE COMPILER ARGUMENTS...
clang=$1 target=$2
shift 2
case "$*" in
*_rvv.c)
    shift
    exec "$clang" "$target" "$@"
    ;;
esac
exec "$@"
