#!/usr/bin/env bash
# tools/distil in a Python environment with PyTorch (build/venv, or EDGELLM_VENV).
#   tools/distil.sh test                        the tests of the package, on tiny models
#   tools/distil.sh prepare | write | train ... the package
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/conformance/venv.sh
venv_python
if [ -z "${EDGELLM_VENV:-}" ]; then
    venv_has sympy && venv_has matplotlib || venv_pip numpy matplotlib sympy # torch asks for sympy
    venv_torch
fi
if [ "${1:-}" = test ]; then
    exec "$PYTHON" tests/distil/test_distil.py build/release/edgellm build/release/libedgellm.so \
        build/release/tests/distil
fi
PYTHONPATH=tools exec "$PYTHON" -m distil "$@"
