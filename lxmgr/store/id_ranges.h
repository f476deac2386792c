// Tables id_ranges and id_slots: every unprivileged instance has host ids of its own.
#pragma once

#include "store/database.h"

#include <optional>
#include <vector>

namespace lxmgr::store
{

/// Host ids base … base+size-1. Size 0: none.
struct IdRange {
    std::uint32_t base = 0;
    std::uint32_t size = 0;
    bool operator==(const IdRange &) const = default;
};

inline constexpr std::uint32_t kIdRangeSize = 65536;

/// Where ranges may be taken from.
struct IdPool {
    std::uint32_t base = 1'000'000;
    std::uint32_t count = 1'000'000'000;
    std::vector<IdRange> taken; ///< Ids the host uses or has promised to somebody else; sorted, apart from each other.

    /// The host's promises out of the text of its files: ranges in subuid(5) and subgid(5) of anybody but root and
    /// "lxmgr", and every id of passwd(5) and group(5). Lines that make no sense are passed over, as shadow's own tools
    /// do.
    static IdPool fromHost(std::string_view subuid, std::string_view subgid, std::string_view passwd,
                           std::string_view group);
};

/// Gives the instance the lowest free range (or the one at `base`) and records it; in the transaction of
/// insertInstance. NoSpace: none left. AlreadyExists: ids at `base` belong to another instance. Invalid: `base` is
/// outside the pool's reach, or the host has promised those ids to somebody else.
Result<IdRange> allocateIdRange(Database &db, std::int64_t instanceId, const IdPool &pool,
                                std::uint32_t size = kIdRangeSize, std::optional<std::uint32_t> base = std::nullopt);
/// Gives it back: after the last process, mount and file with these ids is gone. deleteInstance does it too.
Status releaseIdRange(Database &db, std::int64_t instanceId);

} // namespace lxmgr::store
