// Limits of projects: what all instances and volumes of one may have together. What would be more is refused in the
// transaction that records it, so that of two who ask at once one comes too late.
#pragma once

#include "store/projects.h"

#include <functional>
#include <vector>

namespace lxmgr::instances
{

/// Runs `change` in a transaction. Forbidden, and nothing is changed, where one of `projects` would then have more than its
/// limits.* allow, or something in it that does not say how much it takes; with names and figures. What was so before may
/// stay so.
Status withinLimits(store::Database &db, const std::vector<std::string> &projects, const std::function<Status()> &change);
/// What withinLimits() would say; nothing is changed. Nothing is tried where no project has limits.
Status checkLimits(store::Database &db, const std::vector<std::string> &projects, const std::function<Status()> &change);

/// One that a project can have a limit of.
struct ProjectResource {
    std::string name;        ///< "memory", "disk.pool.fast": the key without "limits.".
    std::int64_t limit = -1; ///< -1: none.
    std::int64_t usage = 0;  ///< What its instances and volumes may take by what they say themselves.
};
/// By their names.
Result<std::vector<ProjectResource>> projectResources(store::Database &db, const std::string &project);

} // namespace lxmgr::instances
