#!/bin/sh
# Two servers of a tiny model behind nginx and behind HAProxy, with packaging/'s files; and its manifests
# for Kubernetes against Kubernetes' schemas (the package kubernetes-validate, in build/venv or EDGELLM_VENV).
#   tools/test_scale.sh [TEST...]     such as Nginx.test_full
set -eu
cd "$(dirname "$0")/.."
. tools/conformance/venv.sh
PATH=$PATH:/usr/sbin
kubernetes_validate_version=1.31.0
for program in nginx haproxy; do
    command -v "$program" >/dev/null || {
        echo "No $program: apt-get install $program (Debian), or scripts/setup.sh --scale" >&2
        exit 1
    }
done
python3 tests/scale/test_proxies.py build/release/edgellm build/release/tests/make_tiny build/scale "$@"
[ $# = 0 ] || exit 0
haproxy -c -f packaging/haproxy/edgellm.cfg
venv_python
if [ -z "${EDGELLM_VENV:-}" ]; then
    venv_has yaml || venv_pip PyYAML
    venv_has kubernetes_validate || venv_pip "kubernetes-validate==$kubernetes_validate_version"
fi
"$PYTHON" tests/scale/test_manifests.py build/release/edgellm
