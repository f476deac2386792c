#include "spec/monitor_client.h"

#include "base/text.h"
#include "spec/codec.h"
#include "spec/spawn.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lxmgr::spec
{

namespace
{

/// A small file of the run folder, which only we write.
Result<std::string> readWhole(const std::string &path)
{
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd)
        return Error::fromErrno(errno, "open", path).as(errno == ENOENT ? Code::NotFound : Code::Internal);
    std::string content;
    char buffer[16384];
    for (;;) {
        const ssize_t length = ::read(fd.get(), buffer, sizeof buffer);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0)
            return Error::fromErrno(errno, "read", path);
        if (length == 0)
            return content;
        content.append(buffer, static_cast<std::size_t>(length));
        if (content.size() > Channel::kMaxBody)
            return Error(Code::Corrupt, quoted(path) + " is too long");
    }
}

void kill(const Fd &pidfd) { ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0); }

/// The process that was spawned has nothing more to do once it told of the monitor it leaves behind, or never will.
void reap(const Spawned &spawned)
{
    kill(spawned.pidfd);
    while (::waitpid(spawned.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
}

Result<Packet> expect(Channel &channel, MessageType type)
{
    auto packet = TRY(channel.receive());
    if (!packet)
        return Error(Code::Unavailable, "the monitor ended unexpectedly");
    if (packet->type == MessageType::Failed)
        return failureOf(*packet);
    if (packet->type != type)
        return Error(Code::Corrupt, "unexpected message " + quoted(messageName(packet->type)) + " from the monitor");
    return std::move(*packet);
}

/// The monitor waits for its own child first and tells more of it; only one that hangs itself is ended by us.
std::chrono::milliseconds patienceWithMonitor(const LaunchSpec &launch)
{
    const std::chrono::milliseconds child(launch.patience);
    return child + child / 3;
}

/// Of the channel, that is: what the monitor tells of its own patience with the child has no errno.
bool ranOut(const Error &error) { return error.code == Code::Timeout && error.errnum == ETIMEDOUT; }

/// Its guest dies with it. Not even a kill ends a process whose disk does not answer: that one is not waited for long.
void end(const Fd &monitor)
{
    kill(monitor);
    pollfd poller{monitor.get(), POLLIN, 0};
    ::poll(&poller, 1, 5000);
}

/// The handle of the monitor, which leaves the process that we spawned.
Result<Fd> awaitFork(Spawned &spawned, const LaunchSpec &launch)
{
    auto packet = expect(spawned.channel, MessageType::Forked);
    reap(spawned);
    if (!packet && ranOut(packet.error()))
        return hung(patienceWithMonitor(launch), "lxmgr-monitor", "fork");
    Packet forked = TRY(std::move(packet));
    if (forked.fds.size() != 1)
        return Error(Code::Corrupt, "the monitor sent no handle of itself");
    return std::move(forked.fds[0]);
}

Result<LaunchedBody> awaitLaunch(Channel &channel, const LaunchSpec &launch)
{
    TRY(channel.send(MessageType::Launch, encode(launch)));
    const Packet reply = TRY(expect(channel, MessageType::Launched));
    return decode<LaunchedBody>(reply.body);
}

Result<StartedGuest> startIn(Spawned &spawned, const LaunchSpec &launch)
{
    spawned.channel.setDeadline(std::chrono::steady_clock::now() + patienceWithMonitor(launch));
    Fd monitor = TRY(awaitFork(spawned, launch));
    auto launched = awaitLaunch(spawned.channel, launch);
    if (!launched)
        end(monitor); // whatever it says: no guest may run that nobody knows of
    if (!launched && ranOut(launched.error()))
        return hung(patienceWithMonitor(launch), "lxmgr-monitor", "start the guest");
    const LaunchedBody body = TRY(std::move(launched));
    return StartedGuest{std::move(monitor), body.monitorPid, body.initPid};
}

/// What a monitor leaves in its run folder: it may have died before it could take it back, or failed to.
void forgetStart(const std::string &runDir)
{
    ::unlink((runDir + "/spec").c_str());
    ::unlink(monitorSocket(runDir).c_str());
}

} // namespace

Result<StartedGuest> startMonitor(const std::string &monitorBinary, const LaunchSpec &launch)
{
    Spawned spawned = TRY_IN("spawn monitor", spawnMonitor(monitorBinary, "run", launch.instance));
    auto started = startIn(spawned, launch);
    if (!started)
        forgetStart(launch.runDir);
    return started;
}

Result<StartedGuest> startMonitor(const Paths &paths, const LaunchSpec &launch)
{
    return startMonitor(paths.monitor, launch);
}

std::string monitorSocket(const std::string &runDir) { return runDir + "/monitor.sock"; }

Result<LaunchSpec> readLaunchSpec(const std::string &runDir)
{
    return decode<LaunchSpec>(TRY(readWhole(runDir + "/spec")));
}

Result<ExitRecord> readExitRecord(const std::string &runDir)
{
    return decode<ExitRecord>(TRY(readWhole(runDir + "/exit")));
}

Result<MonitorClient> MonitorClient::connect(const std::string &socketPath)
{
    return MonitorClient(TRY(Channel::connect(socketPath)));
}

Result<Packet> MonitorClient::ask(MessageType type, std::string_view body, const std::vector<int> &fds)
{
    TRY(m_channel.send(type, body, fds));
    auto packet = TRY(m_channel.receive());
    if (!packet)
        return Error(Code::Unavailable, "the monitor ended");
    if (packet->type == MessageType::Failed)
        return failureOf(*packet);
    return std::move(*packet);
}

Result<MonitorInfo> MonitorClient::info()
{
    Packet reply = TRY(ask(MessageType::Info));
    MonitorInfo info;
    static_cast<InfoBody &>(info) = TRY(decode<InfoBody>(reply.body));
    if (!reply.fds.empty())
        info.monitorPidfd = std::move(reply.fds[0]);
    if (reply.fds.size() > 1)
        info.initPidfd = std::move(reply.fds[1]);
    return info;
}

Result<ExecStarted> MonitorClient::exec(const ExecRequest &request, int stdinFd, int stdoutFd, int stderrFd)
{
    const std::vector<int> stdio = request.pty ? std::vector<int>{} : std::vector<int>{stdinFd, stdoutFd, stderrFd};
    Packet reply = TRY(ask(MessageType::Exec, encode(request), stdio));
    const auto body = TRY(decode<ExecStartedBody>(reply.body));
    if (reply.fds.size() != (request.pty ? 2U : 1U))
        return Error(Code::Corrupt, "the monitor sent too few descriptors");
    ExecStarted started;
    started.pid = body.pid;
    started.pidfd = std::move(reply.fds[0]);
    if (request.pty)
        started.ptyMaster = std::move(reply.fds[1]);
    return started;
}

Result<ExecExit> MonitorClient::waitExec()
{
    const Packet packet = TRY(expect(m_channel, MessageType::ExecExited));
    return decode<ExecExit>(packet.body);
}

Status MonitorClient::signalInit(int signal)
{
    TRY(ask(MessageType::Signal, encode(SignalBody{signal})));
    return {};
}

Status MonitorClient::stop()
{
    TRY(ask(MessageType::Stop));
    return {};
}

Status MonitorClient::reboot()
{
    TRY(ask(MessageType::Reboot));
    return {};
}

Status MonitorClient::kill()
{
    TRY(ask(MessageType::Kill));
    return {};
}

Status MonitorClient::freeze()
{
    TRY(ask(MessageType::Freeze));
    return {};
}

Status MonitorClient::thaw()
{
    TRY(ask(MessageType::Thaw));
    return {};
}

Status MonitorClient::replug(const ReplugBody &devices)
{
    const MessageType type = devices.hasProxies() ? MessageType::ReplugProxies
                             : devices.hasNodes() ? MessageType::ReplugNodes
                                                  : MessageType::Replug;
    auto done = ask(type, encode(devices));
    if (!done && done.error().code == Code::Unsupported && type != MessageType::Replug)
        return std::move(done.error()).hint("the guest was started by an older version: restart it to plug such devices");
    return done ? Status() : Status(std::move(done.error()));
}

Status MonitorClient::keepLimits(const LimitsBody &limits)
{
    TRY(ask(MessageType::KeepLimits, encode(limits)));
    return {};
}

Result<Fd> MonitorClient::attachConsole(unsigned width, unsigned height)
{
    Packet reply = TRY(ask(MessageType::AttachConsole, encode(WindowBody{width, height})));
    if (reply.fds.size() != 1)
        return Error(Code::Corrupt, "the monitor sent no console");
    return std::move(reply.fds[0]);
}

Status MonitorClient::resizeConsole(unsigned width, unsigned height)
{
    TRY(ask(MessageType::ResizeConsole, encode(WindowBody{width, height})));
    return {};
}

Result<std::string> MonitorClient::consoleLog()
{
    const Packet reply = TRY(ask(MessageType::ConsoleLog));
    return TRY(decode<TextBody>(reply.body)).text;
}

Status MonitorClient::clearConsoleLog()
{
    TRY(ask(MessageType::ClearConsoleLog));
    return {};
}

Status MonitorClient::subscribe()
{
    TRY(ask(MessageType::Subscribe));
    return {};
}

Result<std::optional<MonitorEvent>> MonitorClient::nextEvent(std::chrono::milliseconds timeout)
{
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd poller{m_channel.fd(), POLLIN, 0};
        const int ready = ::poll(&poller, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0)
            return Error::fromErrno(errno, "poll");
        if (ready == 0)
            return std::optional<MonitorEvent>();
        const Packet packet = TRY(expect(m_channel, MessageType::Event));
        return std::optional<MonitorEvent>(TRY(decode<MonitorEvent>(packet.body)));
    }
}

} // namespace lxmgr::spec
