#!/bin/sh
# Holds EdgeLLM to outside judges (docs/CONFORMANCE.md): the tokenizer to Hugging Face's tokenizers
# and to sentencepiece, chats, logits and perplexity to transformers, perplexity to llama.cpp.
#   make conformance                   tokens, chats and logits
#   WIKITEXT=FILE make conformance     and perplexity on the first 40 chunks of that text
# CHUNKS=N fewer chunks; LLAMA_PPL=X llama.cpp's perplexity, not measured; EDGELLM_VENV=DIR a
# Python environment to use as it is; EDGELLM_LLAMA_CPP=DIR llama.cpp's source;
# EDGELLM_BUILD=DIR programs that are built already.
set -eu
cd "$(dirname "$0")/.."
. tools/conformance/venv.sh
gguf=${EDGELLM_GGUF:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
work=build/conformance

if [ -n "${EDGELLM_BUILD:-}" ]; then
    build=$EDGELLM_BUILD
else
    build=build/release
    [ -f "$build/CMakeCache.txt" ] || cmake --preset release
    cmake --build "$build" --parallel "$(scripts/jobs.sh)" \
        --target edgellm dump_logits tokenize_lines chat_lines tool_text
fi
[ -f "$gguf" ] || scripts/fetch_model.sh
venv_python
venv_transformers
mkdir -p "$work"

failed=
judge() {
    echo "== $1"
    shift
    "$@" || failed=1
}

judge "tokens" "$PYTHON" tools/conformance_tokens.py "$gguf" --tool "$build/tests/tokenize_lines"
judge "added tokens" "$PYTHON" tools/conformance_added.py --tool "$build/tests/tokenize_lines" --work "$work"
judge "pieces" "$PYTHON" tools/conformance_pieces.py --tool "$build/tests/tokenize_lines" --work "$work"
venv_source || echo "llama.cpp's source cannot be had: its chat templates and converter are not judged" >&2
judge "chats" "$PYTHON" tools/conformance_chat.py "$gguf" --build "$build" --work "$work" \
    --templates "$TEMPLATES"
judge "committed blocks" sh -c '"$0" tests/data/ggml_blocks.py "$1" && cmp "$1" tests/data/ggml_blocks.bin' \
    "$PYTHON" "$work/ggml_blocks.bin"
judge "committed vectors" "$PYTHON" tools/conformance/vectors.py tests/data
judge "committed embeddings" "$PYTHON" tools/conformance/embeddings.py tests/data
if venv_peft; then
    judge "committed adapters" "$PYTHON" tools/conformance/lora.py tests/data
else
    echo "peft is missing from $PYTHON: adapters are not judged" >&2
    failed=1
fi
judge "models in parts" "$PYTHON" tools/conformance/parts.py tests/data --build "$build" --work "$work"
judge "folders" "$PYTHON" tools/conformance/folders.py --build "$build" --work "$work"
if [ -d "$LLAMA_CPP" ]; then
    judge "converted" "$PYTHON" tools/conformance/converted.py --build "$build" --work "$work" \
        --source "$LLAMA_CPP"
fi
judge "logits" "$PYTHON" tools/conformance/logits.py --build "$build" --work "$work" --gguf "$gguf"
if [ -n "${WIKITEXT:-}" ]; then
    [ -n "${LLAMA_PPL:-}" ] || venv_llama_cpp || echo "llama.cpp is not available" >&2
    judge "perplexity" "$PYTHON" tools/conformance/perplexity.py --build "$build" --work "$work" \
        --gguf "$gguf" --text "$WIKITEXT" --chunks "${CHUNKS:-40}"
else
    echo "== perplexity: not judged; give a text with WIKITEXT=FILE"
fi

if [ -n "$failed" ]; then
    echo "conformance: FAILED"
    exit 1
fi
echo "conformance: passed"
