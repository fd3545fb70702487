#!/bin/sh
# The same bits on every instruction set: the hash of a run (tools/run_hash.c), greedy and with
# every sampler on, is compared between all kernels of this CPU, numbers of threads and cuts of the
# prompt, and the kernels of the emulated machines below: older x86-64, 64-bit and 32-bit ARM, RISC-V
# with vectors of several lengths. On the tiny models of the tests, with Gemma's windows and caps, with Phi-3's
# positions, and, shorter, on the real one if it is there. The models are made by this machine's programs: a build for
# another has the library alone. There the tests of the kernels run too, and the levels that are found
# must be those of the table.
#   make test-isa     EDGELLM_BUILD=DIR: programs that are built already
#   tools/test_isa.sh --build     what runs under emulators, and nothing else
set -eu
cd "$(dirname "$0")/.."
jobs=$(scripts/jobs.sh)
build=${EDGELLM_BUILD:-build/release}
work=build/isa
real=models/SmolLM2-135M-Instruct.tm2.bin

# The emulated machines, those that take longest first: the build that runs there, the levels that must
# be found, what runs there beside the tests of the kernels, and the emulator. An instruction that a
# machine lacks ends the program. Before 7.2 qemu has no AVX2.
#   tiny   its best level, also in the tests of the kernels, on the tiny models: the others run on older
#          machines, by the same instructions
#   real   and on the real model, which takes long
#   all    and the other levels too: there is no older machine for them
machines() {
    vector=rv64,v=true,vext_spec=v1.0
    rvv= # a build without Clang leaves this level out
    ! grep -qs '^EDGELLM_RVV_COMPILER:.*=/' build/riscv64/CMakeCache.txt || rvv=,rvv
    cat <<EOF
build/riscv64 scalar$rvv real qemu-riscv64 -cpu $vector,vlen=128
build/riscv64 scalar$rvv tiny qemu-riscv64 -cpu $vector,vlen=1024
build/riscv64 scalar$rvv tiny qemu-riscv64 -cpu $vector,vlen=512
$build scalar,ssse3,avx2 tiny qemu-x86_64 -cpu Haswell
build/riscv64 scalar$rvv tiny qemu-riscv64 -cpu $vector,vlen=256
build/riscv64 scalar$rvv tiny qemu-riscv64 -cpu $vector,vlen=128,rvv_ta_all_1s=true,rvv_ma_all_1s=true
build/armv7 scalar,neon real qemu-arm -cpu cortex-a8
build/aarch64 scalar,neon all qemu-aarch64 -cpu cortex-a53
build/aarch64 scalar,neon,dotprod,i8mm real qemu-aarch64 -cpu max,pauth=off
build/aarch64 scalar,neon,dotprod,i8mm tiny qemu-aarch64 -p 16384 -cpu max,pauth=off
build/armv7 scalar tiny qemu-arm -cpu cortex-a9,neon=off
build/riscv64 scalar tiny qemu-riscv64 -cpu rv64
$build scalar,ssse3 tiny qemu-x86_64 -cpu Nehalem
$build scalar,ssse3 tiny qemu-x86_64 -cpu SandyBridge
build/aarch64 scalar,neon,dotprod tiny qemu-aarch64 -cpu cortex-a76
$build scalar tiny qemu-x86_64 -cpu Conroe
build/aarch64 scalar,neon tiny qemu-aarch64 -cpu cortex-a72
EOF
}

# What is run: a model and run_hash's options.
cases() {
    for model in "$work/tiny.tm2.bin" "$work/tiny3.tm2.bin"; do
        echo "$model --prompt 80 -n 16"
        echo "$model --prompt 66 -n 4 --exact"
        echo "$model --prompt 64 -n 60 --sampled"
    done
    for model in "$work/gemma2.tm2.bin" "$work/gemma3.tm2.bin"; do # far past their windows
        echo "$model --prompt 80 -n 16"
        echo "$model --prompt 80 -n 4 --exact"
    done
    echo "$work/phi3.tm2.bin --prompt 80 -n 4" # long factors
    [ ! -f "$real" ] || echo "$real --prompt 4 -n 2"
}

threads="1 2"
[ "$(nproc)" -gt 1 ] || threads=1
compared=0
failed=0
# expect RESULT OF COMMAND...: the one line that the command prints must be the result.
expect() {
    want=$1 of=$2
    shift 2
    compared=$((compared + 1))
    got=$("$@" </dev/null 2>"$log") || got="no result"
    [ "$got" = "$want" ] && return
    failed=$((failed + 1))
    echo "FAIL $of: $got, not $want"
    grep -v "warning: TCG doesn't support" "$log" || true # features that no kernel asks for
}

