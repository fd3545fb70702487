#!/usr/bin/env bash
# Runs the fuzz targets (tests/fuzz, CONTRIBUTING.md).
#   tools/fuzz.sh run [TARGET...]         each for FUZZ_SECONDS (60), FUZZ_JOBS at once (a core each)
#   tools/fuzz.sh build [TARGET...]       what `run` begins with
#   tools/fuzz.sh minimise [TARGET...]    writes the committed corpora again: the seeds, and of what
#                                         runs have found since what reaches more than they do
#   tools/fuzz.sh coverage [TARGET...]    lines of the code behind each target that its corpus reaches
# A finding ends a run with an exit code of 1, the input in build/fuzz/findings/TARGET and the
# command that reproduces it. New inputs collect in build/fuzz/corpus/TARGET.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-60}
jobs=${FUZZ_JOBS:-$(nproc)}
source=tests/fuzz
work=build/fuzz

# The longest input of a target, in bytes: large enough for a whole small model or a long text.
declare -A longest=([gguf]=12288 [tm2]=12288 [token]=1024 [chat]=1024 [args]=1024 [session]=4096 [http]=1024
    [certificate]=4096 [ask]=4096 [schema]=2048 [folder]=8192 [grammar]=1024 [tma]=8192 [adapter]=8192
    [source]=12288)
# The files whose lines count for a target.
declare -A behind=(
    [gguf]='src/format/(gguf|ggml|checks)|src/quant/'
    [tm2]='src/format/(tm2|checks)|src/model/|src/engine/(engine|session|text)\.c'
    [token]='src/token/(bpe|chars|lookup|names|pretoken|spm|tokenizer|unigram)\.'
    [chat]='src/token/chat(_forms)?\.'
    [args]='src/cli/cli_options'
    [session]='src/engine/session_file|src/sample/saved|src/model/cache'
    [http]='src/cli/bench_http_events'
    [certificate]='src/cli/cli_(certificate|board)'
    [grammar]='src/grammar/'
    [ask]='src/server/(ask|json_limits|problem|out)'
    [schema]='src/schema/'
    [folder]='src/folder/'
    [tma]='src/format/tma'
    [adapter]='src/quant/adapter|src/folder/folder_adapter'
    [source]='src/train/source'
)

die() { echo "fuzz.sh: $*" >&2; exit 2; }
targets() { # the targets named, or all
    local name
    [ $# -gt 0 ] || set -- gguf tm2 token chat args session http certificate ask schema grammar folder tma adapter source
    for name in "$@"; do
        [ -n "${longest[$name]:-}" ] || die "there is no target '$name'"
        echo "$name"
    done
}
compile() { # compile PRESET_FOLDER TARGET...
    [ -f "$1/CMakeCache.txt" ] || cmake --preset fuzz
    cmake --build "$1" --parallel "$(scripts/jobs.sh)" --target "${@:2}"
}
inputs() { # the committed folders of a target
    echo "$source/corpus/$1"
    [ ! -d "$source/findings/$1" ] || echo "$source/findings/$1"
}

fuzz_one() {
    local name=$1 program=$work/tests/fuzz/fuzz_$1 log=$work/log/$1 found=$work/findings/$1
    mkdir -p "$work/corpus/$name" "$found" "$work/log"
    local dictionary=()
    [ ! -f "$source/$name.dict" ] || dictionary=("-dict=$source/$name.dict")
    if nice "$program" -max_total_time="$seconds" -max_len="${longest[$name]}" -timeout=20 \
        -rss_limit_mb=1024 -artifact_prefix="$found/" -print_final_stats=1 "${dictionary[@]}" \
        "$work/corpus/$name" $(inputs "$name") >"$log" 2>&1; then
        awk -v name="$name" '/^#[0-9]+.*DONE/ { done = $0 } /number_of_executed_units/ { runs = $2 }
            END { printf "%-11s clean: %s runs; %s\n", name, runs, done }' "$log"
        return 0
    fi
    grep -E 'ERROR|does not hold|SUMMARY|runtime error' "$log" | head -5 >&2 || tail -5 "$log" >&2
    sed -n "s|.*Test unit written to \(.*\)|$name: a finding; to reproduce it:\n    $program \1|p" "$log" >&2
    return 1
}

build() {
    local names
    names=$(targets "$@")
    compile "$work" $(printf 'fuzz_%s ' $names)
}

run() {
    local names failed=0
    names=$(targets "$@")
    build $names
    for name in $names; do
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || failed=1; done
        fuzz_one "$name" &
    done
    while [ -n "$(jobs -p)" ]; do wait -n || failed=1; done
    return $failed
}

minimise() {
    local names name small seeds=$work/seeds
    names=$(targets "$@")
    compile "$work" make_seeds $(printf 'fuzz_%s ' $names)
    rm -rf "$seeds"
    "$work/tests/fuzz/make_seeds" "$seeds"
    for name in $names; do
        mkdir -p "$work/corpus/$name"
        small=$(mktemp -d)
        cp "$seeds/$name"/* "$small/" # these stay, and of the others what adds to them
        # Edges alone decide (not how often each was taken): a corpus that stays small enough.
        nice "$work/tests/fuzz/fuzz_$name" -merge=1 -use_counters=0 -max_len="${longest[$name]}" \
            "$small" "$source/corpus/$name" "$work/corpus/$name" >"$work/minimise.log" 2>&1
        rm -rf "${source:?}/corpus/$name"
        mkdir -p "$source/corpus/$name"
        cp "$small"/* "$source/corpus/$name/"
        rm -rf "$small"
        echo "$name: $(find "$source/corpus/$name" -type f | wc -l) inputs," \
            "$(du -bs "$source/corpus/$name" | cut -f1) bytes"
    done
}

coverage() {
    local names name folder=build/fuzz-coverage
    names=$(targets "$@")
    cmake --preset fuzz -B "$folder" -DEDGELLM_SANITIZE= -DEDGELLM_FUZZ=OFF \
        -DCMAKE_C_FLAGS="-O1 -g -fprofile-instr-generate -fcoverage-mapping" >/dev/null
    compile "$folder" $(printf 'replay_%s ' $names)
    for name in $names; do
        LLVM_PROFILE_FILE=$folder/$name.raw "$folder/tests/fuzz/replay_$name" $(inputs "$name") \
            >/dev/null
        llvm-profdata merge -o "$folder/$name.profile" "$folder/$name.raw"
        echo "$name:"
        llvm-cov report "$folder/tests/fuzz/replay_$name" -instr-profile="$folder/$name.profile" |
            awk -v behind="${behind[$name]}" '
                NF >= 10 { file = "src/" $1; sub(/^.*src\//, "src/", file) }
                NF >= 10 && file ~ behind { printf "    %-36s %4d of %4d lines, %s\n",
                                            file, $8 - $9, $8, $10 }'
    done
}

command=${1:-run}
[ $# -eq 0 ] || shift
case $command in
run | build | minimise | coverage) "$command" "$@" ;;
*) die "run, build, minimise or coverage, not '$command'" ;;
esac
