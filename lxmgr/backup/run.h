// Running borg by way of the helper, which shuts it in; what it says is followed, and it is ended when nobody wants it any more.
#pragma once

#include "backup/job.h"
#include "backup/output.h"
#include "base/progress.h"

namespace lxmgr::backup
{

struct Ended {
    std::string text;                  ///< What it printed on standard output.
    std::vector<std::string> listed;   ///< What --list printed.
    std::vector<std::string> warnings; ///< The first hundred.
    std::uint64_t warned = 0;          ///< How many there were.
};

/// Blocking; any thread. `target` for a job that restores. The errors of errorOf(); Cancelled.
Result<Ended> run(const std::string &helper, const Job &job, const Fd *target, Progress &progress);

} // namespace lxmgr::backup
