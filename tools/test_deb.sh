#!/bin/sh
# The packages of build/deb, installed by apt in a root of Debian's (minbase): as from a version before, upgraded,
# removed, purged. They are held to this machine's answers, and the root, file by file, to what it was before.
#   tools/test_deb.sh [ARCH]...      after scripts/deb.sh of the same; this machine's architecture if none is named
# As root, who may mount; nobody else sees it.
#   EDGELLM_BUILD=DIR: this machine's programs, which make the model
set -eu
cd "$(dirname "$0")/.."
[ -n "${WORK:-}" ] || exec tools/alone.sh "$0" "$@"
here=${EDGELLM_BUILD:-build/release}/edgellm
[ $# -gt 0 ] || set -- "$(dpkg --print-architecture)"
version=$(sed -n 's/^project(edgellm VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
library=libedgellm$(echo "$version" | cut -d. -f1,2)
names="edgellm edgellm-tools $library libedgellm-dev"
before=0.0.1 # the version that is upgraded
log=$WORK/log
fail() { echo "FAIL $arch: $1" && { [ ! -s "$log" ] || tail -n 12 "$log"; } && exit 1; }
inside() { scripts/root.sh run "$arch" "$root" "$@"; }
user() { inside setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/tmp EDGELLM_CACHE=/tmp/cache "$@"; }
quietly() { "$@" >"$log" 2>&1; }
get() { quietly inside apt-get -q -y --no-install-recommends "$@"; }

answer() {
    "$@" --raw -p "The lighthouse keeper" -n 8 -s 3 --ignore-eos --hash --json -q 2>"$log" | python3 -c '
import json, sys
j = json.load(sys.stdin)
print(j["tokens"], repr(j["text"]), j["hash"])'
}

# repack DEB: as it was in the version before, with a file more, which the upgrade must take away.
repack() {
    rm -rf "$WORK/tree"
    dpkg-deb -R "$1" "$WORK/tree"
    sed -i "s/^Version: .*/Version: $before/; s/(= $version)/(= $before)/" "$WORK/tree/DEBIAN/control"
    echo "what $before had" >"$WORK/tree/usr/share/doc/$(dpkg-deb -f "$1" Package)/of-before"
    dpkg-deb --root-owner-group -b "$WORK/tree" "$root/srv/old" >/dev/null
}

# files FIND-ARG...: all of the root, without what dpkg and apt note on the way.
files() {
    find . -xdev \( -path ./proc -o -path ./dev -o -path ./tmp -o -path ./srv -o -path ./var/log -o -path ./var/lib/apt \
        -o -path ./var/cache/apt -o -path ./var/cache/ldconfig -o -path './var/lib/dpkg/status*' \
        -o -path './var/lib/dpkg/available*' -o -path './var/lib/dpkg/lock*' -o -path './var/lib/dpkg/triggers' \) -prune -o "$@"
}
# state FILE: of each its kind, rights, owner, target and contents.
state() {
    (
        cd "$root"
        files -printf '%p %y %m %U:%G %l\n'
        files -type f -print0 | xargs -0 sha256sum | sed 's/^\([0-9a-f]*\)  \(.*\)/\2 \1/'
    ) | LC_ALL=C sort >"$1"
}
installed() { inside dpkg-query -W -f '${db:Status-Abbrev} ${Version}\n' $names 2>/dev/null | sort -u; }

runs() {
    [ "$(answer user edgellm run /srv/tiny.tm2.bin)" = "$known" ] || fail "$1: another answer"
    quietly inside dpkg --verify $names && ! grep -v '^??5?????? c /etc/default/edgellm$' "$log" || fail "$1: files differ from the package's"
    ! quietly inside sh -c 'ldd /usr/bin/edgellm /usr/libexec/edgellm/* | grep "not found"' || fail "$1: libraries are missing"
    [ -f "$root/usr/lib/systemd/system/edgellm.service" ] || fail "$1: no service"
    [ -z "$(find "$root/etc/systemd" -name 'edgellm*')" ] || fail "$1: the service is enabled"
}

# A program is built with the library, shared and static, and says what `edgellm run` does.
builds() {
    for how in "--libs" "--static --libs"; do
        [ "$how" = --libs ] && link= || link=-static
        quietly inside sh -euc "cc $link -o /tmp/minimal /usr/share/doc/libedgellm-dev/examples/minimal.c \
            \$(pkg-config --cflags $how edgellm)" || fail "minimal.c is not built ($how)"
        [ "$(user /tmp/minimal /srv/tiny.tm2.bin "the quick brown fox" 2>"$log")" = "$said" ] || fail "minimal.c says another thing ($how)"
    done
    [ "$(inside pkg-config --modversion edgellm)" = "$1" ] || fail "pkg-config's version"
}

# The server answers a request, and quantize makes a model.
answers() {
    port=$((20000 + $$ % 20000))
    user edgellm serve /srv/tiny.tm2.bin --port $port >"$log" 2>&1 &
    server=$!
    curl -sf --retry 120 --retry-connrefused --retry-delay 1 -o "$WORK/said" "http://127.0.0.1:$port/v1/completions" \
        -H 'Content-Type: application/json' -d '{"prompt": "The lighthouse", "max_tokens": 4, "temperature": 0}' &&
        grep -q '"completion_tokens": *4' "$WORK/said" || fail "the server does not answer"
    kill -KILL $server
    wait $server 2>/dev/null || true
    quietly user edgellm quantize /srv/tiny.gguf -o /tmp/made.tm2.bin --quiet || fail "quantize"
    quietly user edgellm info /tmp/made.tm2.bin || fail "quantize made no model"
}

check() {
    arch=$1 root=$WORK/$1
    debs=$(for name in $names; do echo "build/deb/${name}_${version}_$arch.deb"; done)
    for deb in $debs; do [ -f "$deb" ] || fail "no $deb: make deb ARCHS=$arch"; done
    # What they need is in the root before, that what they leave can be told from it.
    needed=$(for deb in $debs; do dpkg-deb -f "$deb" Depends | tr ',' '\n'; done | sed 's/|.*//; s/(.*//; s/ //g' | sort -u |
        grep -vxF "$(printf '%s\n' $names)" | tr '\n' ' ')
    scripts/root.sh make "test-$arch" "$arch" "apt-get -q -y --no-install-recommends install gcc libc6-dev pkg-config $needed"
    cp -a "build/roots/test-$arch" "$root"
    mkdir -p "$root/srv/old" "$root/srv/new"
    cp "$WORK/tiny.tm2.bin" "$WORK/tiny.gguf" "$root/srv"
    cp $debs "$root/srv/new"
    for deb in $debs; do repack "$deb"; done
    state "$WORK/state-before"

    get install $(cd "$root" && printf '/%s ' srv/old/*.deb) || fail "not installed"
    [ "$(installed)" = "ii  $before" ] || fail "not all installed: $(installed)"
    runs "$before"
    echo "# of the administrator" >>"$root/etc/default/edgellm"

    get install $(cd "$root" && printf '/%s ' srv/new/*.deb) || fail "not upgraded"
    [ "$(installed)" = "ii  $version" ] || fail "not all upgraded: $(installed)"
    [ -z "$(find "$root/usr" -name of-before)" ] || fail "files of the version before are left"
    grep -q '^# of the administrator' "$root/etc/default/edgellm" || fail "the administrator's change is lost"
    runs "$version"
    builds "$version"
    answers

    get remove $names || fail "not removed"
    state "$WORK/state-removed"
    left=$(diff "$WORK/state-before" "$WORK/state-removed" | sed -n 's/^[<>] \([^ ]*\).*/\1/p' |
        grep -vx './etc/default/edgellm\|./var/lib/dpkg/info/edgellm\.\(list\|postrm\)\|./var/lib/systemd/.*' || true)
    [ -z "$left" ] || fail "what removal leaves, or changed: $left"
    [ -f "$root/etc/default/edgellm" ] || fail "removal takes the configuration"

    quietly inside dpkg --purge $names || fail "not purged"
    state "$WORK/state-purged"
    diff "$WORK/state-before" "$WORK/state-purged" >"$log" || fail "what purge leaves, or changed:"
    rm -rf --one-file-system "$root"
    echo "$arch: installed, upgraded, removed, purged; answers as this machine does"
}

"$(dirname "$here")/tests/make_tiny" "$WORK/tiny.gguf"
"$here" quantize "$WORK/tiny.gguf" -o "$WORK/tiny.tm2.bin" --quiet
known=$(answer "$here" run "$WORK/tiny.tm2.bin")
said=$("$here" run "$WORK/tiny.tm2.bin" -p "the quick brown fox" -s 0 -n 128 -q)
for arch in "$@"; do check "$arch"; done
echo "test-deb: all is well"
