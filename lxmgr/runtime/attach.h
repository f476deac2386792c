// A command inside a running guest: born in its control groups and pid namespace, then as confined as PID 1 is.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "kernel/cgroup.h"
#include "kernel/process.h"
#include "runtime/launch.h"
#include "spec/channel.h"
#include "spec/launch.h"
#include "spec/messages.h"

#include <vector>

namespace lxmgr::runtime
{

struct Attached {
    process::Child child;
    spec::Channel words; ///< Listener, where calls are intercepted; Failed, if it could not be run.
    Fd ptyMaster;         ///< With a pty.
};

/// `spec`: the confinement comes from the plan, never from the guest's /proc. `stdio`: three descriptors, none with a
/// pty. Returns once the process exists; what goes wrong later is in `words`.
Result<Attached> attach(const spec::LaunchSpec &spec, const cgroup::Layout &layout, const Guest &guest,
                        const spec::ExecRequest &request, std::vector<Fd> stdio);

} // namespace lxmgr::runtime
