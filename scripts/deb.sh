#!/bin/sh
# Debian packages for this machine's architecture, in build/deb, looked at by lintian: edgellm,
# edgellm-tools, libedgellm0.1, libedgellm-dev (packaging/debian). Whoever built them is named as the
# maintainer: DEBFULLNAME and DEBEMAIL, or the author of the last commit.
set -eu
cd "$(dirname "$0")/.."
umask 022
root=$PWD
version=$(sed -n 's/^project(edgellm VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
maintainer="${DEBFULLNAME:-$(git log -1 --format=%an)} <${DEBEMAIL:-$(git log -1 --format=%ae)}>"

tree=$root/build/deb/edgellm-$version
rm -rf build/deb
mkdir -p "$tree"
git ls-files -z -co --exclude-standard | tar --null --files-from=- -cf - | tar -xf - -C "$tree"
cd "$tree"
cp -R packaging/debian debian
sed -i "s|@MAINTAINER@|$maintainer|" debian/control
cat >debian/changelog <<END
edgellm ($version) unstable; urgency=medium

  * See CHANGELOG.md.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END
dpkg-buildpackage -b -us -uc -d --jobs="$("$root/scripts/jobs.sh")" >../log 2>&1 || {
    tail -n 40 ../log >&2
    exit 1
}
cd ..
systemd-analyze security --offline=true --threshold=20 "$tree/packaging/systemd/edgellm.service" \
    >security 2>&1 || { tail -n 3 security >&2 && exit 1; }
lintian --fail-on error,warning --tag-display-limit 0 edgellm_*.changes
ls -l -- *.deb
