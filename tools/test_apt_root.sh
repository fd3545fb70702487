#!/bin/sh
# The packages of build/deb as a repository, from which apt installs them in a root of Debian's (minbase), and
# from which it installs nothing once a package, a list or what is signed has been changed.
#   tools/test_apt_root.sh [ARCH]...      after scripts/deb.sh of the same; this machine's architecture if none is named
# As root, who may mount; nobody else sees it.
set -eu
cd "$(dirname "$0")/.."
[ -n "${WORK:-}" ] || exec tools/alone.sh "$0" "$@"
[ $# -gt 0 ] || set -- "$(dpkg --print-architecture)"
version=$(sed -n 's/^project(edgellm VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
log=$WORK/log
GNUPGHOME=$WORK/gpg
export GNUPGHOME
mkdir -m 700 "$GNUPGHOME"
fail() { echo "FAIL $arch: $1" && { [ ! -s "$log" ] || tail -n 12 "$log"; } && exit 1; }
inside() { scripts/root.sh run "$arch" "$root" "$@" >"$log" 2>&1; }
get() { inside apt-get -q -y --no-install-recommends "$@"; }

# A repository made anew, of which apt knows nothing yet.
fresh() {
    scripts/apt_repo.sh Test build/deb "$repo" >"$log" 2>&1 || fail "the repository is not made"
    install -D -m 644 "$repo/edgellm.gpg" "$root/etc/apt/keyrings/edgellm.gpg"
    forget
}
forget() { rm -f "$root"/var/lib/apt/lists/_srv_repo* "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/*.bin; }

# refused WHY: nothing is installed, for that reason.
refused() {
    if get update && get install edgellm; then fail "installed, though $1"; fi
    grep -qi "$2" "$log" || fail "$1, and there is another reason"
    ! inside dpkg -s edgellm || fail "installed, though $1"
    echo "$arch: refused, since $1"
}

check() {
    arch=$1 root=$WORK/$1 repo=$WORK/$1/srv/repo
    [ -f "build/deb/edgellm_${version}_$arch.deb" ] || fail "no packages: make deb ARCHS=$arch"
    scripts/root.sh make "base-$arch" "$arch" "apt-get -q update"
    cp -a "build/roots/base-$arch" "$root"
    echo "deb [signed-by=/etc/apt/keyrings/edgellm.gpg] file:/srv/repo stable main" >"$root/etc/apt/sources.list.d/edgellm.list"

    fresh
    printf x >>"$repo/pool/main/e/edgellm/edgellm_${version}_$arch.deb"
    refused "a package was changed" "hash sum mismatch\|unexpected size"
    fresh
    for list in "$repo"/dists/stable/main/binary-"$arch"/Packages* "$repo"/dists/stable/main/binary-"$arch"/by-hash/SHA256/*; do
        printf x >>"$list"
    done
    refused "a list was changed" "hash sum mismatch\|unexpected size"
    fresh
    sed -i 's/^Label: .*/Label: Other/' "$repo/dists/stable/InRelease"
    refused "InRelease was changed" "BADSIG\|invalid"
    fresh
    rm "$repo/dists/stable/InRelease"
    sed -i 's/^Label: .*/Label: Other/' "$repo/dists/stable/Release"
    refused "Release was changed" "BADSIG\|invalid"
    fresh
    gpg --batch --quiet --export Other >"$root/etc/apt/keyrings/edgellm.gpg"
    refused "the key is another" "NO_PUBKEY\|not signed"

    fresh
    get update || fail "what is well signed is refused"
    get install edgellm libedgellm-dev || fail "not installed"
    inside edgellm --version && grep -q "$version" "$log" || fail "what is installed does not run"
    inside apt-cache policy edgellm && grep -q "file:/srv/repo stable/main $arch" "$log" || fail "installed from elsewhere"
    rm -rf --one-file-system "$root"
    echo "$arch: installed from the repository"
}

for name in Test Other; do
    gpg --batch --quiet --passphrase '' --quick-generate-key "$name <$name@example.org>" ed25519 sign 1d
done
for arch in "$@"; do check "$arch"; done
gpgconf --kill all
echo "test-apt-root: all is well"