# test_passes tiny|real|all COMMAND...
test_passes() {
    [ "$1" = all ] || export EL_TEST_BEST_LEVEL=1
    shift
    EL_TEST_EMULATED=1 "$@" >&2 && echo passed
}
levels_of() { "$@" --list | paste -sd , -; }

# summary NAME: fails if a run has.
summary() {
    echo "$((compared - failed)) of $compared: $1"
    [ "$failed" = 0 ]
}

# Every way of running the cases on this machine. Leaves $work/hashes: a hash before each case.
compare_here() {
    log=$work/here.log
    cases | while read -r model options; do
        # shellcheck disable=SC2086 # options are words
        echo "$("$here" "$model" --kernel scalar $options) $model $options"
    done >"$work/hashes"
    while read -r hash model options; do
        for kernel in $("$here" --list); do
            for how in $(for j in $threads; do echo "$j,64 $j,7"; done); do
                # shellcheck disable=SC2086
                expect "$hash" "$kernel, $model $options, threads and batch $how" "$here" "$model" \
                    --kernel "$kernel" -j "${how%,*}" --batch "${how#*,}" $options
            done
        done
        echo "$hash  $(basename "$model") $options"
    done <"$work/hashes"
    summary "this machine"
}

# emulate BUILD LEVELS tiny|real|all EMULATOR...: one of the machines. The first case has two threads.
emulate() {
    folder=$1 levels=$2 what=$3 j=${threads#* }
    shift 3
    log=$work/$(echo "$*" | tr -c 'a-zA-Z0-9\n' _).log
    expect "$levels" "levels of $*" levels_of "$@" "$folder/tools/run_hash"
    for test in kernels matmul; do
        expect passed "test_$test, $*" test_passes "$what" "$@" "$folder/tests/test_$test"
    done
    while read -r hash model options; do
        kernels=${levels##*,}
        case $what,$model in
        tiny,"$real") continue ;;
        all,"$real") ;;
        all,*) kernels=$levels ;;
        esac
        for kernel in $(echo "$kernels" | tr , ' '); do
            # shellcheck disable=SC2086
            expect "$hash" "$kernel, $model $options, $*" "$@" "$folder/tools/run_hash" "$model" \
                --kernel "$kernel" -j "$j" $options
        done
        j=1
    done <"$work/hashes"
    summary "$*"
}

# needs COMPILER EMULATOR PACKAGES: both are there.
needs() {
    for tool in "$1" "$2"; do
        command -v "$tool" >/dev/null && continue
        echo "$tool is missing: apt-get install qemu-user $3" >&2
        exit 1
    done
}

# cross: builds what runs there. To configure takes one core, and time.
cross() {
    needs aarch64-linux-gnu-gcc qemu-aarch64 "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
    needs riscv64-linux-gnu-gcc qemu-riscv64 "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross"
    needs arm-linux-gnueabihf-gcc qemu-arm "gcc-arm-linux-gnueabihf libc6-dev-armhf-cross"
    # Also where an older one has left a folder.
    printf '%s\n' aarch64 riscv64 armv7 | xargs -P "$jobs" -n 1 cmake --preset >/dev/null
    for preset in aarch64 riscv64 armv7; do
        cmake --build "build/$preset" --parallel "$jobs" --target run_hash test_kernels test_matmul
    done
}

here="$build/tools/run_hash"
if [ "${1:-}" = --build ]; then
    [ "$(uname -m)" != x86_64 ] || cross
    exit
fi
if [ "${1:-}" = --machine ]; then
    shift
    emulate "$@"
    exit
fi
if [ -z "${EDGELLM_BUILD:-}" ]; then
    [ -f "$build/CMakeCache.txt" ] || cmake --preset release
    cmake --build "$build" --parallel "$jobs" --target programs run_hash test_kernels test_matmul
fi
mkdir -p "$work"
"$build/edgellm" quantize tests/data/conformance_tiny.gguf -o "$work/tiny.tm2.bin" --quiet
"$build/edgellm" quantize tests/data/conformance_tiny.gguf -o "$work/tiny3.tm2.bin" --quiet \
    --bits 3 --group 64 --scales byte --calibrate none
for name in gemma2 gemma3 phi3; do
    "$build/edgellm" quantize "tests/data/conformance_$name.gguf" -o "$work/$name.tm2.bin" --quiet
done
status=0
compare_here || status=1
if [ "$(uname -m)" = x86_64 ]; then
    cross
    machines | xargs -P "$jobs" -L 1 tools/test_isa.sh --machine || status=1
fi
[ "$status" = 0 ] || echo "test-isa: some runs have another result"
exit "$status"
