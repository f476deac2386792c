// A root of its own for a program of the host: what programs load themselves from, read-only, and what this one is to
// work on. Nothing else of the host has a name there.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <functional>
#include <linux/mount.h>
#include <string>
#include <vector>

namespace lxmgr::helper
{

/// Attributes of mounts with what a guest or an archive brought.
inline constexpr std::uint64_t kNothingRuns = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

/// A mount of its own, and where it goes below the new root.
struct Part {
    std::string at;
    Fd mount;
    bool isFile = false;
};

/// `path` of the host as a mount of its own, with `attributes`.
Result<Fd> bound(const std::string &path, std::uint64_t attributes);

/// A folder that the helper was born with, and where it goes below the new root.
struct Target {
    std::string at;
    int fd = -1;
};

/// Enters namespaces of mounts, network, IPC and names with such a root, in which `find` adds mounts and `fill` makes what
/// they need; the folder that the helper was given as its
/// target goes to `target`, if that is there. Single-threaded; no
/// way back; the current folder is "/".
Status enterProgramRoot(const Target *target, const std::function<Status(std::vector<Part> &parts)> &find,
                        const std::function<Status(const Fd &root)> &fill);

} // namespace lxmgr::helper
