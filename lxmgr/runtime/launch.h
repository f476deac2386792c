// LaunchSpec → a running guest. Blocking; the caller has one thread and is the parent of PID 1.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "kernel/cgroup.h"
#include "runtime/trees.h"
#include "spec/launch.h"

#include <sys/types.h>

namespace lxmgr::runtime
{

struct Guest {
    pid_t initPid = 0;
    Fd initPidfd;
    Fd console;          ///< Master of the console's pty, blocking.
    Fd devpts;           ///< The guest's own /dev/pts, for the ptys of exec.
    Fd dev;              ///< The guest's /dev, for nodes that come later.
    Fd notify;           ///< Datagram socket bound at /run/host/notify inside (sd_notify(3)).
    Fd listener;         ///< Where its intercepted system calls wait for an answer; empty: none are.
    Leftovers leftovers; ///< To be closed when nobody waits.
    std::vector<spec::Nic> nics; ///< Of the spec, with what plugging them in filled in.
};

/// Returns when init was exec'd. After an error nothing is left: no process, control group, mount or interface.
/// Timeout: the child did not get there within `spec.patience`, and was killed.
Result<Guest> launch(const spec::LaunchSpec &spec, const cgroup::Layout &layout);

/// Takes back what `launch` made on the host. The guest's processes must be gone or going.
Status cleanUp(const spec::LaunchSpec &spec, const cgroup::Layout &layout);

} // namespace lxmgr::runtime
