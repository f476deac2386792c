// Locks on files and folders that a process holds for its life (flock(2)): the kernel lets go of them however it ends.
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace lxmgr::files
{

/// Whether the lock is now ours alone; false: somebody holds it. A process that was killed may be survived for a moment by a child that
/// is about to become another program and has its descriptors until then (close-on-exec): that long it is waited for, a second at most.
Result<bool> lockExclusively(const Fd &fd);

} // namespace lxmgr::files
