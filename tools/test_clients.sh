#!/bin/sh
# `edgellm serve` asked by the packages that people use (tests/clients), in a Python environment with
# them (build/venv, or EDGELLM_VENV, which is not changed), and those of Node (build/node, or
# NODE_PACKAGES, likewise).
set -eu
cd "$(dirname "$0")/.."
. tools/conformance/venv.sh
openai_version=3.57.0
ollama_version=0.6.3
prometheus_client_version=0.26.0
schemathesis_version=4.32.5
jsonschema_version=4.26.0
websockets_version=17.4
openai_node_version=6.49.0
asyncapi_specs_version=6.11.1
venv_python
if [ -z "${EDGELLM_VENV:-}" ]; then
    venv_has jsonschema || venv_pip "jsonschema==$jsonschema_version"
    venv_has openai || venv_pip "openai==$openai_version"
    venv_has yaml || venv_pip PyYAML
    venv_has websockets || venv_pip "websockets==$websockets_version"
    venv_has ollama || venv_pip "ollama==$ollama_version"
    venv_has prometheus_client || venv_pip "prometheus_client==$prometheus_client_version"
    venv_has schemathesis || venv_pip "schemathesis==$schemathesis_version"
fi
if [ -z "${NODE_PACKAGES:-}" ]; then
    NODE_PACKAGES=build/node
    for package in "openai@$openai_node_version" "@asyncapi/specs@$asyncapi_specs_version"; do
        installed=$NODE_PACKAGES/node_modules/${package%@*}/package.json
        grep -qs "\"version\": \"${package##*@}\"" "$installed" ||
            npm install --silent --no-audit --no-fund --prefix "$NODE_PACKAGES" "$package"
    done
fi
export NODE_PACKAGES
for test in tests/clients/test_*.py; do
    "$PYTHON" "$test" build/release/edgellm build/release/tests/make_tiny build/release/tests/clients
done
for test in tests/clients/test_*.mjs; do
    node "$test" build/release/edgellm build/release/tests/make_tiny build/release/tests/clients
done
