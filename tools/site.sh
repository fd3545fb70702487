#!/bin/sh
# The documents as a site in build/site: mkdocs.yml. No text is copied: MkDocs reads a folder of links. Whatever
# else a document links to (sources, examples) is linked into that folder too.
set -eu
cd "$(dirname "$0")/.."
venv=build/venv-site
source=build/site-source
mkdir -p build
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'mkdocs-material>=9.5,<10'
rm -rf "$source" build/site
mkdir -p "$source"
for name in README.md CONTRIBUTING.md CHANGELOG.md LICENSE docs python examples packaging; do
    ln -s "../../$name" "$source/$name"
done
"$venv/bin/mkdocs" build --strict --quiet
echo "build/site/index.html"
