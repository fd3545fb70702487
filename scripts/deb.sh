#!/bin/sh
# Debian packages, looked at by lintian: edgellm, edgellm-tools, libedgellm0.1, libedgellm-dev (packaging/debian), in
# build/deb, where those of other architectures stay.
#   scripts/deb.sh [amd64|arm64|armhf]...      this machine's architecture if none is named
# Those of this machine's architecture are built with what it has installed; others by cross compilers in a root
# of Debian's (scripts/root.sh), as root. Whoever builds them is named as the maintainer: DEBFULLNAME and DEBEMAIL,
# or the author of the last commit. Symbols for debuggers, in packages that are ten times as large: DEB_BUILD_OPTIONS=
set -eu
cd "$(dirname "$0")/.."
umask 022
LC_ALL=C.UTF-8
export LC_ALL
# A compiler cache may give objects of another folder, or shorten the paths in their debug information, and thereby
# change the numbers by which that is found.
unset CCACHE_NOHASHDIR
export CCACHE_BASEDIR=
here=$(dpkg --print-architecture)
[ $# -gt 0 ] || set -- "$here"
version=$(sed -n 's/^project(edgellm VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
DEB_BUILD_OPTIONS=${DEB_BUILD_OPTIONS-noautodbgsym}
export SOURCE_DATE_EPOCH DEB_BUILD_OPTIONS
DEBFULLNAME=${DEBFULLNAME:-$(git log -1 --format=%an)}
DEBEMAIL=${DEBEMAIL:-$(git log -1 --format=%ae)}
jobs=$(scripts/jobs.sh)
out=$PWD/build/deb

# source FOLDER: what the packages are made from.
source_tree() {
    mkdir -p "$1"
    git ls-files -z -co --exclude-standard | tar --null --files-from=- -cf - | tar -xf - -C "$1"
    cp -R "$1/packaging/debian" "$1/debian"
    sed -i "s|@MAINTAINER@|$DEBFULLNAME <$DEBEMAIL>|" "$1/debian/control"
    cat >"$1/debian/changelog" <<LOG
edgellm ($version) unstable; urgency=medium

  * See CHANGELOG.md.

 -- $DEBFULLNAME <$DEBEMAIL>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
LOG
}

native() { (cd "$1" && dpkg-buildpackage -b -us -uc -d --jobs="$jobs"); }

# Of both architectures the same versions are needed. Where a list of security updates is out of step with its mirror
# they are those of before: what is built asks for no newer ones.
without_security='s/^\(Suites:\) *[a-z]*-security$/&\nEnabled: no/; t; /^Suites:/s/ [a-z]*-security//; /^deb .*-security/d'

# foreign ARCH FOLDER
foreign() {
    BIND="$(dirname "$2"):/build" && export BIND &&
        scripts/root.sh make "build-$1" "$here" "dpkg --add-architecture $1
apt-get -q update || {
    sed -i '$without_security' /etc/apt/sources.list.d/*
    apt-get -q update
}
apt-get -q -y --no-install-recommends install crossbuild-essential-$1
apt-get -q -y --no-install-recommends -a $1 -P cross,nocheck build-dep /build/edgellm
# $(sed -n '/^Build-Depends/,/^Standards/p' packaging/debian/control | cksum)" &&
        READ_ONLY=y scripts/root.sh run "$here" "build/roots/build-$1" env "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" \
            "DEB_BUILD_OPTIONS=$DEB_BUILD_OPTIONS" sh -c "cd /build/edgellm && umask 022 &&
                dpkg-buildpackage -a $1 -Pcross,nocheck -b -us -uc --jobs=$jobs"
}

for arch in "$@"; do
    work=$out/work-$arch
    rm -rf "$work" "$out"/*_"$arch".*
    source_tree "$work/edgellm"
    if [ "$arch" = "$here" ]; then native "$work/edgellm"; else foreign "$arch" "$work/edgellm"; fi >"$out/log-$arch" 2>&1 || {
        tail -n 40 "$out/log-$arch" >&2
        exit 1
    }
    mv "$work"/*.* "$out"
    rm -rf "$work"
    lintian --fail-on error,warning --tag-display-limit 0 "$out/edgellm_${version}_$arch.changes"
done
systemd-analyze security --offline=true --threshold=20 packaging/systemd/edgellm.service >"$out/security" 2>&1 ||
    { tail -n 3 "$out/security" >&2 && exit 1; }
# What systemd does not understand of a service it leaves out, with a word in its log.
mkdir -p "$out/unit"
sed 's|^ExecStart=.*|ExecStart=/bin/true|' packaging/systemd/edgellm.service >"$out/unit/edgellm.service"
! systemd-analyze verify --man=no "$out/unit/edgellm.service" 2>&1 | grep -F edgellm.service >&2 || exit 1
rm -rf "$out/unit"
cd "$out"
ls -l -- *.deb
