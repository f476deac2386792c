// System calls of a guest that are carried out for it (security.syscalls.intercept.*), in a process of their own beside the
// monitor: a call that takes its time holds neither that nor the daemon up, and goes on while they are stopped.
#pragma once

#include "base/fd.h"
#include "kernel/process.h"
#include "spec/channel.h"
#include "spec/launch.h"

#include <sys/types.h>
#include <utility>

namespace lxmgr::runtime
{

/// Carries out what the guest's processes ask for until it is killed, or whoever began it dies. Without it these calls answer
/// ENOSYS.
class Interceptor
{
public:
    /// `listener`: that of PID 1, `initPid`.
    static Result<Interceptor> begin(const spec::LaunchSpec &spec, pid_t initPid, Fd listener);
    Interceptor() = default;
    Interceptor(Interceptor &&other) noexcept : m_child(std::exchange(other.m_child, {})), m_listeners(std::move(other.m_listeners)) {}
    Interceptor &operator=(Interceptor &&other) noexcept;
    ~Interceptor() { end(); }

    /// One more, of a process that came later.
    Status add(const Fd &listener);
    /// Whether `pid`, which has ended, was it.
    bool reap(pid_t pid);
    /// Kills it and waits for its end.
    void end();
    explicit operator bool() const { return m_child.pid != 0; }

private:
    process::Child m_child;
    spec::Channel m_listeners;
};

} // namespace lxmgr::runtime
