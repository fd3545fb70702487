#!/bin/sh
# Where this machine's apt takes Debian from, as lists for an apt with a state of its own: of the sources only Debian's.
#   scripts/debian_sources.sh RELEASE FOLDER      in FOLDER; RELEASE instead of this machine's
#   scripts/debian_sources.sh --mirror      the address of the first
set -eu
here=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
lists=$(grep -ls "debian.*" /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources |
    xargs -r grep -ls "$here" || true)
if [ "$1" = --mirror ]; then
    # shellcheck disable=SC2086 # lists are words
    [ -z "$lists" ] || sed -n 's|^URIs: *\([^ ]*/debian/*\)$|\1|p; s|^deb .*\(http[^ ]*/debian/*\) .*|\1|p' $lists | head -n 1
    exit 0
fi
mkdir -p "$2"
for list in $lists; do
    sed "s/$here/$1/g" "$list" >"$2/$(basename "$list")"
    case $list in *.list) sed -i '/debian/!d' "$2/$(basename "$list")" ;; esac
done
