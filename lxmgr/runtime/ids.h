// The guest's id map in the kernel room's terms.
#pragma once

#include "kernel/idmap.h"
#include "spec/launch.h"

#include <vector>

namespace lxmgr::runtime
{

struct Ids {
    std::vector<idmap::Range> uids, gids;

    static Ids of(const spec::IdMap &map)
    {
        Ids ids;
        for (const spec::IdRange &range : map.uids)
            ids.uids.push_back({range.container, range.host, range.count});
        for (const spec::IdRange &range : map.gids)
            ids.gids.push_back({range.container, range.host, range.count});
        return ids;
    }
    /// Without a user namespace of its own.
    bool privileged() const { return uids.empty(); }
    /// Host ids of ids inside; an unmapped one is given as it is, and the kernel refuses it.
    uid_t uid(uid_t inside) const { return privileged() ? inside : idmap::toHost(uids, inside).value_or(inside); }
    gid_t gid(gid_t inside) const { return privileged() ? inside : idmap::toHost(gids, inside).value_or(inside); }
};

} // namespace lxmgr::runtime
