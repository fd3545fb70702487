#!/bin/sh
# What scripts/image.sh makes, as a container would have it: unpacked by skopeo and umoci, mounted
# read-only, run as the image's user without a capability. amd64 runs by itself in a root of its own;
# arm64's programs under an emulator. Answers are held to this machine's build. Needs root, to mount, which
# nobody else sees: mounts are in a namespace of this test's own and go with it.
#   tools/test_image.sh      after scripts/image.sh; EDGELLM_BUILD=DIR: this machine's programs
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "test_image.sh: this mounts folders: run it as root" >&2 && exit 1; }
[ "${1:-}" = alone ] || exec unshare --mount --propagation private "$0" alone
here=${EDGELLM_BUILD:-build/release}/edgellm
version=$(sed -n 's/^project(edgellm VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
most=10000000 # bytes of an image without a model, compressed
user=65532
work=$(mktemp -d)
chmod 755 "$work"
server=
end() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
    for arch in amd64 arm64; do
        for at in root/dev root; do
            ! mountpoint -q "$work/$arch/$at" || umount "$work/$arch/$at" || return 0
        done
    done
    rm -rf --one-file-system "$work"
}
trap end EXIT
fail() { echo "FAIL $1" && { [ ! -f "$work/log" ] || head -n 8 "$work/log"; } && exit 1; }

"$here" quantize tests/data/conformance_tiny.gguf -o "$work/tiny.tm2.bin" --quiet
for again in 1 2; do # with a small model
    python3 scripts/oci_layout.py "$work/image$again" "$version" 1700000000 --model "$work/tiny.tm2.bin" \
        amd64=build/image/amd64 arm64=build/image/arm64 >"$work/log" || fail "the layout"
done
diff -r "$work/image1" "$work/image2" || fail "two layouts of the same files differ"

answer() {
    "$@" --raw -p "The lighthouse keeper" -n 8 -s 3 --ignore-eos --hash --json -q | python3 -c '
import json, sys
j = json.load(sys.stdin)
print(j["tokens"], repr(j["text"]), j["hash"])'
}
# inside ARCH PROGRAM ARG...: as the image's user, in its root, instead of this shell.
inside() {
    arch=$1 program=$2
    shift 2
    as="--reuid=$user --regid=$user --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
    # shellcheck disable=SC2086 # as is words
    case $arch in
    amd64) exec env -i PATH=/usr/bin EDGELLM_CACHE=/var/cache/edgellm /usr/sbin/chroot --userspec=$user:$user \
        "$work/amd64/root" "$program" "$@" ;;
    arm64) exec setpriv $as qemu-aarch64 -cpu cortex-a53 "$work/arm64/root$program" "$@" ;;
    esac
}
# check ARCH PREFIX: PREFIX, where that root's files lie for its programs
check() {
    for layers in edgellm image1; do
        from=build/image/edgellm
        [ $layers = edgellm ] || from=$work/image1
        skopeo --override-arch "$1" copy -q "oci:$from:$version" "oci:$work/$1-$layers:one" >"$work/log" 2>&1 ||
            fail "$1: skopeo refuses $layers"
    done
    bytes=$(du -sb "$work/$1-edgellm/blobs" | cut -f1)
    [ "$bytes" -le $most ] || fail "$1: $bytes bytes"
    skopeo inspect --override-arch "$1" --config "oci:$work/$1-image1:one" >"$work/log" || fail "$1: config"
    grep -q "\"User\": \"$user:$user\"" "$work/log" || fail "$1: its user"
    umoci unpack --image "$work/$1-image1:one" "$work/$1" >"$work/log" 2>&1 || fail "$1: umoci refuses it"
    chmod 755 "$work/$1" "$work/$1/rootfs"
    mkdir "$work/$1/root" "$work/$1/rootfs/dev" # devices are the engine's to add
    mount --bind "$work/$1/rootfs" "$work/$1/root"
    mount -o remount,bind,ro "$work/$1/root"
    mount -t tmpfs -o size=1M,mode=755 devices "$work/$1/root/dev"
    mknod -m 666 "$work/$1/root/dev/null" c 1 3
    mknod -m 444 "$work/$1/root/dev/urandom" c 1 9
    [ "$(answer inside "$1" /usr/bin/edgellm run "$2/models/tiny.tm2.bin" 2>"$work/log")" = "$known" ] ||
        fail "$1: another answer"
    serve "$@"
    echo "$1: $bytes bytes without a model; answers, serves"
}
# The server answers a chat and ends well.
serve() {
    port=$((20000 + $$ % 20000))
    inside "$1" /usr/libexec/edgellm/edgellm-serve "$2/models/tiny.tm2.bin" --port $port >"$work/log" 2>&1 &
    server=$!
    curl -sf --retry 60 --retry-connrefused --retry-delay 1 -o "$work/models" "http://127.0.0.1:$port/v1/models" ||
        fail "$1: the server does not answer"
    curl -sf "http://127.0.0.1:$port/v1/completions" -H 'Content-Type: application/json' \
        -d '{"prompt": "The lighthouse", "max_tokens": 4, "temperature": 0}' -o "$work/said" || fail "$1: no completion"
    grep -q '"completion_tokens"' "$work/said" || fail "$1: $(cat "$work/said")"
    kill "$server" && wait "$server" || fail "$1: the server's end"
    server=
}
known=$(answer "$here" run "$work/tiny.tm2.bin")
check amd64 ""
check arm64 "$work/arm64/root"
echo "test-image: all is well"
