#!/bin/bash
# LXD as a peer of export and import: made to run in namespaces of its own, with all it has below one folder.
#   peer-export.sh record DIR OUT     exports a small instance with two snapshots and everything a tree can hold to OUT
#   peer-export.sh import DIR FILE    imports FILE as "back" and prints its snapshots, configuration and tree
#   peer-export.sh recordVolume DIR OUT   the same of a custom volume with two snapshots
#   peer-export.sh importVolume DIR FILE  imports FILE as volume "back" and prints its snapshots, configuration and tree
# tests/data/exports/lxd-5.0.2.tar.gz (and volume-lxd-5.0.2.tar.gz) is what `record` gave; incus-6.0.4.tar.gz the same steps with that program.
set -eu
work=$1 dir=$2 file=$3
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir"/{lxd,conf}
if [ "${4:-}" != inside ]; then
    exec unshare -n -m --propagation private "$0" "$work" "$dir" "$file" inside
fi

ip link set lo up
mkdir -p /var/lib/lxd
mount --bind "$dir/lxd" /var/lib/lxd
export LXD_DIR=/var/lib/lxd LXD_CONF=$dir/conf
lxd --group root --logfile "$dir/lxd.log" </dev/null >"$dir/lxd.out" 2>&1 &
daemon=$!
trap 'kill $daemon; wait $daemon || true' EXIT
lxd waitready --timeout 60
lxc storage show pool >/dev/null 2>&1 || {
    lxc storage create pool dir
    lxc profile device add default root disk path=/ pool=pool
} >/dev/null

record() {
    local image=$dir/image
    mkdir -p "$image"/{templates,rootfs/{bin,sbin,dev,etc,proc,root,run,sys,tmp}}
    echo '{{ container.name }}' > "$image/templates/hostname.tpl"
    printf '%s\n' 'architecture: x86_64' 'creation_date: 1700000000' 'properties: {os: Busybox, release: tiny}' \
        'templates: {/etc/hostname: {when: [create, copy], template: hostname.tpl}}' > "$image/metadata.yaml"
    ln -s ../bin/busybox "$image/rootfs/sbin/init"
    tar -C "$image" --numeric-owner --owner=0 --group=0 -czf "$dir/image.tar.gz" metadata.yaml templates rootfs
    lxc image import "$dir/image.tar.gz" --alias tiny >/dev/null
    lxc init tiny t1 >/dev/null
    local root=/var/lib/lxd/storage-pools/pool/containers/t1/rootfs
    python3 "$here/odd-tree.py" "$root"
    lxc config set t1 limits.memory=64MiB user.note="first: 'quoted'"
    lxc snapshot t1 s0
    rm "$root/root/attr"
    echo second > "$root/etc/app.conf"
    lxc config set t1 user.note=later
    lxc snapshot t1 s1
    echo third > "$root/etc/app.conf"
    lxc export t1 "$file" >/dev/null
}

import() {
    lxc import "$file" back >/dev/null
    lxc query '/1.0/instances/back?recursion=1' | jq -c '{profiles, config: (.config | with_entries(select(.key | startswith("volatile.") | not))), snapshots: [.snapshots[].name]}'
    for part in containers/back containers-snapshots/back/s0 containers-snapshots/back/s1; do
        python3 "$here/odd-tree.py" --show "/var/lib/lxd/storage-pools/pool/$part/rootfs" "$part"
    done
    lxc delete back
}

recordVolume() {
    lxc storage volume create pool v1 user.note="first: 'quoted'" >/dev/null
    local root=/var/lib/lxd/storage-pools/pool/custom/default_v1
    mkdir "$root"/{bin,etc,root}
    python3 "$here/odd-tree.py" "$root"
    lxc storage volume snapshot pool v1 s0
    rm "$root/root/attr"
    echo second > "$root/etc/app.conf"
    lxc storage volume set pool v1 user.note=later
    lxc storage volume snapshot pool v1 s1
    echo third > "$root/etc/app.conf"
    lxc storage volume export pool v1 "$file" >/dev/null
}

importVolume() {
    lxc storage volume import pool "$file" back >/dev/null
    lxc query '/1.0/storage-pools/pool/volumes/custom/back' | jq -c '{config, content_type}'
    lxc query '/1.0/storage-pools/pool/volumes/custom/back/snapshots?recursion=1' | jq -c '[.[] | {name, config}]'
    for part in custom/default_back custom-snapshots/default_back/s0 custom-snapshots/default_back/s1; do
        python3 "$here/odd-tree.py" --show "/var/lib/lxd/storage-pools/pool/$part" "$part"
    done
    lxc storage volume delete pool back
}

"$work"
