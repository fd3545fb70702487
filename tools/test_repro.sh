#!/bin/sh
# What is shipped, built a second time where all is otherwise that should not matter: folder and its depth, times of the sources,
# clock, time zone, locale, umask, user, home, number of jobs, and no history of git's. The same bytes.
#   tools/test_repro.sh dist ARCH...      the archives of build/dist, after scripts/dist.sh of the same
#   tools/test_repro.sh deb ARCH...       the packages of build/deb, after scripts/deb.sh of the same
#   tools/test_repro.sh core ARCH...      of the archives only the static program
set -eu
cd "$(dirname "$0")/.."
root=$PWD
what=$1
shift
here=$(dpkg --print-architecture)
version=$(sed -n 's/^project(edgellm VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
work=$root/build/repro
again=$work/another/place/for-it
log=$work/log
fail() { echo "FAIL $1" && { [ ! -s "$log" ] || tail -n 20 "$log"; } && exit 1; }
rm -rf "$work"
mkdir -p "$again/build" "$work/home" "$work/locale"
(umask 077 && git ls-files -z -co --exclude-standard | tar --null --files-from=- -cf - | tar -xf - -C "$again" --no-same-permissions)
find "$again" -exec touch -h -d "2001-02-03 04:05:06" {} +
git init -q "$again"
localedef -i tr_TR -f UTF-8 "$work/locale/tr_TR.UTF-8" 2>"$log" || [ -d "$work/locale/tr_TR.UTF-8" ] || fail "no locale tr_TR"

# Another user, if root asks and whoever that is may read here; roots of other architectures are root's.
other=
case "$what:$*" in
deb:"$here" | dist:* | core:*)
    nobody="setpriv --reuid=54321 --regid=54321 --clear-groups"
    if [ "$(id -u)" = 0 ] && $nobody test -r "$root/CMakeLists.txt"; then other=$nobody && chown -R 54321:54321 "$work"; fi
    ;;
*) ln -s "$root/build/roots" "$root/build/emulators" "$again/build" ;;
esac
# A clock of 400 days later; who looks at files' times sees the true ones.
elsewhere() {
    # shellcheck disable=SC2016,SC2086 # the loader fills in $LIB; other is words
    (cd "$again" && umask 027 && env -i PATH="$PATH" HOME="$work/home" USER=other LOGNAME=other TZ=Pacific/Chatham \
        LOCPATH="$work/locale" LC_ALL=tr_TR.UTF-8 OMP_NUM_THREADS=3 ${http_proxy:+http_proxy="$http_proxy"} \
        SOURCE_DATE_EPOCH="$(git -C "$root" log -1 --format=%ct)" EDGELLM_SYSROOTS="$root/build/sysroot" \
        DEBFULLNAME="$(git -C "$root" log -1 --format=%an)" DEBEMAIL="$(git -C "$root" log -1 --format=%ae)" \
        LD_PRELOAD='/usr/$LIB/faketime/libfaketime.so.1' FAKETIME=+400d NO_FAKE_STAT=1 DONT_FAKE_MONOTONIC=1 \
        $other "$@") >>"$log" 2>&1
}
same() { diff "$1" "$2" || fail "$what $*: other bytes than the first time"; }

case $what in
core)
    for arch in "$@"; do
        elsewhere cmake --preset "dist-$arch" -DEDGELLM_SYSROOT="$root/build/sysroot/$arch" &&
            elsewhere cmake --build "build/dist-$arch" --target edgellm-core --parallel 3 &&
            elsewhere cmake --install "build/dist-$arch" --strip --prefix "$again/build/core" --component core || fail "$arch: not built"
        name=edgellm-core-$version-linux-$arch
        tar -xzf "build/dist/$name.tar.gz" -C "$work" "$name/bin/edgellm"
        cmp "$work/$name/bin/edgellm" "$again/build/core/bin/edgellm" || fail "$arch: other bytes than the first time"
    done
    ;;
dist)
    elsewhere scripts/dist.sh "$@" || fail "not built"
    same build/dist/SHA256SUMS "$again/build/dist/SHA256SUMS"
    ;;
deb)
    elsewhere scripts/deb.sh "$@" || fail "not built"
    for arch in "$@"; do (cd build/deb && sha256sum -- *_"$arch".deb); done >"$work/first"
    for arch in "$@"; do (cd "$again/build/deb" && sha256sum -- *_"$arch".deb); done >"$work/second"
    same "$work/first" "$work/second"
    ;;
*) fail "core, dist or deb?" ;;
esac
rm -rf "$work"
echo "test-repro: $what $*: the same bytes"
