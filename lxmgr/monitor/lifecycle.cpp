// From the first start to the last clean-up: boots, reboots, signals, the end.
#include "base/log.h"
#include "base/text.h"
#include "cards/cards.h"
#include "kernel/cgroup_devices.h"
#include "kernel/files.h"
#include "kernel/netlink.h"
#include "kernel/path.h"
#include "kernel/proc.h"
#include "kernel/process.h"
#include "kernel/sys.h"
#include "monitor/memory.h"
#include "monitor/monitor.h"
#include "spec/codec.h"
#include "spec/monitor_client.h"
#include "spec/spawn.h"

#include <algorithm>
#include <csignal>
#include <ctime>
#include <sys/socket.h>
#include <sys/wait.h>

namespace lxmgr::monitor
{

using spec::GuestState;
using spec::MonitorEvent;

std::int64_t wallClock()
{
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1'000'000;
}

namespace
{

/// How a kind of init is asked to halt and to reboot the machine.
struct InitKind {
    std::string_view program;
    int halt, reboot;
};
/// systemd(1) "Signals"; busybox init(8); others follow sysvinit: SIGPWR for a failing power, SIGINT for ctrl-alt-del.
InitKind initKind(pid_t pid)
{
    const std::string program = proc::programName(pid);
    const InitKind kinds[] = {
        {"systemd", SIGRTMIN + 3, SIGRTMIN + 5},
        {"busybox", SIGUSR2,      SIGTERM     },
    };
    for (const InitKind &kind : kinds)
        if (kind.program == program)
            return kind;
    return {program, SIGPWR, SIGINT};
}

/// What a running guest's monitor does not need again before a reboot, which reads the spec from its file.
void forgetStart(spec::LaunchSpec &launch)
{
    launch.mounts = {};
    launch.files = {};
    launch.setup = {};
    launch.devices = {};
    launch.cgroupWrites = {};
    launch.sysctls = {};
    launch.environment = {};
}

/// The list of devices that the guest may use, without those of `gone` and with those of `come`.
std::string withRules(const std::string &list, const std::vector<spec::DeviceNode> &gone, const std::vector<spec::DeviceNode> &come)
{
    const auto ruleOf = [](const spec::DeviceNode &node) {
        return cgroup::formatDeviceRule({node.block ? 'b' : 'c', node.major, node.minor, "rwm"});
    };
    std::string text;
    for (const std::string &line : split(list, '\n'))
        if (!line.empty() && std::ranges::none_of(gone, [&](const spec::DeviceNode &node) { return ruleOf(node) == line; }))
            text += line + "\n";
    for (const spec::DeviceNode &node : come)
        text += ruleOf(node) + "\n";
    return text;
}

void logIgnored(std::string_view what, const Status &status)
{
    if (!status)
        log::warning(std::string(what) + ": " + status.error().message + ", ignoring");
}

} // namespace

Status Monitor::start()
{
    uv_signal_init(&m_loop, &m_childSignal);
    m_childSignal.data = this;
    if (Status booted = boot(); !booted) {
        m_proxies.closeAll();
        return booted;
    }
    m_listenPoll = Poll(m_loop, m_listener.get(), [this](int) { onConnect(); });
    m_listenPoll.want(UV_READABLE);
    uv_signal_start(
        &m_childSignal,
        [](uv_signal_t *handle, int) {
            callbacksRun += 1;
            static_cast<Monitor *>(handle->data)->onChildEnded();
        },
        SIGCHLD);
    return {};
}

void Monitor::run()
{
    onChildEnded(); // it may have ended before the signal was watched
    while (!m_ended) {
        const unsigned before = callbacksRun;
        uv_run(&m_loop, UV_RUN_NOWAIT);
        if (!m_ended && callbacksRun == before)
            waitIdle(uv_backend_fd(&m_loop), uv_backend_timeout(&m_loop));
    }
}

Status Monitor::boot()
{
    m_state = GuestState::Starting;
    m_booted = false;
    if (m_boots == 0)
        TRY(m_proxies.open(m_spec.proxies)); // before anything else is there: a port may be taken
    TRY(beginTpms());
    auto launched = runtime::launch(m_spec, m_layout);
    if (!launched)
        m_tpms.clear();
    m_guest = TRY(std::move(launched));
    const std::vector<spec::Nic> planned = m_spec.nics;
    keepCards(planned, std::exchange(m_guest.nics, {}));
    TRY(beginHelpers());
    TRY(m_console.open(std::move(m_guest.console)));
    m_notifyPoll = Poll(m_loop, m_guest.notify.get(), [this](int) { onNotify(); });
    m_notifyPoll.want(UV_READABLE);
    m_startedAt = wallClock();
    m_boots += 1;
    m_state = GuestState::Running;
    return {};
}

/// Those of the boot before have other numbers: their nodes are not the guest's any more, nor is their use allowed.
Status Monitor::beginTpms()
{
    if (m_spec.tpms.empty())
        return {};
    std::vector<spec::DeviceNode> old, now;
    for (const spec::Tpm &tpm : m_spec.tpms)
        std::ranges::copy_if(m_spec.devices, std::back_inserter(old), [&](const spec::DeviceNode &node) { return node.device == tpm.device; });
    m_tpms.clear();
    for (const spec::Tpm &tpm : m_spec.tpms) {
        auto begun = runtime::TpmEmulator::begin(tpm, now);
        if (!begun) {
            m_tpms.clear();
            return std::move(begun.error()).in("device " + quoted(tpm.device));
        }
        m_tpms.push_back(std::move(*begun));
    }
    for (const spec::DeviceNode &node : old)
        std::erase(m_spec.devices, node);
    m_spec.devices.insert(m_spec.devices.end(), now.begin(), now.end());
    for (spec::CgroupWrite &write : m_spec.cgroupWrites)
        if (write.file == cgroup::kDeviceProgram)
            write.value = withRules(write.value, old, now);
    spec::LaunchSpec kept = TRY(spec::readLaunchSpec(m_spec.runDir)); // for the daemon, and the next boot
    kept.devices = m_spec.devices;
    kept.cgroupWrites = m_spec.cgroupWrites;
    return files::replaceVolatile(TRY(path::openFolder(m_spec.runDir)), "spec", spec::encode(kept));
}

/// Of the first boot nothing is left after an error.
Status Monitor::beginHelpers()
{
    Status begun = [&]() -> Status {
        if (m_guest.listener)
            m_interceptor = TRY_IN("intercept system calls",
                                   runtime::Interceptor::begin(m_spec, m_guest.initPid, std::exchange(m_guest.listener, Fd())));
        return m_proxies.begin(m_boots == 0);
    }();
    if (begun)
        return {};
    m_interceptor.end();
    m_tpms.clear();
    process::killChild(m_guest.initPid); // all others inside go with it
    (void)process::wait(m_guest.initPid);
    m_guest = {};
    m_proxies.onGuestEnded();
    logIgnored("take cards back", cards::withdraw(m_spec.runDir, m_spec.nics));
    logIgnored("clean up", runtime::cleanUp(m_spec, m_layout));
    return begun;
}

void Monitor::settle()
{
    m_guest.leftovers.clear();
    forgetStart(m_spec);
}

void Monitor::onChildEnded()
{
    for (;;) {
        int status = 0;
        const pid_t pid = ::waitpid(-1, &status, WNOHANG);
        if (pid <= 0)
            return;
        reap(pid, status);
    }
}

void Monitor::reap(pid_t pid, int status)
{
    if (pid == m_guest.initPid) {
        onInitEnded(status);
        return;
    }
    if (m_proxies.reap(pid, status))
        return;
    if (m_interceptor.reap(pid)) {
        log::error("what carries out intercepted system calls has ended: they answer ENOSYS until the guest starts again");
        return;
    }
    for (runtime::TpmEmulator &tpm : m_tpms)
        if (tpm.reap(pid)) {
            log::error("device '" + tpm.device() + "': swtpm has ended (" + std::to_string(process::exitCode(status)) +
                       "): the TPM answers errors until the guest starts again");
            return;
        }
    for (auto command = m_commands.begin(); command != m_commands.end(); ++command) {
        if (command->pid != pid)
            continue;
        while (command->words)
            hear(*command); // the stream has ended, so this does not block
        const spec::ExecExit end{process::exitCode(status), command->failure};
        if (const auto connection = command->connection.lock())
            reply(*connection, spec::MessageType::ExecExited, spec::encode(end));
        m_commands.erase(command);
        dropGone();
        return;
    }
}

/// One of its words: where its system calls wait, or why it could not be run.
void Monitor::hear(Command &command)
{
    auto packet = command.words.receive();
    if (!packet || !*packet) {
        command.poll = Poll();
        command.words = spec::Channel();
        return;
    }
    if ((*packet)->fds.size() == 1)
        logIgnored("intercept system calls", m_interceptor ? m_interceptor.add((*packet)->fds[0]) : Status());
    else
        command.failure = spec::failureOf(**packet).message;
}

MonitorEvent::Reason Monitor::reasonOf(int status) const
{
    // reboot(2) in a pid namespace: init seems killed by SIGHUP for a restart, by SIGINT for a halt.
    if (m_killed)
        return MonitorEvent::Reason::Killed;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP)
        return MonitorEvent::Reason::Rebooting;
    if (WIFEXITED(status) || WTERMSIG(status) == SIGINT)
        return MonitorEvent::Reason::Stopped;
    return MonitorEvent::Reason::Killed;
}

