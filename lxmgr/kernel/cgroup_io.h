// How much a guest may read and write of a block device in a second: io.max of cgroup2, blkio.throttle.* of v1.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace lxmgr::cgroup
{

/// In a second; absent: no limit.
struct IoLimit {
    unsigned major = 0, minor = 0;
    std::optional<std::uint64_t> readBytes, writeBytes, readOperations, writeOperations;
    bool operator==(const IoLimit &) const = default;
};

/// One line a device, as io.max has it; of two limits of one device the smaller holds.
std::string formatIoLimits(std::span<const IoLimit> limits);
/// Invalid with the line.
Result<std::vector<IoLimit>> parseIoLimits(std::string_view lines);

/// Makes `lines` the limits of the guest's folder, and takes those of other devices back.
Status writeIoMax(const Fd &folder, std::string_view lines);
Status writeIoThrottle(const Fd &folder, std::string_view lines);

/// The disk that what is at `place` lies on, whole also where that is a partition of it: limits are kept of disks.
/// Unsupported where its file system has no block device of its own (overlay, zfs, tmpfs, network).
Result<dev_t> diskBelow(const Fd &place);

} // namespace lxmgr::cgroup
