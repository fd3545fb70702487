#!/bin/sh
# Roots of Debian systems, of this machine's release, to build packages in and to try them: made by
# debootstrap, entered with mounts and processes of their own, which nobody else sees and which end with
# the command. Devices are a few nodes in memory, never this machine's /dev. As root, who may mount.
#   scripts/root.sh make NAME ARCH SCRIPT      build/roots/NAME, of ARCH, where SCRIPT has run; once
#   scripts/root.sh run ARCH FOLDER COMMAND...      in FOLDER, a root of ARCH
#   BIND="DIR:PLACE ...": DIR of this machine is PLACE there. READ_ONLY=y: all but that and /tmp is
# Programs of another architecture are run by an emulator. The kernel is told so for a user namespace, not
# for the machine, which takes Linux 6.7 or later.
set -eu
cd "$(dirname "$0")/.."
self=$PWD/scripts/root.sh
fail() { echo "root.sh: $1" >&2 && exit 1; }
[ "$(id -u)" = 0 ] || fail "this mounts and changes roots: run it as root"
here=$(dpkg --print-architecture)

# The emulator of ARCH, in one file, since the root holds no libraries for it; and how its programs begin.
emulator() {
    case $1 in
    arm64) qemu=aarch64 class=02 machine=b7 ;;
    armhf) qemu=arm class=01 machine=28 ;;
    *) fail "$1: no emulator is known for it" ;;
    esac
    magic="\x7fELF\x$class\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x$machine\x00"
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    program=$(command -v "qemu-$qemu-static") || program=$PWD/build/emulators/usr/bin/qemu-$qemu-static
    [ -x "$program" ] || scripts/foreign.sh "$here" build/emulators qemu-user-static
}

mounts() {
    mount --bind "$folder" "$folder"
    cd "$folder"
    mount -t tmpfs -o mode=755,size=64M devices dev
    for device in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do
        mknod -m 666 "dev/${device% *}" c 1 "${device#* }"
    done
    ln -s /proc/self/fd dev/fd
    mkdir -m 1777 dev/shm
    for bind in ${BIND:-}; do
        mkdir -p "$folder${bind#*:}"
        mount --bind "${bind%%:*}" "$folder${bind#*:}"
    done
    [ -z "${READ_ONLY:-}" ] || { mount -t tmpfs -o mode=1777 tmp tmp && mount -o remount,bind,ro "$folder"; }
}

# enter COMMAND...
enter() {
    mount -t proc proc "$folder/proc"
    [ "$arch" = "$here" ] || {
        at=$folder/proc/sys/fs/binfmt_misc
        mount -t binfmt_misc binfmt_misc "$at" 2>/dev/null || fail "programs of $arch need Linux 6.7 or later here"
        printf '%s' ":edgellm:M::$magic:$mask:$program:F" >"$at/register"
    }
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        ${http_proxy:+http_proxy="$http_proxy"} chroot "$folder" "$@"
}

# In a user namespace of its own, in which users are the same. What it is given are rights on what is
# mounted in there; it waits for its users.
mapped() {
    pipes=$(mktemp -d)
    mkfifo "$pipes/made" "$pipes/mapped"
    # shellcheck disable=SC2016 # for the other shell
    unshare --user --mount --pid --fork --kill-child sh -c \
        'echo >"$0/made" && read -r _ <"$0/mapped" && exec "$@"' "$pipes" "$self" enter "$arch" "$folder" "$@" &
    read -r _ <"$pipes/made"
    echo 0 0 4294967295 >"/proc/$!/uid_map"
    echo 0 0 4294967295 >"/proc/$!/gid_map"
    echo >"$pipes/mapped"
    rm -rf "$pipes"
    wait $!
}

make_root() {
    name=$1 arch=$2 script=$3
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    root=$PWD/build/roots/$name
    [ "$(cat "$root.made" 2>/dev/null)" != "$release $script" ] || exit 0
    mirror=$(scripts/debian_sources.sh --mirror)
    [ -n "$mirror" ] || fail "this machine's apt knows no mirror of Debian's"
    foreign=
    [ "$arch" = "$here" ] || { emulator "$arch" && foreign=--foreign; }
    echo "Making build/roots/$name: Debian $release for $arch"
    rm -rf --one-file-system "$root" "$root.made"
    mkdir -p "$root"
    log=$root.log
    # One list of many may be out of step with its mirror: what is missed then is said by what SCRIPT installs.
    {
        # shellcheck disable=SC2086
        unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
            debootstrap --variant=minbase $foreign --arch="$arch" "$release" "$root" "$mirror" &&
            { [ -z "$foreign" ] || "$self" run "$arch" "$root" env container=lxc \
                /debootstrap/debootstrap --second-stage; } &&
            : >"$root/etc/apt/sources.list" &&
            scripts/debian_sources.sh "$release" "$root/etc/apt/sources.list.d" &&
            echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io" &&
            for conf in $(grep -ls '^[^#/]*Proxy' /etc/apt/apt.conf /etc/apt/apt.conf.d/* || true); do
                cp "$conf" "$root/etc/apt/apt.conf.d"
            done &&
            "$self" run "$arch" "$root" sh -euc "apt-get -q update || true; $script
                apt-get clean"
    } >"$log" 2>&1 || { tail -n 8 "$log" >&2 && fail "no root for $arch ($log)"; }
    echo "$release $script" >"$root.made"
}

what=$1
shift
case $what in
make) make_root "$@" ;;
run)
    [ "$1" = "$here" ] || emulator "$1"
    exec unshare --mount --pid --fork --kill-child --mount-proc --propagation private "$self" entered "$@"
    ;;
entered | enter)
    arch=$1 folder=$(realpath "$2")
    shift 2
    [ "$arch" = "$here" ] || emulator "$arch"
    if [ "$what" = enter ]; then enter "$@"; fi
    (mounts)
    if [ "$arch" = "$here" ]; then enter "$@"; else mapped "$@"; fi
    ;;
*) fail "make or run?" ;;
esac
