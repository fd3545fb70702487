#!/bin/sh
# Does anybody else get the same bytes? What lies in build/dist and build/deb is built again from a copy: in another
# folder, later, file times and their order others, with another umask, locale, time zone, home and terminal, without
# ccache. A difference is told by file: tools/compare_archives.py.
#   tools/test_repro.sh PART...      after scripts/dist.sh and scripts/deb.sh of the same
#   PART: an architecture's archives; deb, the Debian packages for this machine, or deb-ARCH, those for another, which are
#   built in the same root (scripts/root.sh), and there in the same place
set -eu
cd "$(dirname "$0")/.."
root=$PWD
work=$root/build/test-repro
copy=$work/another/place_for_it
archs=$(printf '%s\n' "$@" | grep -v '^deb' || true)
here=$(dpkg --print-architecture)

# git's list of files, from this repository: the copy is none.
GIT_DIR=$(git rev-parse --absolute-git-dir)
export GIT_DIR

make_copy() {
    rm -rf "$work"
    mkdir -p "$copy/build"
    ln -s "$root/build/roots" "$copy/build/roots"
    git ls-files -z -co --exclude-standard | sort -rz | tar --null --files-from=- -cf - |
        (umask 077 && tar -xmf - --no-same-permissions -C "$copy")
}

# A language in which letters have other cases and another order, for this test alone.
language() {
    LOCPATH=$work/locales
    export LOCPATH
    mkdir -p "$LOCPATH"
    localedef -i tr_TR -f UTF-8 "$LOCPATH/tr_TR.UTF-8" 2>/dev/null && echo tr_TR.UTF-8 || {
        echo "test-repro: no definitions of locales here (Debian's package locales): built in C.UTF-8" >&2
        echo C.UTF-8
    }
}

# build_again COMMAND...: in the copy.
build_again() {
    (cd "$copy" && umask 077 && env -i PATH="$PATH:/usr/games" HOME="$work/home" TERM=dumb TZ=Pacific/Kiritimati \
        LC_ALL="$language" LANGUAGE=tr LOCPATH="$work/locales" CCACHE_DISABLE=1 \
        GIT_DIR="$GIT_DIR" GIT_WORK_TREE="$copy" EDGELLM_SYSROOTS="$root/build/sysroot" \
        ${SOURCE_DATE_EPOCH:+SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH"} ${DEBFULLNAME:+DEBFULLNAME="$DEBFULLNAME"} \
        ${DEBEMAIL:+DEBEMAIL="$DEBEMAIL"} ${DEB_BUILD_OPTIONS+DEB_BUILD_OPTIONS="$DEB_BUILD_OPTIONS"} "$@") >"$work/log" 2>&1 || {
        tail -n 12 "$work/log"
        echo "test-repro: $1 fails in another place ($work/log)" && exit 1
    }
}

make_copy
language=$(language)
failed=0
if [ -n "$archs" ]; then
    echo "Building again: archives for" $archs
    build_again scripts/dist.sh $archs
    tools/compare_archives.py build/dist "$copy/build/dist" $(cd "$copy/build/dist" && ls -- *.tar.gz) || failed=1
fi
for part in "$@"; do
    case $part in
    deb) arch=$here ;;
    deb-*) arch=${part#deb-} ;;
    *) continue ;;
    esac
    echo "Building again: Debian packages for $arch"
    build_again scripts/deb.sh "$arch"
    tools/compare_archives.py build/deb "$copy/build/deb" $(cd "$copy/build/deb" && ls -- *_"$arch".deb) || failed=1
done
[ "$failed" = 0 ] || { echo "test-repro: what was built again lies in $copy/build" && exit 1; }
rm -rf "$work"
echo "test-repro: the same bytes"
