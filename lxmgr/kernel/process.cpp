#include "kernel/process.h"

#include "kernel/sys.h"

#include <csignal>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lxmgr::process
{

Result<Child> clone(std::uint64_t namespaces, const Fd &cgroup, const std::function<int()> &body)
{
    int pidfd = -1;
    clone_args arguments{};
    arguments.flags = namespaces | CLONE_PIDFD | (cgroup ? CLONE_INTO_CGROUP : 0);
    arguments.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
    arguments.exit_signal = SIGCHLD;
    arguments.cgroup = cgroup ? static_cast<std::uint64_t>(cgroup.get()) : 0;
    const long pid = TRY(sys::call("clone3", {}, [&] { return ::syscall(SYS_clone3, &arguments, sizeof arguments); }));
    if (pid == 0)
        ::_exit(body());
    return Child{static_cast<pid_t>(pid), Fd(pidfd)};
}

Result<int> wait(pid_t pid)
{
    int status = 0;
    TRY(sys::call("waitpid", std::to_string(pid), [&] { return ::waitpid(pid, &status, 0); }));
    return status;
}

void killChild(pid_t pid) { ::kill(pid, SIGKILL); }

int exitCode(int waitStatus) { return WIFSIGNALED(waitStatus) ? 128 + WTERMSIG(waitStatus) : WEXITSTATUS(waitStatus); }

void resetSignals()
{
    for (int signal = 1; signal < NSIG; ++signal)
        (void)::signal(signal, SIG_DFL); // SIGKILL and SIGSTOP refuse, and need no reset
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

} // namespace lxmgr::process
