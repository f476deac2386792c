// Found: something that lies in a pool or beside it and that the database does not know.
#pragma once

#include "base/result.h"

#include <string>
#include <vector>

namespace lxmgr::instances
{

struct Found {
    enum class Result { Lost, Recovered, Failed };
    std::string kind; ///< "instance", "profile", "storage pool", "storage volume", "image", "network"
    std::string project;
    std::string name;
    std::string pool;
    Result result = Result::Lost;
    std::string message; ///< Why it failed.
};
/// Whether to do it, or only to say what would be done.
enum class Apply { No, Yes };

/// `found` with how bringing it back went.
inline Found outcome(Found found, const Status &done, Apply apply)
{
    if (!done)
        found.result = Found::Result::Failed;
    else if (apply == Apply::Yes)
        found.result = Found::Result::Recovered;
    found.message = done ? "" : done.error().message;
    return found;
}

} // namespace lxmgr::instances
