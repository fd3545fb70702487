#!/bin/sh
# Measures EdgeLLM beside llama.cpp on one core of this machine (docs/CONFORMANCE.md).
#   make bench-peers       ARGS="--blocks 9 --check": see tools/bench_peers/peers.py
# EDGELLM_VENV=DIR a Python environment with llama_cpp, used as it is; EDGELLM_BUILD=DIR
# programs that are built already.
set -eu
cd "$(dirname "$0")/.."
. tools/conformance/venv.sh
gguf=${EDGELLM_GGUF:-models/SmolLM2-135M-Instruct.Q4_1.gguf}

if [ -n "${EDGELLM_BUILD:-}" ]; then
    build=$EDGELLM_BUILD
else
    build=build/release
    [ -f "$build/CMakeCache.txt" ] || cmake --preset release
    cmake --build "$build" --parallel "$(scripts/jobs.sh)" --target edgellm
fi
[ -f "$gguf" ] || scripts/fetch_model.sh
venv_python
venv_llama_cpp
# ARGS comes from make: words, not one argument.
# shellcheck disable=SC2086
exec "$PYTHON" tools/bench_peers/peers.py --edgellm "$build/edgellm" --gguf "$gguf" \
    --work build/peers ${ARGS:-} "$@"
