// The daemon's side of a monitor: start one, and talk to one that runs.
#pragma once

#include "base/fd.h"
#include "base/paths.h"
#include "base/result.h"
#include "spec/channel.h"
#include "spec/launch.h"
#include "spec/messages.h"

#include <chrono>
#include <optional>
#include <string>
#include <sys/types.h>

namespace lxmgr::spec
{

struct StartedGuest {
    Fd monitorPidfd; ///< Readable when the monitor has ended.
    pid_t monitorPid = 0;
    pid_t initPid = 0; ///< On the host.
};

/// Spawns a monitor for `launch` and waits until the guest's init was exec'd, or hands on the child's own Error, after
/// which nothing is left of it. `launch.runDir` must exist. The caller need not reap: the monitor is nobody's child.
/// Timeout: the first process took longer than `launch.patience` (nothing is left), or the monitor itself a third more
/// (it and its guest are killed; the control group is the caller's to remove).
Result<StartedGuest> startMonitor(const std::string &monitorBinary, const LaunchSpec &launch);
Result<StartedGuest> startMonitor(const Paths &paths, const LaunchSpec &launch);

/// Where the monitor of `runDir` listens, what it was started with, and what it leaves at the end.
std::string monitorSocket(const std::string &runDir);
/// NotFound where no guest was started from here.
Result<LaunchSpec> readLaunchSpec(const std::string &runDir);
/// NotFound where no guest has ended here since its start (the monitor was killed, or it runs).
Result<ExitRecord> readExitRecord(const std::string &runDir);

struct MonitorInfo : InfoBody {
    Fd monitorPidfd;
    Fd initPidfd;
};

struct ExecStarted {
    pid_t pid = 0; ///< On the host.
    Fd pidfd;      ///< For pidfd_send_signal(2); readable at the end.
    Fd ptyMaster;  ///< With a pty; TIOCSWINSZ on it resizes.
};

/// One connection. Each call blocks for its reply; use one object per thread and per purpose (exec, console, events).
class MonitorClient
{
public:
    /// Unavailable when no monitor listens there.
    static Result<MonitorClient> connect(const std::string &socketPath);

    Result<MonitorInfo> info();

    /// `stdio`: three descriptors, unused with a pty. The command goes on when this connection ends.
    Result<ExecStarted> exec(const ExecRequest &request, int stdinFd, int stdoutFd, int stderrFd);
    /// Blocks until the command of `exec` ended; poll `fd()` for reading before, to not block.
    Result<ExecExit> waitExec();

    Status signalInit(int signal);
    /// Asks for a clean halt or reboot and returns at once; `subscribe` or the monitor's pidfd tell the end.
    Status stop();
    Status reboot();
    /// Kills everything and returns when the guest and its cgroups are gone.
    Status kill();
    Status freeze();
    Status thaw();
    /// Devices go and come while the guest runs; its next boots have them so, too. After an error it has what it had.
    Status replug(const ReplugBody &devices);
    /// What its next boots write into its control groups; those of now are the caller's to write.
    Status keepLimits(const LimitsBody &limits);

    /// A stream socket: what is written is typed at the console, what it prints is read. Closing detaches.
    Result<Fd> attachConsole(unsigned width, unsigned height);
    Status resizeConsole(unsigned width, unsigned height);
    Result<std::string> consoleLog();
    Status clearConsoleLog();

    /// From now on `nextEvent` gives what happens. Use a connection of its own.
    Status subscribe();
    /// nullopt when `timeout` passed. Unavailable when the monitor is gone.
    Result<std::optional<MonitorEvent>> nextEvent(std::chrono::milliseconds timeout);

    int fd() const { return m_channel.fd(); }

private:
    explicit MonitorClient(Channel channel) : m_channel(std::move(channel)) {}
    Result<Packet> ask(MessageType type, std::string_view body = {}, const std::vector<int> &fds = {});
    Channel m_channel;
};

} // namespace lxmgr::spec
