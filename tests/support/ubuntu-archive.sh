#!/bin/sh
# Makes a small signed archive in Ubuntu's layout: ubuntu-archive.sh FOLDER POOL. Its packages are those the template asks for,
# fetched once from the archive this machine is configured for and kept in POOL; base-files says that it is Ubuntu 24.04.
# FOLDER gets ubuntu/ to be served and override.yaml for <config>/templates.d/ubuntu.yaml ("@URL@" stands for its address).
set -eu
out=$1 pool=$2
top=$(cd "$(dirname "$0")/../.." && pwd)
. /etc/os-release
architecture=$(dpkg --print-architecture)

# The entries of the lists "packages:" in the template.
packages=$(awk '/^ *packages:$/ {inside = 1; next} inside && /^ *- / {sub(/^ *- /, ""); print; next} {inside = 0}' "$top/templates/ubuntu.yaml" |
    sort -u | paste -sd,)

if [ ! -e "$pool/complete" ]; then
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -Ev 'security|updates' | sort -u | head -1)
    # The archive is not what is tested here, and it may be out of reach for a moment.
    for attempt in 1 2 3; do
        rm -rf "$pool"
        mkdir -p "$pool" "$out"
        if mmdebstrap --mode=root --variant=minbase --include="$packages" --aptopt='APT::Keep-Downloaded-Packages "true"' --aptopt='Acquire::Retries "3"' \
            --skip=essential/unlink,cleanup/tmp --customize-hook="cp \"\$1\"/var/cache/apt/archives/*.deb '$pool/'" \
            "$VERSION_CODENAME" /dev/null "$mirror" >"$out/log" 2>&1; then
            break
        fi
        if [ $attempt = 3 ]; then
            tail -20 "$out/log" >&2
            exit 1
        fi
    done
    rm "$out/log"
    touch "$pool/complete"
fi

mkdir -p "$out/ubuntu/pool/main" "$out/gnupg" "$out/base"
chmod 700 "$out/gnupg"
cp -l "$pool"/*.deb "$out/ubuntu/pool/main/" 2>/dev/null || cp "$pool"/*.deb "$out/ubuntu/pool/main/"

# Ubuntu by name.
base=$(ls "$out"/ubuntu/pool/main/base-files_*.deb)
dpkg-deb -R "$base" "$out/base"
for file in usr/lib/os-release etc/os-release; do
    [ -f "$out/base/$file" ] && [ ! -L "$out/base/$file" ] || continue
    cat >"$out/base/$file" <<EOF
PRETTY_NAME="Ubuntu 24.04 LTS"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
EOF
done
rm -f "$base" "$out/base/DEBIAN/md5sums"
dpkg-deb -b "$out/base" "$base" >/dev/null
rm -r "$out/base"

cd "$out/ubuntu"
for component in main restricted universe multiverse; do
    folder=dists/noble/$component/binary-$architecture
    mkdir -p "$folder"
    if [ $component = main ]; then apt-ftparchive packages pool/main; fi >"$folder/Packages"
    gzip -9nk "$folder/Packages"
done
apt-ftparchive -o APT::FTPArchive::Release::Origin=Ubuntu -o APT::FTPArchive::Release::Label=Ubuntu \
    -o APT::FTPArchive::Release::Suite=noble -o APT::FTPArchive::Release::Codename=noble -o APT::FTPArchive::Release::Version=24.04 \
    -o "APT::FTPArchive::Release::Architectures=$architecture" \
    -o APT::FTPArchive::Release::Components='main restricted universe multiverse' release dists/noble >Release.new
mv Release.new dists/noble/Release

export GNUPGHOME="$out/gnupg"
gpg --batch --quiet --passphrase '' --quick-generate-key 'Archive of a test <nobody@invalid>' rsa2048 sign 1d 2>/dev/null
gpg --batch --quiet --clearsign -o dists/noble/InRelease dists/noble/Release
{
    echo 'mirror: @URL@'
    echo 'security_mirror: none'
    echo 'keys:'
    echo '- |'
    gpg --batch --quiet --armor --export | sed 's/^/  /'
} >"$out/override.yaml"
gpgconf --homedir "$out/gnupg" --kill all 2>/dev/null || true
rm -rf "$out/gnupg"
