#!/bin/sh
# Makes a TM2 file of the source's weights as they are, if it is missing, older than the source, or of
# a format this program no longer reads.      scripts/source.sh path/to/edgellm
set -eu
edgellm=$(realpath "$1")
cd "$(dirname "$0")/.."
gguf=models/SmolLM2-135M-Instruct.Q4_1.gguf
tm2=models/SmolLM2-135M-Instruct.tm2.bin

if [ -f "$tm2" ] && ! [ "$gguf" -nt "$tm2" ] && "$edgellm" info "$tm2" >/dev/null 2>&1; then
    exit 0
fi
scripts/fetch_model.sh
"$edgellm" quantize "$gguf" -o "$tm2"
