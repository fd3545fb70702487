#!/bin/sh
# The documents as a site in build/site: mkdocs.yml. No text is copied: MkDocs reads a folder of links. Whatever
# else a document links to (sources, examples) is linked into that folder too. Each link of each page is followed then.
set -eu
cd "$(dirname "$0")/.."
venv=build/venv-site
source=build/site-source
mkdir -p build
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'mkdocs-material>=9.5,<10'
rm -rf "$source" build/site
mkdir -p "$source"
for name in README.md CONTRIBUTING.md CHANGELOG.md LICENSE docs models python examples packaging include; do
    ln -s "../../$name" "$source/$name"
done
# With --quiet warnings would not count: --strict counts what is logged.
NO_MKDOCS_2_WARNING=1 "$venv/bin/mkdocs" build --strict >"$source.log" 2>&1 || { grep -v ^INFO "$source.log" >&2 && exit 1; }
"$venv/bin/python" tools/check_site.py build/site
echo "build/site/index.html"
