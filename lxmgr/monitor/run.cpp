// Mode "run": becomes the monitor of one guest.
#include "base/log.h"
#include "base/undo.h"
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
Status leaveDaemon()
{
    const long pid = TRY(sys::call("fork", {}, [] { return ::fork(); }));
    if (pid > 0)
        ::_exit(0);
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

void forget(const std::string &runDir)
{
    if (const auto folder = path::openFolder(runDir)) {
        (void)sys::unlinkat(*folder, "monitor.sock"); // there or not, none must be
        (void)sys::unlinkat(*folder, "spec");
    }
}

struct Born {
    std::unique_ptr<Monitor> monitor;
    std::string runDir;
};

Result<Born> bear(uv_loop_t &loop, spec::Channel &daemon)
{
    auto packet = TRY(daemon.receive());
    if (!packet || packet->type != spec::MessageType::Launch)
        return Error(Code::Corrupt, "no launch came from the daemon");
    auto launch = TRY(spec::decode<spec::LaunchSpec>(packet->body));
    TRY_IN("log", openLog(launch));
    const Fd folder = TRY_IN("run folder", path::openFolder(launch.runDir));
    Undo undo;
    undo.add("forget the start", [&launch]() -> Status {
        forget(launch.runDir);
        return {};
    });
    (void)sys::unlinkat(folder, "exit"); // of the guest's last life
    TRY(files::replaceVolatile(folder, "spec", packet->body));
    *packet = {};
    cgroup::Layout layout = TRY(cgroup::Layout::probe());
    // Before the start: a new daemon that finds the socket waits in its queue until the guest runs or we are gone.
    Fd listener = TRY(spec::Channel::listen(spec::monitorSocket(launch.runDir)));
    Born born;
    undo.keep();
    born.runDir = launch.runDir;
    born.monitor = std::make_unique<Monitor>(loop, std::move(launch), std::move(layout), std::move(listener));
    return born;
}

Status tellLaunched(spec::Channel &daemon, const Monitor &monitor)
{
    const Fd self = TRY(sys::pidfd_open(::getpid()));
    const spec::LaunchedBody body{::getpid(), monitor.initPid()};
    return daemon.send(spec::MessageType::Launched, spec::encode(body), {self.get()});
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
    if (Status left = leaveDaemon(); !left)
        return fail(daemon, left.error());
    uv_loop_init(&loop);
    auto born = bear(loop, daemon);
    if (!born)
        return fail(daemon, born.error());
    if (Status started = born->monitor->start(); !started) {
        forget(born->runDir);
        return fail(daemon, started.error());
    }
    (void)tellLaunched(daemon, *born->monitor); // the daemon may have died meanwhile: the next one finds our socket
    daemon = spec::Channel();
    born->monitor->settle();
    born->monitor->run();
    return 0;
}

} // namespace lxmgr::monitor
