#!/bin/sh
# The same bits on every instruction set: the hash of a run (tools/run_hash.c), greedy and with
# every sampler on, is compared between all kernels of this CPU, numbers of threads and cuts of the
# prompt, this build on older CPUs under qemu-x86_64, which must choose the level they have, and the
# 64-bit ARM build under qemu-aarch64. On the tiny model of the tests, and, shorter,
# on the real one if it is there. The models are made by this machine's programs: an emulated build
# has the library alone.
#   make test-isa     EDGELLM_BUILD=DIR: programs that are built already
set -eu
cd "$(dirname "$0")/.."
jobs=$(scripts/jobs.sh)
build=${EDGELLM_BUILD:-build/release}
cross=build/aarch64
work=build/isa
real=models/SmolLM2-135M-Instruct.tm2.bin

if [ -z "${EDGELLM_BUILD:-}" ]; then
    [ -f "$build/CMakeCache.txt" ] || cmake --preset release
    cmake --build "$build" --parallel "$jobs" --target programs run_hash
fi
emulator=
if [ "$(uname -m)" = x86_64 ]; then
    for tool in aarch64-linux-gnu-gcc qemu-aarch64 qemu-x86_64; do
        command -v "$tool" >/dev/null && continue
        echo "$tool is missing: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" >&2
        exit 1
    done
    [ -f "$cross/CMakeCache.txt" ] || cmake --preset aarch64
    cmake --build "$cross" --parallel "$jobs" --target run_hash
    emulator=qemu-aarch64
fi
mkdir -p "$work"
"$build/edgellm" quantize tests/data/conformance_tiny.gguf -o "$work/tiny.tm2.bin" --quiet
"$build/edgellm" quantize tests/data/conformance_tiny.gguf -o "$work/tiny3.tm2.bin" --quiet \
    --bits 3 --group 64 --scales byte --calibrate none

here="$build/tools/run_hash"
arm="$cross/tools/run_hash"
threads=1
[ "$(nproc)" -lt 2 ] || threads="1 2"
compared=0
failed=0

# expect WHAT COMMAND...: its one line must be $hash.
expect() {
    what=$1
    shift
    compared=$((compared + 1))
    got=$("$@") || got="no result"
    [ "$got" = "$hash" ] && return
    failed=$((failed + 1))
    echo "FAIL $what: $got, not $hash"
}

# on_old_cpu CPU KERNEL MODEL OPTIONS...: runs on an emulated CPU, where an instruction that it
# lacks ends the program. Of the features qemu gives none of our kernels needs those it warns of.
on_old_cpu() {
    cpu=$1 kernel=$2
    shift 2
    compared=$((compared + 1))
    chosen=$(qemu-x86_64 -cpu "$cpu" "$here" --list 2>/dev/null | tail -n 1) || chosen="no result"
    if [ "$chosen" != "$kernel" ]; then
        failed=$((failed + 1))
        echo "FAIL $cpu under $(qemu-x86_64 --version | head -n 1): chose $chosen, not $kernel;" \
            "before 7.2 qemu has no AVX2"
    fi
    expect "$cpu, $kernel" emulated "$cpu" "$here" "$@" -j 1
}

emulated() {
    cpu=$1
    shift
    qemu-x86_64 -cpu "$cpu" "$@" 2>"$work/warnings" && return
    status=$?
    grep -v "^qemu-x86_64: warning: TCG doesn't support" "$work/warnings" >&2
    return "$status"
}

# on_old_cpus MODEL OPTIONS...: SSE3; SSSE3 without SSE4.1; SSE4.2; AVX; AVX2.
on_old_cpus() {
    [ -n "$emulator" ] || return 0
    on_old_cpu Opteron_G1 scalar "$@"
    on_old_cpu Conroe scalar "$@"
    on_old_cpu Nehalem ssse3 "$@"
    on_old_cpu SandyBridge ssse3 "$@"
    on_old_cpu Haswell avx2 "$@"
}

# compare MODEL OPTIONS...: every way of running one model.
compare() {
    model=$1
    shift
    hash=$("$here" "$model" --kernel scalar "$@")
    for kernel in $("$here" --list); do
        for j in $threads; do
            for batch in 64 7; do
                expect "$kernel, $j threads, batch $batch" \
                    "$here" "$model" --kernel "$kernel" -j "$j" --batch "$batch" "$@"
            done
        done
    done
    if [ -n "$emulator" ]; then
        for j in $threads; do
            expect "aarch64 scalar, $j threads" "$emulator" "$arm" "$model" --kernel scalar -j "$j" "$@"
        done
    fi
    echo "$hash  $(basename "$model") $*"
}

for model in "$work/tiny.tm2.bin" "$work/tiny3.tm2.bin"; do
    compare "$model" --prompt 80 -n 16
    compare "$model" --prompt 80 -n 16 --exact
    compare "$model" --prompt 64 -n 60 --sampled
    on_old_cpus "$model" --prompt 64 -n 60 --sampled
done
[ ! -f "$real" ] || compare "$real" --prompt 9 -n 3

if [ "$failed" != 0 ]; then
    echo "test-isa: $failed of $compared runs have another hash"
    exit 1
fi
echo "test-isa: $compared runs, no hash differs"
