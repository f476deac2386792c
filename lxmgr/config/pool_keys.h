// The table of storage pool keys, each with the drivers that know it.
#pragma once

#include "config/pool_config.h"

#include <algorithm>

namespace lxmgr::config
{

struct PoolKey {
    Key<PoolConfig> key;
    std::string_view drivers; ///< "btrfs lvm", or "" for all.
};

// clang-format off
inline constexpr PoolKey kPoolKeys[] = {
    {{"btrfs.mount_options", field<&PoolConfig::mountOptions>, Apply::Daemon,  "",                   "At creation: mount options of the pool's own file system, such as compress=zstd,noatime."}, "btrfs"},
    {{"lvm.thinpool_metadata_size", field<&PoolConfig::thinPoolMetadata>, Apply::Daemon, "as LVM sees fit", "At creation: how much of the volume group the metadata of the thin pool gets."}, "lvm"},
    {{"lvm.thinpool_name",   field<&PoolConfig::thinPool>,     Apply::Daemon,  "lxmgr-thin",         "At creation: the thin pool, which is made if it is not there."}, "lvm"},
    {{"lvm.use_thinpool",    field<&PoolConfig::useThinPool>,  Apply::Daemon,  "true",               "Volumes are thin; false is not offered."}, "lvm"},
    {{"lvm.vg_name",         field<&PoolConfig::volumeGroup>,  Apply::Daemon,  "the pool's name",    "At creation: name of the volume group that is made; else the one that source names."}, "lvm"},
    {{"size",                field<&PoolConfig::size>,         Apply::Live,    "20% of what is free, 5GiB to 30GiB", "How large the file with the pool's file system is; it can grow."}, "btrfs lvm zfs"},
    {{"source",              field<&PoolConfig::source>,       Apply::Daemon,  "below the state folder", "Folder the pool is in; with btrfs, lvm and zfs a block device, or a file with one of a pool in it; with lvm also a volume group, with zfs a zpool or an empty dataset."}, ""},
    {{"source.wipe",         field<&PoolConfig::wipe>,         Apply::Daemon,  "false",              "At creation: make a new file system on the device whatever is on it now."}, "btrfs lvm zfs"},
    {{"user.*",              field<&PoolConfig::user>,         Apply::Live,    "",                   "Free text for people and tools."}, ""},
    {{"volume.*",            field<&PoolConfig::volume>,       Apply::Live,    "",                   "Default of that key of new custom volumes, any but user.*; volume.size is that of new root disks, too."}, ""},
    {{"volume.block.filesystem", field<&PoolConfig::treeFileSystem>, Apply::Daemon, "ext4",           "At creation: the file system of images and volumes, ext4 or xfs (which cannot be made smaller)."}, "lvm"},
    {{"volume.block.mount_options", field<&PoolConfig::treeOptions>, Apply::Daemon, "discard",        "At creation: mount options of images and volumes."}, "lvm"},
    {{"zfs.clone_copy",      field<&PoolConfig::cloneCopy>,    Apply::Daemon,  "true",               "Copies share what they have in common; false is not offered."}, "zfs"},
    {{"zfs.export",          field<&PoolConfig::zpoolExport>,  Apply::Live,    "true",               "Letting go of the pool exports its zpool, where that is of its own."}, "zfs"},
    {{"zfs.pool_name",       field<&PoolConfig::zpool>,        Apply::Daemon,  "the pool's name",    "At creation: name of the zpool that is made; else the zpool or dataset that source names."}, "zfs"},
};
// clang-format on
static_assert(std::ranges::is_sorted(kPoolKeys, {}, [](const PoolKey &row) { return row.key.name; }));

// Known elsewhere, not carried out here; "*" ends a prefix.
inline constexpr std::string_view kUnsupportedPoolKeys[] = {
    "block.*", "ceph.*", "cephfs.*", "lvm.*", "rsync.*", "volatile.*",
};
static_assert(std::ranges::is_sorted(kUnsupportedPoolKeys));

} // namespace lxmgr::config
