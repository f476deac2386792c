// Subvolumes of btrfs by ioctl and descriptor: no library, no program, no path that a guest can choose.
// Source: <linux/btrfs.h>, btrfs-ioctl(2). Needs Linux 5.7 (deletion by id).
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "base/types.h"

#include <cstdint>
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
