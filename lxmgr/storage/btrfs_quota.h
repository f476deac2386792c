// Quota groups of btrfs, by ioctl: what a subvolume refers to is counted and can be limited.
// Source: <linux/btrfs.h>, <linux/btrfs_tree.h>, btrfs-quota(5).
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "base/types.h"

#include <cstdint>
#include <optional>

namespace lxmgr::storage::btrfs
{

/// Switches counting on for the file system of `folder`, once, and waits until it has been through all that is there.
Status beginQuotas(const Fd &folder);

struct Quota {
    Bytes used; ///< Data and metadata that the subvolume refers to, shared or not, as of the last commit.
    std::optional<Bytes> limit;
};
/// None where the file system does not count, or has not finished with it.
Result<std::optional<Quota>> quotaOf(const Fd &subvolume);
/// None lifts it. Who is at the limit gets EDQUOT. Subvolumes inside have groups of their own.
Status setQuota(const Fd &subvolume, std::optional<Bytes> limit);
/// The group of a subvolume that is gone; those that the kernel keeps until it is through with it, it removes itself.
void forgetQuota(const Fd &anywhere, std::uint64_t subvolume);

} // namespace lxmgr::storage::btrfs
