#!/bin/sh
# Makes the default model, models/smollm2-135m-instruct-40mb.tm2.bin, anew, or one of another size
# beside it.      scripts/model.sh path/to/edgellm 40MB
set -eu
edgellm=$(realpath "$1")
size=$2
cd "$(dirname "$0")/.."
target=models/smollm2-135m-instruct-$(echo "$size" | tr '[:upper:]' '[:lower:]').tm2.bin
resume=
[ ! -f "$target.unfinished-edgellm" ] || resume=--resume

scripts/fetch_model.sh
"$edgellm" quantize models/SmolLM2-135M-Instruct.Q4_1.gguf -o "$target" --fit "$size" \
    --sequences 800 --steps 400 --rate 0.001 $resume
