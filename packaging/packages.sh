# Package names on Debian 12 and later and Ubuntu 24.04 and later. Sourced by quickstart.sh and tests/run.sh, not run.

packages_build="g++ cmake ninja-build pkg-config qt6-base-dev libssl-dev libsqlite3-dev libarchive-dev zlib1g-dev libexpected-dev
    libcli11-dev libboost-dev libyaml-cpp-dev libuv1-dev libwslay-dev libseccomp-dev rapidjson-dev libnftables-dev"
packages_run="dnsmasq-base mmdebstrap busybox-static iproute2 ca-certificates squashfs-tools"
packages_test="ccache nftables iptables curl gpg apt-utils util-linux e2fsprogs xfsprogs btrfs-progs procps tar xz-utils zstd"
# Wanted where the distribution has them.
packages_run_optional="borgbackup debian-archive-keyring ubuntu-archive-keyring ubuntu-keyring"
packages_test_optional="lxd-client python3-pylxd lxcfs zsh fish"

# is_installed NAME
is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# install_missing NAME...: installs what is missing, one apt-get call; says nothing when all is there
install_missing() {
    local name missing=()
    for name in "$@"; do is_installed "$name" || missing+=("$name"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        echo "these packages are needed and there is no apt-get to install them: ${missing[*]}" >&2
        return 1
    fi
    if [ "$(id -u)" != 0 ]; then
        echo "these packages are missing and installing them needs root: ${missing[*]}" >&2
        return 1
    fi
    echo "installing ${missing[*]}"
    apt-get -q -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -q -y --no-install-recommends install "${missing[@]}"
}

# install_optional NAME...: those the archive knows; a failure is passed over
install_optional() {
    local name known=()
    for name in "$@"; do
        is_installed "$name" || [ -z "$(apt-cache policy "$name" 2>/dev/null | sed -n 's/^  Candidate: \([^(].*\)/\1/p')" ] || known+=("$name")
    done
    [ ${#known[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || return 0
    # Without a runlevel that has services, none is started (invoke-rc.d(8)).
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -q -q -y --no-install-recommends install "${known[@]}" >/dev/null 2>&1 || true
}
