#!/bin/sh
# Clears away the sandbox folder given, made by the system tests: what a killed test left. With no argument: every sandbox
# whose test process is gone. Touches nothing else: cgroups of its own name, mounts below its folder.
set -u

sweep() {
    dir=$1
    read -r _ base < "$dir/sandbox" || return 0
    for top in /sys/fs/cgroup /sys/fs/cgroup/*; do
        [ -d "$top/$base" ] || continue
        # Deepest first; a guest may have made cgroups of its own below ours.
        find "$top/$base" -depth -type d | while read -r cgroup; do
            [ -w "$cgroup/cgroup.kill" ] && echo 1 > "$cgroup/cgroup.kill" 2>/dev/null
            while read -r pid; do kill -9 "$pid" 2>/dev/null; done < "$cgroup/cgroup.procs"
            for _ in 1 2 3 4 5 6 7 8 9 10; do rmdir "$cgroup" 2>/dev/null && break; [ -d "$cgroup" ] || break; sleep 0.1; done
        done
    done
    # Helpers of its daemon (dnsmasq) name the folder on their command line or in their environment.
    for proc in /proc/[0-9]*; do
        [ "${proc#/proc/}" = $$ ] && continue
        tr '\0' '\n' 2>/dev/null < "$proc/environ" | grep -q "^LXMGR_DIR=$dir/" && kill -9 "${proc#/proc/}" 2>/dev/null
        tr '\0' '\n' 2>/dev/null < "$proc/cmdline" | grep -q "=$dir/" && kill -9 "${proc#/proc/}" 2>/dev/null
    done
    awk -v dir="$dir/" 'index($5, dir) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r mount; do
        umount -l "$mount"
    done
    rm -rf --one-file-system "$dir"
}

if [ $# -gt 0 ]; then
    sweep "$1"
    exit
fi
for record in "${TMPDIR:-/tmp}"/lxmgr-t.*/sandbox; do
    [ -e "$record" ] || continue
    read -r pid _ < "$record"
    [ -d "/proc/$pid" ] || sweep "${record%/sandbox}"
done