void Monitor::onInitEnded(int status)
{
    m_guest.initPid = 0;
    m_pendingSignal = Ticker();
    m_console.close();
    m_notifyPoll = Poll();
    m_interceptor.end();
    m_tpms.clear();
    m_proxies.onGuestEnded(); // one that sat in its namespaces would keep them
    // All others inside died with it; their ends are told before that of the guest.
    int other = 0;
    while (!m_commands.empty()) {
        const pid_t pid = ::waitpid(-1, &other, 0);
        if (pid <= 0)
            break;
        reap(pid, other);
    }
    m_guest = {};
    MonitorEvent event;
    event.kind = MonitorEvent::Kind::Stopped;
    event.reason = reasonOf(status);
    event.status = status;
    if (event.reason != MonitorEvent::Reason::Rebooting)
        return finish(std::move(event));
    broadcast(event);
    rebootGuest();
}

void Monitor::rebootGuest()
{
    m_state = GuestState::Rebooting;
    const Status booted = [&]() -> Status {
        // The kernel takes a dead namespace's interfaces away in its own time; the names are needed now.
        for (const spec::Nic &nic : m_spec.nics)
            if (Status gone = netlink::deleteLink(nic.hostName); !gone && gone.error().code != Code::NotFound)
                logIgnored("remove interface", gone);
        logIgnored("take cards back", cards::withdraw(m_spec.runDir, m_spec.nics));
        TRY(runtime::cleanUp(m_spec, m_layout));
        m_spec = TRY(spec::readLaunchSpec(m_spec.runDir));
        m_spec.setup = {}; // was done by the first boot
        return boot();
    }();
    MonitorEvent event;
    if (booted) {
        event.initPid = m_guest.initPid;
        broadcast(event);
        return settle();
    }
    event.kind = MonitorEvent::Kind::Stopped;
    event.reason = MonitorEvent::Reason::Failed;
    event.message = "reboot: " + booted.error().message;
    log::error(event.message);
    finish(std::move(event));
}

