#include "kernel/lock.h"

#include <cerrno>
#include <chrono>
#include <sys/file.h>
#include <thread>

namespace lxmgr::files
{

namespace
{

constexpr auto kMost = std::chrono::seconds(1);
constexpr auto kBetween = std::chrono::milliseconds(5); ///< No descriptor tells when a lock comes free.

} // namespace

Result<bool> lockExclusively(const Fd &fd)
{
    const auto end = std::chrono::steady_clock::now() + kMost;
    while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return Error::fromErrno(errno, "flock");
        if (std::chrono::steady_clock::now() >= end)
            return false;
        std::this_thread::sleep_for(kBetween);
    }
    return true;
}

} // namespace lxmgr::files
