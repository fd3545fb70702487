#!/bin/sh
# The web page of `edgellm serve` in a browser: the system's Chromium, driven by Playwright's Python
# package (in build/venv, or in EDGELLM_VENV, which is not changed). CHROMIUM=PATH: another one.
set -eu
cd "$(dirname "$0")/.."
. tools/conformance/venv.sh
playwright_version=1.65.2
for name in ${CHROMIUM:-} chromium chromium-browser google-chrome; do
    if browser=$(command -v "$name"); then break; fi
done
if [ -z "$browser" ]; then
    echo "No Chromium: apt-get install chromium (Debian), or say CHROMIUM=/path/to/one" >&2
    exit 1
fi
venv_python
if [ -z "${EDGELLM_VENV:-}" ]; then
    venv_has playwright || venv_pip "playwright==$playwright_version"
fi
exec "$PYTHON" tests/web/test_web.py build/release/edgellm build/release/tests/make_tiny \
    build/web "$browser" "$@"
