// How much a guest may read and write of a block device in a second, and how much it has: io.max and io.stat of cgroup2,
// blkio.throttle.* of v1.
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

class Layout;

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

/// Since its start.
struct IoUsage {
    unsigned major = 0, minor = 0;
    std::uint64_t readBytes = 0, writtenBytes = 0, reads = 0, writes = 0;
    bool operator==(const IoUsage &) const = default;
};
/// Lines of io.stat; what is none is passed over.
std::vector<IoUsage> parseIoStat(std::string_view text);
/// Lines of blkio.throttle.io_service_bytes and io_serviced.
std::vector<IoUsage> parseThrottleStat(std::string_view bytes, std::string_view operations);
/// Of the group at `path`, by device; none where this host does not count it.
Result<std::vector<IoUsage>> ioUsage(const Layout &layout, const std::string &path);
/// "vda"; "8:0" for a device that is gone.
std::string diskName(unsigned major, unsigned minor);

/// The disk that what is at `place` lies on, whole also where that is a partition of it: limits are kept of disks.
/// Unsupported where its file system has no block device of its own (overlay, zfs, tmpfs, network).
Result<dev_t> diskBelow(const Fd &place);

} // namespace lxmgr::cgroup
