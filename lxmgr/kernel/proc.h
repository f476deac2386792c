// What /proc says about a process.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <string>
#include <sys/types.h>

namespace lxmgr::proc
{

/// Base name of the program a process runs ("systemd", "busybox"); empty when it cannot be told.
std::string programName(pid_t pid);

struct SignalSets {
    std::uint64_t blocked = 0, caught = 0; ///< Bit signal-1.
    bool waiting = false; ///< In sigtimedwait(2), which for that time takes what it waits for out of `blocked`.
    bool waitsFor(int signal) const { return waiting || ((blocked | caught) >> (signal - 1) & 1) != 0; }
};
Result<SignalSets> signalSets(pid_t pid);

/// Parent and start time (clock ticks since boot) of a process.
struct Stat {
    pid_t parent = 0;
    std::uint64_t startTime = 0;
    char state = '?';
};
Result<Stat> stat(pid_t pid);

/// The process that has the number `inside` in the pid namespace of `init`, as a pidfd. NotFound: none has (any more).
/// Looks at every process there is.
Result<Fd> findInside(pid_t init, pid_t inside);

} // namespace lxmgr::proc
