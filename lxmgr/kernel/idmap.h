// User and group id maps (user_namespaces(7)): writing them, translating, and namespaces made only for their map.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <sys/types.h>

namespace lxmgr::idmap
{

/// `count` ids from `inside` are those from `outside`.
struct Range {
    std::uint32_t inside = 0;
    std::uint32_t outside = 0;
    std::uint32_t count = 0;
};

/// Writes uid_map and gid_map of `pid`, which has just got a user namespace. setgroups stays allowed: the writer is
/// root.
Status write(pid_t pid, std::span<const Range> uids, std::span<const Range> gids);
/// What `inside` is outside; nothing where it is not mapped.
std::optional<std::uint32_t> toHost(std::span<const Range> ranges, std::uint32_t inside);
/// What `outside` is inside.
std::optional<std::uint32_t> toInside(std::span<const Range> ranges, std::uint32_t outside);
/// A user namespace with these maps and no process in it, for idmapped mounts.
Result<Fd> makeNamespace(std::span<const Range> uids, std::span<const Range> gids);
/// The user namespace of a process.
Result<Fd> namespaceOf(pid_t pid);

} // namespace lxmgr::idmap
