// What comes of changing profiles that instances use.
#pragma once

#include "base/result.h"
#include "config/expand.h"
#include "store/instances.h"

#include <functional>
#include <string>
#include <vector>

namespace lxmgr::instances
{

/// What its profiles make of it. NotFound: one of them is gone.
Result<config::Expanded> expandedOf(store::Database &db, const store::Instance &row);

/// A running instance, and what it takes only when it is started again.
struct RestartNeeded {
    std::string instance;
    std::vector<std::string> keys;
};

/// How a change of profiles gets into the database, and out of it again should it not come into force.
struct ProfileRecord {
    std::function<Status()> write, takeBack;
};

/// Keys that differ and are read at the start of an instance only, sorted.
std::vector<std::string> keysForRestart(const config::Expanded &old, const config::Expanded &now);

} // namespace lxmgr::instances
