#!/bin/sh
# The Python package as a wheel, with the library that build/release has; with `test`: installed, tested, its types checked.
#   tools/wheel.sh [test]
set -eu
cd "$(dirname "$0")/.."
work=build/wheel
venv=build/venv-wheel

tools() {
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r python/requirements.txt
}

make_wheel() {
    rm -rf "$work"
    mkdir -p "$work"
    cp -R python "$work/source"
    cp -L build/release/libedgellm.so "$work/source/src/edgellm/libedgellm.so.0.1"
    strip --strip-unneeded "$work/source/src/edgellm/libedgellm.so.0.1"
    "$venv/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps \
        --wheel-dir "$work" "$work/source"
    rm -rf "$work/source"
    ls "$work"/*.whl
}

# In an environment of its own: nothing of the source folder is seen.
test_wheel() {
    rm -rf "$work/venv"
    python3 -m venv "$work/venv"
    "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index "$work"/*.whl
    "$work/venv/bin/python" tests/test_python.py build/release/edgellm build/release/tests/make_tiny installed cc "$work/test"
    "$venv/bin/python" -m mypy --strict python/src/edgellm
}

tools
case ${1:-} in
test) test_wheel ;;
*) make_wheel ;;
esac
