// Owners of a whole tree changed by a map, where a host has written the ids to disk that its guests had on it.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "kernel/idmap.h"

#include <vector>

namespace lxmgr::trees
{

struct OwnerMap {
    std::vector<idmap::Range> uids, gids; ///< `outside` is on disk, `inside` is wanted.
    bool empty() const { return uids.empty() && gids.empty(); }
};

/// Gives everything in `top`, and itself, the owners that `map` says, also in access control lists and capabilities of
/// files (capabilities(7), acl(5)). Modes and times stay. Invalid: an id that the map does not have, naming the file; what
/// came before it is changed then.
Status changeOwners(const Fd &top, const OwnerMap &map);

} // namespace lxmgr::trees
