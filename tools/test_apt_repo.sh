#!/bin/sh
# What scripts/apt_repo.sh makes, read by apt with a state of its own: taken when signed by the key that
# is trusted, refused with another key, a changed list or a changed package. Nothing is installed, no
# network is asked, no right is needed; small packages stand for the real ones.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
GNUPGHOME=$work/gpg
export GNUPGHOME
mkdir -m 700 "$GNUPGHOME"
trap 'gpgconf --kill all; rm -rf "$work"' EXIT
repo=$work/repo
fail() { echo "FAIL $1" && { [ ! -f "$work/log" ] || tail -n 8 "$work/log"; } && exit 1; }

# package NAME ARCH
package() {
    mkdir -p "$work/tree/DEBIAN" "$work/debs"
    printf 'Package: %s\nVersion: 1.0\nArchitecture: %s\nMaintainer: Test <test@example.org>\nDescription: test\n' \
        "$1" "$2" >"$work/tree/DEBIAN/control"
    dpkg-deb --root-owner-group -b "$work/tree" "$work/debs/$1_1.0_$2.deb" >/dev/null
}
for arch in amd64 arm64 armhf; do package edgellm "$arch"; done
for name in Ours Theirs; do
    gpg --batch --quiet --passphrase '' --quick-generate-key "$name <$name@example.org>" ed25519 sign 1d
done
gpg --batch --export Theirs >"$work/theirs.gpg"

# asks ARCH KEYRING: apt's lists are made new, then the package is fetched and its signature chain checked.
asks() {
    rm -rf "$work/apt"
    mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/got"
    : >"$work/apt/status"
    echo "deb [signed-by=$2] file://$repo stable main" >"$work/apt/sources.list"
    (cd "$work/got" && rm -f -- *.deb && apt_get "$1" update && apt_get "$1" download edgellm) >"$work/log" 2>&1
}
apt_get() {
    a=$1
    shift
    apt-get -q -o Dir::State="$work/apt" -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/apt" \
        -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o APT::Architecture="$a" -o APT::Architectures="$a" -o APT::Sandbox::User=root \
        -o Acquire::Languages=none -o APT::Update::Error-Mode=any -o Debug::NoLocking=true "$@"
}
make_repo() { scripts/apt_repo.sh Ours "$work/debs" "$repo" >"$work/log" 2>&1 || fail "the repository is not made"; }

make_repo
for arch in amd64 arm64 armhf; do
    asks "$arch" "$repo/edgellm.gpg" || fail "$arch: what is well signed is refused"
    cmp -s "$work/got/edgellm_1.0_$arch.deb" "$work/debs/edgellm_1.0_$arch.deb" || fail "$arch: another package"
done
gpg --batch --quiet --verify "$repo/dists/stable/Release.gpg" "$repo/dists/stable/Release" 2>"$work/log" ||
    fail "Release.gpg"

! asks amd64 "$work/theirs.gpg" || fail "a key that is not trusted is taken"
grep -q 'NO_PUBKEY\|not signed' "$work/log" || fail "another reason than the key"

printf 'x' >>"$repo/pool/main/e/edgellm/edgellm_1.0_amd64.deb"
! asks amd64 "$repo/edgellm.gpg" || fail "a changed package is taken"
grep -qi 'hash sum mismatch\|unexpected size' "$work/log" || fail "another reason than the package's checksum"

make_repo
for list in "$repo"/dists/stable/main/binary-amd64/Packages* \
    "$repo"/dists/stable/main/binary-amd64/by-hash/SHA256/*; do
    printf 'x' >>"$list"
done
! asks amd64 "$repo/edgellm.gpg" || fail "a changed list is taken"
grep -qi 'hash sum mismatch\|unexpected size' "$work/log" || fail "another reason than the list's checksum"

make_repo
sed -i 's/^Label: .*/Label: Other/' "$repo/dists/stable/InRelease"
! asks amd64 "$repo/edgellm.gpg" || fail "a changed InRelease is taken"
grep -qi 'BADSIG\|invalid' "$work/log" || fail "another reason than the signature"

scripts/apt_repo.sh "" >"$work/log" 2>&1 && fail "no key, no error"
scripts/apt_repo.sh Ours "$work/none" "$repo" >"$work/log" 2>&1 && fail "no packages, no error"
echo "test-apt-repo: all is well"
