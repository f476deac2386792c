// The table of storage pool keys, each with the drivers that know it.
#pragma once

#include "config/pool_config.h"

#include <algorithm>

namespace lxmgr::config
{

struct PoolKey {
    Key<PoolConfig> key;
    std::string_view drivers; ///< "btrfs", or "" for all.
};

// clang-format off
inline constexpr PoolKey kPoolKeys[] = {
    {{"btrfs.mount_options", field<&PoolConfig::mountOptions>, Apply::Daemon,  "",                   "At creation: mount options of the pool's own file system, such as compress=zstd,noatime."}, "btrfs"},
    {{"size",                field<&PoolConfig::size>,         Apply::Live,    "20% of what is free, 5GiB to 30GiB", "How large the file with the pool's file system is; it can grow."}, "btrfs"},
    {{"source",              field<&PoolConfig::source>,       Apply::Daemon,  "below the state folder", "Folder the pool is in; with btrfs also a block device, or a file with a btrfs of a pool in it."}, ""},
    {{"source.wipe",         field<&PoolConfig::wipe>,         Apply::Daemon,  "false",              "At creation: make a new file system on the device whatever is on it now."}, "btrfs"},
    {{"user.*",              field<&PoolConfig::user>,         Apply::Live,    "",                   "Free text for people and tools."}, ""},
    {{"volume.*",            field<&PoolConfig::volume>,       Apply::Live,    "",                   "Default of that key of new custom volumes, any but user.*; volume.size is that of new root disks, too."}, ""},
};
// clang-format on
static_assert(std::ranges::is_sorted(kPoolKeys, {}, [](const PoolKey &row) { return row.key.name; }));

// Known elsewhere, not carried out here; "*" ends a prefix.
inline constexpr std::string_view kUnsupportedPoolKeys[] = {
    "block.*", "ceph.*", "cephfs.*", "lvm.*", "rsync.*", "volatile.*", "zfs.*",
};
static_assert(std::ranges::is_sorted(kUnsupportedPoolKeys));

} // namespace lxmgr::config
