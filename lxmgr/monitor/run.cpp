// Mode "run": becomes the monitor of one guest.
#include "base/failpoint.h"
#include "base/log.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "monitor/modes.h"
#include "monitor/monitor.h"
#include "spec/codec.h"
#include "spec/monitor_client.h"
#include "spec/spawn.h"

#include <csignal>
#include <sys/prctl.h>
#include <unistd.h>

namespace lxmgr::monitor
{

namespace
{

/// Nobody's child, in a session of its own: it outlives the daemon, whose terminal and pipes it must not hold.
Status leaveDaemon(spec::Channel &daemon)
{
    TRY(failpoint("parent.fork"));
    const long pid = TRY(sys::call("fork", {}, [] { return ::fork(); }));
    if (pid > 0) {
        // While it is our child its number cannot become another's.
        const Fd monitor = TRY(sys::pidfd_open(static_cast<pid_t>(pid)));
        TRY(daemon.send(spec::MessageType::Forked, {}, {monitor.get()}));
        ::_exit(0);
    }
    TRY(sys::setsid());
    TRY(sys::chdir("/"));
    ::umask(0);
    (void)::signal(SIGPIPE, SIG_IGN);
    TRY(sys::prctl("PR_SET_NAME", PR_SET_NAME, reinterpret_cast<unsigned long>("lxmgr-monitor")));
    return sys::prctl("PR_SET_DUMPABLE", PR_SET_DUMPABLE, 0); // nobody traces us, before and while entering a guest
}

/// Warnings go beside the console's log.
Status openLog(const spec::LaunchSpec &launch)
{
    const std::size_t slash = launch.consoleLog.rfind('/');
    const std::string path =
        slash == std::string::npos ? "/dev/null" : launch.consoleLog.substr(0, slash) + "/lxmgr.log";
    const Fd file = TRY(sys::open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NOCTTY, 0600));
    TRY(sys::dup2(file, 1));
    return sys::dup2(file, 2);
}

/// The files of a start that fails are taken back by who asked for it: spec::startMonitor, or the next daemon.
Result<std::unique_ptr<Monitor>> bear(uv_loop_t &loop, spec::Channel &daemon)
{
    auto packet = TRY(daemon.receive());
    if (!packet || packet->type != spec::MessageType::Launch)
        return Error(Code::Corrupt, "no launch came from the daemon");
    auto launch = TRY(spec::decode<spec::LaunchSpec>(packet->body));
    TRY_IN("log", openLog(launch));
    const Fd folder = TRY_IN("run folder", path::openFolder(launch.runDir));
    (void)sys::unlinkat(folder, "exit"); // of the guest's last life
    TRY(files::replaceVolatile(folder, "spec", packet->body));
    *packet = {};
    cgroup::Layout layout = TRY(cgroup::Layout::probe());
    // Before the start: a new daemon that finds the socket waits in its queue until the guest runs or we are gone.
    Fd listener = TRY(spec::Channel::listen(spec::monitorSocket(launch.runDir)));
    return std::make_unique<Monitor>(loop, std::move(launch), std::move(layout), std::move(listener));
}

Status tellLaunched(spec::Channel &daemon, const Monitor &monitor)
{
    const spec::LaunchedBody body{::getpid(), monitor.initPid()};
    return daemon.send(spec::MessageType::Launched, spec::encode(body));
}

int fail(spec::Channel &daemon, const Error &error)
{
    if (!daemon.send(spec::MessageType::Failed, spec::encodeFailure(error)))
        log::error(error.message);
    return 1;
}

} // namespace

int run(std::span<char *const>)
{
    spec::Channel daemon{Fd(3)};
    static uv_loop_t loop;
    if (Status left = leaveDaemon(daemon); !left)
        return fail(daemon, left.error());
    uv_loop_init(&loop);
    const auto monitor = bear(loop, daemon);
    if (!monitor)
        return fail(daemon, monitor.error());
    if (Status started = (*monitor)->start(); !started)
        return fail(daemon, started.error());
    (void)tellLaunched(daemon, **monitor); // the daemon may have died meanwhile: the next one finds our socket
    daemon = spec::Channel();
    (*monitor)->settle();
    (*monitor)->run();
    return 0;
}

} // namespace lxmgr::monitor
