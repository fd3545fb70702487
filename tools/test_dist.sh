#!/bin/sh
# What `make dist` makes, looked at as a stranger would: unpacked, run under emulators of the smallest
# processor that it is for, and held to the answers of this machine's build: tokens, text, logits' hash,
# what is refused. Are the bytes those that anybody gets? tools/test_repro.sh
#   tools/test_dist.sh [ARCH]...      all four if none is named; after scripts/dist.sh of the same
#   EDGELLM_BUILD=DIR: programs for this machine that are built already
set -eu
cd "$(dirname "$0")/.."
root=$PWD
here=${EDGELLM_BUILD:-build/release}/edgellm
dist=$root/build/dist
work=$root/build/test-dist
real=$root/models/SmolLM2-135M-Instruct.tm2.bin
version=$(sed -n 's/^project(edgellm VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
most=2500000 # bytes of the static program
failed=0
[ $# -gt 0 ] || set -- amd64 arm64 armhf riscv64

# expect WHAT WANTED FOUND
expect() {
    [ "$2" = "$3" ] && return
    failed=$((failed + 1))
    printf 'FAIL %s: expected\n%s\nfound\n%s\n' "$1" "$2" "$3"
}
# contains WHAT PART TEXT
contains() {
    case $3 in *"$2"*) return ;; esac
    failed=$((failed + 1))
    printf 'FAIL %s: no "%s" in\n%s\n' "$1" "$2" "$3"
}

emulator() {
    case $1 in
    amd64) ;;
    arm64) echo qemu-aarch64 -cpu cortex-a53 ;;
    armhf) echo qemu-arm -cpu cortex-a8 ;;
    riscv64) echo qemu-riscv64 -cpu rv64 ;;
    esac
}

# answer RUNNER PROGRAM MODEL: ids, text and hash of a short one.
answer() {
    # shellcheck disable=SC2086 # the runner is words
    $1 "$2" run "$3" --raw -p "The lighthouse keeper" -n 8 -s 3 --ignore-eos --hash --json -q |
        python3 -c 'import json, sys
j = json.load(sys.stdin)
print(j["tokens"], repr(j["text"]), j["hash"])'
}

# answers RUNNER PROGRAM: what must be the same on all machines, by small models.
answers() {
    run=$1 program=$2
    answer "$run" "$program" "$work/tiny.tm2.bin"
    # shellcheck disable=SC2086
    {
        $run "$program" tokenize "$work/tiny.tm2.bin" "Grüße, 世界!"
        $run "$program" perplexity "$work/tiny.tm2.bin" "$work/text" -c 64 --json |
            sed -n 's/.*\("ppl": *[0-9.e+-]*\).*/\1/p'
        echo "the quick brown fox" | $run "$program" chat "$work/chat.tm2.bin" -n 8 -s 3 -q --no-history
    }
}

# What the static program does beside that.
check_core() {
    bytes=$(wc -c <"$core")
    [ "$bytes" -le "$most" ] || expect "size of core, $1" "$most at most" "$bytes"
    case $(file -b "$core") in
    *dynamically*) expect "core, $1" static "$(file -b "$core")" ;;
    esac
    expect "core, $1" "$known" "$(answers "$run" "$core" 2>&1)"
    [ ! -f "$real" ] ||
        expect "core, $1, the real model" "$known_real" "$(answer "$run" "$core" "$real" 2>&1)"
    # shellcheck disable=SC2086
    contains "bench, $1" '"decode' \
        "$($run "$core" bench "$work/tiny.tm2.bin" --runs 1 -p 4 -n 2 -j 1 --json 2>&1)"
    # shellcheck disable=SC2086
    contains "info, $1" "KV cache" "$($run "$core" info "$work/tiny.tm2.bin" 2>&1)"
    # shellcheck disable=SC2086
    contains "a command of its own, $1" "the server is not installed" "$($run "$core" serve 2>&1)"
}

# The archive with shared libraries: on another machine its libraries are those it was linked with.
check_whole() {
    shared=$run
    [ -z "$run" ] || shared="$run -L $root/build/sysroot/$1"
    expect "programs, $1" "$known" "$(answers "$shared" "$whole/bin/edgellm" 2>&1)"
    for program in "$whole"/libexec/edgellm/*; do
        # shellcheck disable=SC2086
        contains "$(basename "$program"), $1" "usage: edgellm " "$($shared "$program" --help 2>&1)"
    done
    for name in include/edgellm.h lib/libedgellm.a lib/libedgellm.so lib/pkgconfig/edgellm.pc \
        libexec/edgellm/edgellm-batch share/doc/edgellm/README.md share/doc/edgellm/LICENSE; do
        [ -e "$whole/$name" ] || expect "archive for $1" "$name" "$(find "$whole" -type f)"
    done
}

check_arm64() { # no atomics that ask for the processor, or need ARMv8.1
    expect "outlined atomics" "" "$(nm "$whole/lib/libedgellm.a" 2>/dev/null | grep __aarch64_ || true)"
}

check_armhf() {
    expect "times of 32 bits" "" "$(readelf --dyn-syms -W "$whole/lib/libedgellm.so" |
        grep -o ' clock_gettime@.*' || true)"
    old="qemu-arm -cpu cortex-a9,neon=off"
    expect "without NEON" "$known" "$(answers "$old" "$core" 2>&1)"
    contains "without NEON" "it has no NEON" "$($old "$core" info "$work/tiny.tm2.bin" 2>&1)"
    truncate -s 1500000001 "$work/large.tm2.bin"
    contains "a large file" "has 1500000001 bytes, but in 32 bits there is room for files of 1.5 GB" \
        "$($run "$core" info "$work/large.tm2.bin" 2>&1)"
}

# check ARCH
check() {
    run=$(emulator "$1")
    rm -rf "$work/$1"
    mkdir -p "$work/$1"
    for archive in "$dist"/*"$version-linux-$1.tar.gz"; do
        tar -xzf "$archive" -C "$work/$1"
    done
    whole=$work/$1/edgellm-$version-linux-$1
    core=$work/$1/edgellm-core-$version-linux-$1/bin/edgellm
    check_core "$1"
    check_whole "$1"
    case $1 in arm64 | armhf) "check_$1" ;; esac
    echo "$1: core $(wc -c <"$core") bytes, $failed failures so far"
}

mkdir -p "$work"
"$here" quantize tests/data/conformance_tiny.gguf -o "$work/tiny.tm2.bin" --quiet
"$(dirname "$here")/tests/make_tiny" "$work/chat.gguf"
"$here" quantize "$work/chat.gguf" -o "$work/chat.tm2.bin" --quiet
cp tests/text/plain.txt "$work/text"
(cd "$dist" && sha256sum --quiet -c SHA256SUMS) || failed=1
known=$(answers "" "$here" 2>&1)
[ ! -f "$real" ] || known_real=$(answer "" "$here" "$real" 2>&1)
printf '%s\n' "$known" "${known_real:-}"
for arch in "$@"; do
    check "$arch"
done

[ "$failed" = 0 ] || { echo "test-dist: $failed failures" && exit 1; }
echo "test-dist: all is well"
