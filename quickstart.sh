#!/bin/bash
# Two commands from nothing to a running guest: git clone …, then sudo ./quickstart.sh
# Installs the packages, builds, installs below /usr/local and launches a first guest. Run again it is quick and harmless.
#
#   PREFIX   where to install (default /usr/local)
#   GUEST    name of the first guest (default "first"; "" for none)
#   IMAGE    its image (default debian; busybox where no archive answers)
set -euo pipefail
top=$(cd "$(dirname "$0")" && pwd)
. "$top/packaging/packages.sh"
prefix=${PREFIX:-/usr/local}
guest=${GUEST-first}
image=${IMAGE:-debian}
build=$top/build/release

step() { printf '\n== %s\n' "$*"; }
die() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "needs root: sudo $0"
command -v apt-get >/dev/null || die "needs a Debian 12 or Ubuntu 24.04, or later (apt-get is not here)"

step "Packages"
# shellcheck disable=SC2086
install_missing $packages_build $packages_run || die "the packages could not be installed (see above)"
# shellcheck disable=SC2086
install_optional $packages_run_optional
echo "all there"

step "Build"
mkdir -p "$build"
cmake -G Ninja -B "$build" -S "$top" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLXMGR_TESTS=OFF \
    -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_EXE_LINKER_FLAGS=-s >"$build/quickstart.log" 2>&1 || { tail -30 "$build/quickstart.log"; die "configuring failed"; }
ninja -C "$build" >"$build/quickstart.log" 2>&1 || { grep -A12 -E 'error|FAILED' "$build/quickstart.log" | head -60; die "the build failed"; }
echo "built in $build"

step "Install"
old=
[ ! -e "$prefix/sbin/lxmgrd" ] || old=$(sha256sum <"$prefix/sbin/lxmgrd")
cmake --install "$build" >/dev/null
new=$(sha256sum <"$prefix/sbin/lxmgrd")
echo "installed below $prefix"

# A daemon of the old build ends (guests run on) and the next command starts the new one.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl -q enable lxmgrd.socket lxmgrd.service lxmgr-guests.service
    [ "$old" = "$new" ] || systemctl try-restart lxmgrd.service
    systemctl start lxmgrd.socket lxmgrd.service lxmgr-guests.service
elif [ "$old" != "$new" ]; then
    for process in /proc/[0-9]*; do
        case $(readlink "$process/exe" 2>/dev/null) in
            "$prefix/sbin/lxmgrd" | "$prefix/sbin/lxmgrd (deleted)")
                kill -TERM "${process#/proc/}"
                while [ -d "$process" ] && ! grep -q '^State:.*Z' "$process/status" 2>/dev/null; do sleep 0.1; done ;;
        esac
    done
fi

lxmgr=$prefix/bin/lxmgr
[ -n "$guest" ] || { step "Ready: $lxmgr launch $image NAME"; exit 0; }

step "First guest"
state=$("$lxmgr" list -f csv -c s "^$guest\$")
case $state in
    RUNNING) echo "$guest is running" ;;
    "")
        status=0
        "$lxmgr" launch "$image" "$guest" --wait || status=$?
        if [ $status != 0 ] && [ "$image" != busybox ]; then
            echo "$image could not be had (the reason is above); taking busybox, which needs no network."
            "$lxmgr" launch busybox "$guest" --wait
        elif [ $status != 0 ]; then
            exit $status
        fi ;;
    *) "$lxmgr" start "$guest" --wait ;;
esac
"$lxmgr" list

printf '\nEnter it with:  %s shell %s\n' "$(command -v lxmgr || echo "$lxmgr")" "$guest"
