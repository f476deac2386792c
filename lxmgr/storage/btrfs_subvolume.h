// Subvolumes of btrfs by ioctl and descriptor: no library, no program, no path that a guest can choose.
// Source: <linux/btrfs.h>, btrfs-ioctl(2). Needs Linux 5.7 (deletion by id).
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "base/types.h"

#include <cstdint>
#include <optional>
#include <string>

namespace lxmgr::storage::btrfs
{

enum class Access { ReadWrite, ReadOnly };

/// Whether `folder` is on btrfs.
bool isBtrfs(const Fd &folder);
/// Whether `folder` is the top of a subvolume.
bool isSubvolume(const Fd &folder);
/// The number of the subvolume that `folder` is in.
Result<std::uint64_t> idOf(const Fd &folder);
/// Makes the empty subvolume `name` in `at`.
Status createSubvolume(const Fd &at, const std::string &name);
/// Makes the subvolume `name` in `at` as `source` is now; with its data on disk and committed when this returns.
/// Subvolumes that a guest made inside are in there too, copied one after the other.
Status snapshot(const Fd &source, const Fd &at, const std::string &name, Access access);
Status setAccess(const Fd &subvolume, Access access);
/// Whether there are subvolumes inside.
Result<bool> hasNested(const Fd &subvolume);
/// `subvolume`, which can be written to, is no longer known as what was received: the next stream that is based on the same
/// does not find this one.
Status forgetOrigin(const Fd &subvolume);
/// A path below the top of `subvolume` by which it has the inode of this number; none: it does not.
Result<std::optional<std::string>> pathOfInode(const Fd &subvolume, std::uint64_t inode);
/// Writes the read-only `subvolume` to the file or pipe `to` as a stream (btrfs-send(8)): whole, or what has changed since
/// the read-only `since`. Subvolumes inside are empty folders in it.
Status send(const Fd &subvolume, const Fd *since, const Fd &to);
/// Removes the subvolume that `subvolume` is the top of, and all subvolumes inside. Unlinking it is atomic, the kernel
/// frees the space later.
Status destroy(const Fd &subvolume);

/// The first device of the file system that `folder` is on.
struct DeviceInfo {
    std::string path; ///< "/dev/loop3"
    Bytes size;       ///< What the file system takes of it.
};
Result<DeviceInfo> deviceOf(const Fd &folder);
/// The file system takes all of its first device.
Status growToDevice(const Fd &folder);

} // namespace lxmgr::storage::btrfs
