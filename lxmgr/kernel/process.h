// Processes as pidfds: clone3, waiting, signals.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <functional>
#include <sys/types.h>

namespace lxmgr::process
{

struct Child {
    pid_t pid = 0;
    Fd pidfd;
};

/// clone3(2) without sharing memory; `body` runs in the child and must not return to the caller's code: its result is
/// the exit status. The caller has one thread (a lock held by another would stay locked in the child).
/// `cgroup`: folder of cgroup2 it is born in (CLONE_INTO_CGROUP, Linux 5.7), or an empty Fd.
Result<Child> clone(std::uint64_t namespaces, const Fd &cgroup, const std::function<int()> &body);

/// Wait status as waitpid(2) gives it. Reaps.
Result<int> wait(pid_t pid);
/// SIGKILL to a child of the caller that has not been waited for: until then its number is nobody else's.
void killChild(pid_t pid);
/// 0–255, or 128 + signal.
int exitCode(int waitStatus);

/// All signals unblocked and at their default: what an exec'd program starts from.
void resetSignals();

} // namespace lxmgr::process