/// Order matters to whoever waits: all is gone before it is told.
void Monitor::finish(MonitorEvent event)
{
    m_proxies.closeAll();
    const Status withdrawn = cards::withdraw(m_spec.runDir, m_spec.nics);
    logIgnored("take cards back", withdrawn);
    logIgnored("clean up", runtime::cleanUp(m_spec, m_layout));
    if (!m_spec.consoleLog.empty())
        logIgnored("save console log", files::replace(m_spec.consoleLog, m_console.log()));
    if (const auto folder = path::openFolder(m_spec.runDir)) {
        const spec::ExitRecord record{event.reason, event.status, wallClock(), event.message};
        logIgnored("write exit record", files::replaceVolatile(*folder, "exit", spec::encode(record)));
        if (withdrawn) // else the daemon tries again
            (void)sys::unlinkat(*folder, "spec"); // the exit record says more
        (void)sys::unlinkat(*folder, "monitor.sock");
    }
    broadcast(event);
    for (const auto &connection : m_connections)
        if (connection->waitsForEnd)
            reply(*connection, spec::MessageType::Done);
    m_ended = true;
}

void Monitor::onNotify()
{
    char text[4096];
    for (;;) {
        const ssize_t length = ::recv(m_guest.notify.get(), text, sizeof text, MSG_DONTWAIT);
        if (length < 0)
            return;
        for (const std::string &line : split(std::string_view(text, static_cast<std::size_t>(length)), '\n'))
            if (line == "READY=1")
                onBooted();
    }
}

void Monitor::onBooted()
{
    if (m_booted)
        return;
    m_booted = true;
    m_proxies.onBooted();
    MonitorEvent event;
    event.kind = MonitorEvent::Kind::Booted;
    broadcast(event);
}

Status Monitor::signalWhenReady(int signal)
{
    const auto ready = [this](int wanted) {
        const auto sets = proc::signalSets(m_guest.initPid);
        return !sets || sets->waitsFor(wanted);
    };
    if (ready(signal))
        return sys::pidfd_send_signal(m_guest.initPidfd, signal);
    // A young init has no handler yet, and for PID 1 the kernel drops such a signal without a word.
    m_pendingSignal = Ticker(m_loop, 20, [this, ready, signal] {
        if (m_guest.initPid == 0 || !ready(signal))
            return;
        logIgnored("signal init", sys::pidfd_send_signal(m_guest.initPidfd, signal));
        m_pendingSignal = Ticker();
    });
    return {};
}

Status Monitor::stop(const std::shared_ptr<Connection> &connection, spec::Packet &)
{
    m_state = GuestState::Stopping;
    TRY(signalWhenReady(initKind(m_guest.initPid).halt));
    reply(*connection, spec::MessageType::Done);
    return {};
}

Status Monitor::reboot(const std::shared_ptr<Connection> &connection, spec::Packet &)
{
    TRY(signalWhenReady(initKind(m_guest.initPid).reboot));
    reply(*connection, spec::MessageType::Done);
    return {};
}

Status Monitor::kill(const std::shared_ptr<Connection> &connection, spec::Packet &)
{
    m_killed = true;
    connection->waitsForEnd = true;
    // PID 1 first: its end is the end of its pid namespace. The group's kill reaches what is frozen, too.
    const Status init = sys::pidfd_send_signal(m_guest.initPidfd, SIGKILL);
    const Status group = cgroup::kill(m_layout, m_spec.cgroup);
    logIgnored("kill control group", group);
    return group ? Status() : init;
}

} // namespace lxmgr::monitor
