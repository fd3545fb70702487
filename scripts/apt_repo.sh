#!/bin/sh
# A signed apt repository of Debian packages, as files for any web server: build/apt-repo.
#   scripts/apt_repo.sh KEY [FOLDER [OUT]]      signed by KEY of gpg's; packages of FOLDER (build/deb)
# Who installs from it needs edgellm.gpg, the public key that lies in it (docs/BOARDS.md).
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] && [ -n "$1" ] || {
    echo "apt_repo.sh: by which key is it signed? Name one of those of: gpg --list-secret-keys" >&2
    exit 1
}
key=$1 from=${2:-build/deb}
[ -n "$(find "$from" -maxdepth 1 -name '*.deb' 2>/dev/null)" ] || {
    echo "apt_repo.sh: no packages in $from: make deb" >&2
    exit 1
}
gpg --batch --list-secret-keys "$key" >/dev/null 2>&1 || {
    echo "apt_repo.sh: gpg has no secret key $key: gpg --list-secret-keys" >&2
    exit 1
}
case ${3:-} in /*) repo=$3 ;; *) repo=$PWD/${3:-build/apt-repo} ;; esac
rm -rf "$repo"
pool=pool/main/e/edgellm
mkdir -p "$repo/$pool"
cp "$from"/*.deb "$repo/$pool"
cd "$repo"

# Each architecture's packages, those for all included.
archs=$(for deb in "$pool"/*.deb; do dpkg-deb -f "$deb" Architecture; done | sort -u | grep -vx all || true)
for arch in $archs; do
    folder=dists/stable/main/binary-$arch
    mkdir -p "$folder"
    apt-ftparchive --arch "$arch" packages pool >"$folder/Packages"
    gzip -9nk "$folder/Packages"
done
cd dists/stable
# shellcheck disable=SC2086 # architectures are words
set -- $archs
apt-ftparchive -o APT::FTPArchive::Release::Origin=EdgeLLM -o APT::FTPArchive::Release::Label=EdgeLLM \
    -o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Codename=stable \
    -o APT::FTPArchive::Release::Components=main -o APT::FTPArchive::Release::Architectures="$*" \
    -o APT::FTPArchive::Release::Acquire-By-Hash=yes release . >../Release
mv ../Release Release
# Old lists stay readable under their checksums while new ones come.
for list in main/*/Packages main/*/Packages.gz; do
    mkdir -p "$(dirname "$list")/by-hash/SHA256"
    cp "$list" "$(dirname "$list")/by-hash/SHA256/$(sha256sum "$list" | cut -d' ' -f1)"
done
gpg --batch --yes --local-user "$key" --clearsign --output InRelease Release
gpg --batch --yes --local-user "$key" --armor --detach-sign --output Release.gpg Release
gpg --batch --yes --export "$key" >"$repo/edgellm.gpg"
echo "$repo: $(find "$repo/pool" -name '*.deb' | wc -l) packages for $*"
