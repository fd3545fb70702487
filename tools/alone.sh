#!/bin/sh
# Runs a test whose mounts and processes nobody else sees, and of which nothing is left, however it ends.
#   tools/alone.sh COMMAND ARG...      WORK: a folder for it, in build
# As root, who may mount. Its processes are in a namespace whose first one is killed with all others.
set -eu
[ "$(id -u)" = 0 ] || { echo "alone.sh: $1 mounts and changes roots: run it as root" >&2 && exit 1; }
mkdir -p build
WORK=$(mktemp -d "$PWD/build/alone.XXXXXX")
export WORK
chmod 755 "$WORK"
# What was killed may take a moment to let go.
sweep() { for _ in 1 2 3 4 5; do rm -rf --one-file-system "$WORK" 2>/dev/null && return; sleep 1; done; }
trap sweep EXIT
unshare --mount --pid --fork --kill-child --mount-proc --propagation private "$@" &
inside=$!
trap 'kill -KILL $inside 2>/dev/null; wait $inside 2>/dev/null; exit 130' INT TERM HUP
wait $inside
