// How errors of a full disk say what is free.
#pragma once

#include "base/text.h"
#include "storage/driver.h"

#include <utility>

namespace lxmgr::instances
{

/// `done` with what is free in the pool, where it found no space.
inline Status withFreeSpace(Status done, const storage::Driver &pool)
{
    if (done || done.error().code != Code::NoSpace)
        return done;
    const auto space = pool.space();
    if (!space)
        return done;
    return std::move(done.error())
        .hint(humanBytes(space->available) + " and " + std::to_string(space->inodesFree) + " inodes free in storage pool " + quoted(pool.name()));
}

} // namespace lxmgr::instances
