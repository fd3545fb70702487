# Sourced by tools/conformance.sh and tools/bench_peers.sh, in the root of the repository.
#   venv_python         sets PYTHON: of EDGELLM_VENV if that is given, else of build/venv
#   venv_transformers   installs numpy, gguf, tokenizers, transformers and torch into build/venv
#   venv_peft           installs peft into it
#   venv_llama_cpp      builds llama-cpp-python into it, for this machine's processor
#   venv_source         sets LLAMA_CPP: llama.cpp's source in that package, and TEMPLATES: its chat
#                       templates
# What is there already is not fetched again. An environment given by EDGELLM_VENV is never
# changed.
torch_version=2.15.0
torch_index=https://download.pytorch.org/whl/cpu
llama_cpp_version=0.3.36
peft_version=0.21.2
accelerate_version=1.15.0

venv_make() {
    python3 -m venv build/venv && return
    rm -rf build/venv
    line="apt-get install -y --no-install-recommends python3-venv"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        $line && python3 -m venv build/venv
    else
        echo "Python's venv module is missing. Run this once:  sudo $line" >&2
        return 1
    fi
}

venv_python() {
    if [ -n "${EDGELLM_VENV:-}" ]; then
        PYTHON=$EDGELLM_VENV/bin/python
        return
    fi
    mkdir -p build
    [ -x build/venv/bin/python ] || venv_make
    PYTHON=build/venv/bin/python
}

venv_pip() { "$PYTHON" -m pip --disable-pip-version-check install --quiet "$@"; }
venv_has() { "$PYTHON" -c "import $1" >/dev/null 2>&1; }

# The CPU build where its index can be reached (about 200 MB). PyPI has only the CUDA build: 540 MB
# without the 2.5 GB of libraries it asks for, for which cuda_standins.py stands in.
venv_torch() {
    venv_has torch && return
    if "$PYTHON" -m pip --disable-pip-version-check --retries 1 --timeout 20 install --quiet \
        --no-deps --index-url "$torch_index" "torch==$torch_version" 2>/dev/null; then
        venv_has torch && return
    fi
    echo "No CPU build of torch at $torch_index: taking PyPI's without its CUDA libraries" >&2
    venv_pip --no-deps "torch==$torch_version"
    "$PYTHON" tools/conformance/cuda_standins.py
}

venv_transformers() {
    if [ -z "${EDGELLM_VENV:-}" ]; then
        stamp=build/venv/requirements.txt
        if ! cmp -s tools/conformance/requirements.txt "$stamp"; then
            echo "Installing transformers and torch into build/venv" >&2
            venv_pip -r tools/conformance/requirements.txt
            cp tools/conformance/requirements.txt "$stamp"
        fi
        venv_torch
    fi
    "$PYTHON" -c "import gguf, numpy, tokenizers, torch, transformers"
}

# Without what they ask for: transformers brought it, but for torch, which is there.
venv_peft() {
    if [ -z "${EDGELLM_VENV:-}" ] && ! venv_has peft; then
        venv_pip --no-deps "peft==$peft_version" "accelerate==$accelerate_version"
    fi
    venv_has peft
}

venv_llama_cpp() {
    if [ -z "${EDGELLM_VENV:-}" ] && ! venv_has llama_cpp; then
        echo "Building llama-cpp-python $llama_cpp_version for this machine (minutes)" >&2
        (
            export CMAKE_ARGS="-DGGML_NATIVE=ON"
            export CMAKE_BUILD_PARALLEL_LEVEL="$(scripts/jobs.sh)"
            venv_pip --no-cache-dir --no-binary llama-cpp-python \
                "llama-cpp-python==$llama_cpp_version"
        )
    fi
    "$PYTHON" -c "import llama_cpp"
}

venv_source() {
    LLAMA_CPP=${EDGELLM_LLAMA_CPP:-build/conformance/llama.cpp}
    TEMPLATES=$LLAMA_CPP/models/templates
    if [ -n "${EDGELLM_LLAMA_CPP:-}" ] || [ -d "$LLAMA_CPP" ]; then return; fi
    source=build/conformance/llama-cpp-python
    "$PYTHON" -m pip --disable-pip-version-check download --quiet --no-deps --dest "$source" \
        --no-binary llama-cpp-python "llama-cpp-python==$llama_cpp_version" || return
    mkdir -p "$LLAMA_CPP.part"
    tar -xzf "$source/llama_cpp_python-$llama_cpp_version.tar.gz" -C "$LLAMA_CPP.part" \
        --wildcards --strip-components=3 '*/llama.cpp/models/templates/*.jinja' \
        '*/llama.cpp/convert_hf_to_gguf.py' '*/llama.cpp/conversion/*' '*/llama.cpp/gguf-py/*'
    mv "$LLAMA_CPP.part" "$LLAMA_CPP"
    rm -r "$source"
}
