#!/bin/bash
# Runs system tests of a build in a pristine Debian 13 with systemd as PID 1 and cgroup v2: tests/realhost.sh BUILD [tst_NAME...]
#
# The bed is a folder with uml-run.sh (User-Mode Linux; native computing speed) or vm-run.sh (QEMU), named by LXMGR_REALHOST. Both take
# "-s FOLDER -t SECONDS COMMAND", show FOLDER as /host inside and end with COMMAND's status.
#   LXMGR_REALHOST       that folder (default: realhost beside or below the folder above the tree)
#   LXMGR_REALHOST_RUN   uml-run.sh (default) or vm-run.sh
#   LXMGR_REALHOST_EXTRA a folder like /usr/local with programs and libraries of the bed's release that it lacks, and in
#                        "modules" modules of its kernel, loaded in the order of their names: zfs comes so
#   LXMGR_REALHOST_ROWS  arguments for each test, such as the names of its functions
#   LXMGR_REALHOST_SECONDS  limit for all of them (default 3000) and for each (default 1500)
# What the bed lacks is brought along: the programs, their libraries but the C library's, busybox, kept images.
set -uo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "${1:?tests/realhost.sh BUILD [tst_NAME...]}" && pwd)
shift
. "$top/packaging/packages.sh"

bed=${LXMGR_REALHOST:-}
for folder in "$top/../realhost" "$top/../shared/realhost"; do [ -n "$bed" ] || [ ! -d "$folder" ] || bed=$folder; done
runner=$bed/${LXMGR_REALHOST_RUN:-uml-run.sh}
[ -x "$runner" ] || { echo "no bed: set LXMGR_REALHOST to a folder with uml-run.sh or vm-run.sh" >&2; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
install_missing patchelf || exit 1

tests=("$@")
[ ${#tests[@]} -gt 0 ] || tests=(tst_lifecycle tst_exec tst_console tst_guest_config tst_guest_limits tst_confinement tst_recovery tst_networking tst_systemd tst_debian)
host=$build/realhost
rm -rf "$host"
mkdir -p "$host"/{bin,lib,tests,results,cache,source/tests}
cp "$build"/bin/lxmgr* "$host/bin/"
for test in "${tests[@]}"; do cp "$(find "$build/tests" -type f -name "$test" -perm -u+x | head -1)" "$host/tests/"; done
cp "$(command -v busybox)" "$host/bin/"
cp -r "$top"/{templates,profiles,images,packaging} "$host/source/"
cp -r "$top/tests/support" "$host/source/tests/"
[ -z "${LXMGR_REALHOST_EXTRA:-}" ] || cp -a "$LXMGR_REALHOST_EXTRA" "$host/extra"
cp "${LXMGR_TEST_CACHE:-/var/cache/lxmgr-tests}"/*.image* "$host/cache/" 2>/dev/null

# The C library and its loader are the bed's, which are newer; everything else comes from here.
ldd "$host"/bin/* "$host"/tests/* 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
    grep -Ev '/(libc|libm|libpthread|libdl|librt|libresolv|libutil|libanl|ld-linux[^/]*)\.so' | xargs -r cp -L -t "$host/lib/"
for file in "$host"/bin/* "$host"/tests/tst_* "$host"/lib/*; do
    patchelf --print-needed "$file" 2>/dev/null | grep -q . || continue # static
    case $file in */lib/*) path='$ORIGIN' ;; *) path='$ORIGIN/../lib' ;; esac
    patchelf --force-rpath --set-rpath "$path" "$file"
done

for name in LXMGR_REALHOST_ROWS LXMGR_REALHOST_SECONDS LXMGR_TEST_DRIVER; do
    [ -z "${!name:-}" ] || printf 'export %s=%q\n' "$name" "${!name}"
done >"$host/environment"
cat >"$host/inside.sh" <<'E2'
# In the bed: its state on the disk, not on a tmpfs /tmp or the shared folder.
export TMPDIR=/var/tmp PATH=/host/bin:$PATH LXMGR_TEST_BIN=/host/bin LXMGR_TEST_SOURCE=/host/source LXMGR_TEST_CACHE=/host/cache
export QTEST_FUNCTION_TIMEOUT=900000 LXMGR_TEST_REQUIRE=root
[ -s /host/environment ] && . /host/environment
if [ -d /host/extra ]; then
    cp -a /host/extra/. /usr/local/ && ldconfig
    for module in /usr/local/modules/*.ko; do [ ! -e "$module" ] || insmod "$module" || exit 1; done
fi
# Packages that the bed's image lacks stand where they would be installed.
[ -e /usr/bin/busybox ] || cp /host/bin/busybox /usr/bin/busybox
. /etc/os-release
echo "$PRETTY_NAME, Linux $(uname -r), $(cat /proc/1/comm) $(systemctl is-system-running), $(stat -f -c %T /sys/fs/cgroup), controllers: $(cat /sys/fs/cgroup/cgroup.controllers)"
bad=0
for test in "$@"; do
    timeout -k 10 "${LXMGR_REALHOST_SECONDS:-1500}" /host/tests/$test $LXMGR_REALHOST_ROWS -o /host/results/$test.txt,txt -o -,txt || bad=1
done
exit $bad
E2

"$runner" -s "$host" -t "${LXMGR_REALHOST_SECONDS:-3000}" "sh /host/inside.sh ${tests[*]}"
status=$?
awk -v wanted=${#tests[@]} -v status=$status '
    /^Totals: / { split($0, n, /[ ,]+/); passed += n[2]; failed += n[4]; skipped += n[6]; seen++ }
    END {
        failed += wanted - seen                      # a program without totals crashed or was never run
        if (status && !failed) failed = 1
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit failed > 0
    }' "$host"/results/*.txt /dev/null
