// The child between clone3(2) and exec: from a copy of the monitor to PID 1 of the guest.
#pragma once

#include "kernel/cgroup.h"
#include "runtime/ids.h"
#include "runtime/progress.h"
#include "spec/channel.h"
#include "spec/launch.h"

namespace lxmgr::runtime
{

/// Does kChildSteps and becomes init. Returns the exit status when something failed, after telling the parent.
int runChild(const spec::LaunchSpec &spec, const Ids &ids, const cgroup::Layout &layout, spec::Channel parent,
             const Progress &progress);

/// What the child does when its Progress says `step`.
const char *childStepName(std::size_t step);

} // namespace lxmgr::runtime
