// Monitor: parent of one guest. Holds its pidfd, console and exec'd children, answers the daemon, cleans up at the end.
#pragma once

#include "kernel/cgroup.h"
#include "monitor/console.h"
#include "monitor/loop.h"
#include "monitor/proxies.h"
#include "runtime/attach.h"
#include "runtime/intercept.h"
#include "runtime/launch.h"
#include "runtime/tpm.h"
#include "spec/channel.h"
#include "spec/launch.h"
#include "spec/messages.h"

#include <list>
#include <memory>
#include <string>

namespace lxmgr::monitor
{

class Monitor
{
public:
    /// `spec` is also kept in the run folder: a reboot reads the whole of it again.
    Monitor(uv_loop_t &loop, spec::LaunchSpec spec, cgroup::Layout layout, Fd listener);

    /// The first start. After an error the guest is gone, and so should be the monitor.
    Status start();
    pid_t initPid() const { return m_guest.initPid; }
    /// Lets go of what a start leaves behind, mounts that take their time among it. Once nobody waits for us.
    void settle();
    /// Runs the loop until the guest has ended for good.
    void run();

private:
    struct Connection {
        spec::Channel channel;
        Poll poll;
        bool subscribed = false;
        bool waitsForEnd = false; ///< Of Kill.
        bool gone = false;
    };
    using Connections = std::list<std::shared_ptr<Connection>>;
    struct Command {
        pid_t pid = 0;
        std::weak_ptr<Connection> connection; ///< Expired: it goes on without anybody waiting.
        spec::Channel words; ///< Of the child, until it runs the program.
        std::string failure; ///< What it said last.
        Poll poll;           ///< Of `words`.
    };
    struct Request {
        spec::MessageType type;
        Status (Monitor::*run)(const std::shared_ptr<Connection> &, spec::Packet &);
    };
    static const Request kRequests[];

    // Life of the guest: lifecycle.cpp
    Status boot();
    /// They are there, and their nodes in the spec, before the guest is.
    Status beginTpms();
    Status beginHelpers();
    void hear(Command &command);
    void onChildEnded();
    void reap(pid_t pid, int status);
    void onInitEnded(int status);
    spec::MonitorEvent::Reason reasonOf(int status) const;
    void rebootGuest();
    void finish(spec::MonitorEvent event);
    void onNotify();
    void onBooted();
    Status askInit(int haltSignal);
    Status signalWhenReady(int signal);

    // Requests: requests.cpp
    void onConnect();
    void onReadable(const std::shared_ptr<Connection> &connection);
    void handle(const std::shared_ptr<Connection> &connection, spec::Packet &packet);
    void reply(Connection &connection, spec::MessageType type, std::string_view body = {},
               const std::vector<int> &fds = {});
    void broadcast(const spec::MonitorEvent &event);
    void dropGone();
    Status info(const std::shared_ptr<Connection> &, spec::Packet &);
    Status exec(const std::shared_ptr<Connection> &, spec::Packet &);
    Status signal(const std::shared_ptr<Connection> &, spec::Packet &);
    Status stop(const std::shared_ptr<Connection> &, spec::Packet &);
    Status reboot(const std::shared_ptr<Connection> &, spec::Packet &);
    Status kill(const std::shared_ptr<Connection> &, spec::Packet &);
    Status freeze(const std::shared_ptr<Connection> &, spec::Packet &);
    Status thaw(const std::shared_ptr<Connection> &, spec::Packet &);
    /// The cards of a running guest are known as `come`, for its end, a reboot and the daemon.
    void keepCards(const std::vector<spec::Nic> &gone, const std::vector<spec::Nic> &come);
    Status replug(const std::shared_ptr<Connection> &, spec::Packet &);
    Status keepLimits(const std::shared_ptr<Connection> &, spec::Packet &);
    Status attachConsole(const std::shared_ptr<Connection> &, spec::Packet &);
    Status resizeConsole(const std::shared_ptr<Connection> &, spec::Packet &);
    Status consoleLog(const std::shared_ptr<Connection> &, spec::Packet &);
    Status clearConsoleLog(const std::shared_ptr<Connection> &, spec::Packet &);
    Status subscribe(const std::shared_ptr<Connection> &, spec::Packet &);

    uv_loop_t &m_loop;
    spec::LaunchSpec m_spec; ///< Without what only a start needs.
    cgroup::Layout m_layout;
    Fd m_listener;
    Poll m_listenPoll;
    uv_signal_t m_childSignal{};
    Console m_console;
    runtime::Guest m_guest;
    Proxies m_proxies;
    runtime::Interceptor m_interceptor;
    std::vector<runtime::TpmEmulator> m_tpms;
    Poll m_notifyPoll;
    Connections m_connections;
    std::list<Command> m_commands;
    Ticker m_pendingSignal; ///< Of an init too young to hear us.
    spec::GuestState m_state = spec::GuestState::Starting;
    std::int64_t m_startedAt = 0;
    std::uint32_t m_boots = 0;
    bool m_booted = false;
    bool m_killed = false; ///< On request.
    bool m_ended = false;
};

/// Milliseconds since 1970.
std::int64_t wallClock();

} // namespace lxmgr::monitor
