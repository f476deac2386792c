// seccomp_unotify(2): system calls that wait for somebody else's answer. Linux 5.5; blocking only where it is said.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <array>
#include <cstdint>
#include <optional>
#include <sys/types.h>

namespace lxmgr::notify
{

/// Arguments are as the caller's registers were; what they point to may change at any time.
struct Call {
    std::uint64_t id = 0;
    pid_t thread = 0; ///< As seen from our pid namespace.
    int number = 0;   ///< SYS_*
    std::array<std::uint64_t, 6> arguments{};
};
/// The next one, where poll(2) said that there is one; nothing where its caller has died meanwhile.
Result<std::optional<Call>> receive(const Fd &listener);
/// Whether its caller still waits. Only then is what was opened by the caller's number the caller's.
bool waits(const Fd &listener, std::uint64_t id);

/// How a call ends. A caller that has died is no error.
struct Answer {
    std::int64_t value = 0;
    int errnum = 0;
    bool goesOn = false; ///< The kernel does what it would have done without us, by arguments that may be others by now.
};
Status answer(const Fd &listener, std::uint64_t id, const Answer &answer);

} // namespace lxmgr::notify
