// What the daemon asks: one row a message.
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "monitor/monitor.h"
#include "runtime/plug.h"
#include "spec/codec.h"
#include "spec/monitor_client.h"
#include "spec/spawn.h"
#include "version.h"

#include <sys/socket.h>
#include <unistd.h>

namespace lxmgr::monitor
{

using spec::GuestState;
using spec::MessageType;
using spec::MonitorEvent;

const Monitor::Request Monitor::kRequests[] = {
    {MessageType::Info,            &Monitor::info           },
    {MessageType::Exec,            &Monitor::exec           },
    {MessageType::Signal,          &Monitor::signal         },
    {MessageType::Stop,            &Monitor::stop           },
    {MessageType::Reboot,          &Monitor::reboot         },
    {MessageType::Kill,            &Monitor::kill           },
    {MessageType::Freeze,          &Monitor::freeze         },
    {MessageType::Thaw,            &Monitor::thaw           },
    {MessageType::Replug,          &Monitor::replug         },
    {MessageType::ReplugNodes,     &Monitor::replug         },
    {MessageType::KeepLimits,      &Monitor::keepLimits     },
    {MessageType::ReplugProxies,   &Monitor::replug         },
    {MessageType::AttachConsole,   &Monitor::attachConsole  },
    {MessageType::ResizeConsole,   &Monitor::resizeConsole  },
    {MessageType::ConsoleLog,      &Monitor::consoleLog     },
    {MessageType::ClearConsoleLog, &Monitor::clearConsoleLog},
    {MessageType::Subscribe,       &Monitor::subscribe      },
};

Monitor::Monitor(uv_loop_t &loop, spec::LaunchSpec launch, cgroup::Layout layout, Fd listener)
    : m_loop(loop), m_spec(std::move(launch)), m_layout(std::move(layout)), m_listener(std::move(listener)),
      m_console(loop, m_spec.consoleBuffer, [this] { onBooted(); }), m_proxies(loop, m_spec, m_guest)
{
}

void Monitor::onConnect()
{
    Fd socket(::accept4(m_listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket)
        return; // gone again, or out of descriptors: the next one may do better
    const auto connection = std::make_shared<Connection>();
    connection->channel = spec::Channel(std::move(socket));
    std::weak_ptr<Connection> weak = connection;
    connection->poll = Poll(m_loop, connection->channel.fd(), [this, weak](int) {
        if (const auto alive = weak.lock())
            onReadable(alive);
    });
    connection->poll.want(UV_READABLE);
    m_connections.push_back(connection);
}

void Monitor::onReadable(const std::shared_ptr<Connection> &connection)
{
    auto packet = connection->channel.receive();
    if (!packet && packet.error().errnum == EAGAIN)
        return;
    if (!packet || !*packet)
        connection->gone = true;
    else
        handle(connection, **packet);
    dropGone();
}

void Monitor::handle(const std::shared_ptr<Connection> &connection, spec::Packet &packet)
{
    Status status = Error(Code::Unsupported, "this monitor does not know the message " +
                                                 std::to_string(static_cast<unsigned>(packet.type)));
    for (const Request &request : kRequests)
        if (request.type == packet.type)
            status = (this->*request.run)(connection, packet);
    if (!status)
        reply(*connection, MessageType::Failed, spec::encodeFailure(status.error()));
}

/// One that does not take its replies is let go of: we never wait for it.
void Monitor::reply(Connection &connection, MessageType type, std::string_view body, const std::vector<int> &fds)
{
    if (!connection.gone && !connection.channel.send(type, body, fds))
        connection.gone = true;
}

void Monitor::broadcast(const MonitorEvent &event)
{
    const std::string body = spec::encode(event);
    for (const auto &connection : m_connections)
        if (connection->subscribed)
            reply(*connection, MessageType::Event, body);
}

void Monitor::dropGone()
{
    m_connections.remove_if([](const std::shared_ptr<Connection> &connection) { return connection->gone; });
}

Status Monitor::info(const std::shared_ptr<Connection> &connection, spec::Packet &)
{
    spec::InfoBody body;
    body.monitorPid = ::getpid();
    body.initPid = m_guest.initPid;
    body.state = m_state;
    body.startedAt = m_startedAt;
    body.booted = m_booted;
    body.boots = m_boots;
    body.version = LXMGR_VERSION;
    const Fd self = TRY(sys::pidfd_open(::getpid()));
    reply(*connection, MessageType::InfoReply, spec::encode(body), {self.get(), m_guest.initPidfd.get()});
    return {};
}

Status Monitor::exec(const std::shared_ptr<Connection> &connection, spec::Packet &packet)
{
    const auto request = TRY(spec::decode<spec::ExecRequest>(packet.body));
    if (m_state == GuestState::Frozen)
        return Error(Code::WrongState, "the instance is frozen");
    auto attached = TRY(runtime::attach(m_spec, m_layout, m_guest, request, std::move(packet.fds)));
    Command &command = m_commands.emplace_back();
    command.pid = attached.child.pid;
    command.connection = connection;
    command.words = std::move(attached.words);
    if (!m_spec.intercepts.empty()) { // heard also where nobody carries them out any more: unheard, its calls would wait for ever
        command.poll = Poll(m_loop, command.words.fd(), [this, &command](int) { hear(command); });
        command.poll.want(UV_READABLE);
    }
    std::vector<int> fds = {attached.child.pidfd.get()};
    if (request.pty)
        fds.push_back(attached.ptyMaster.get());
    reply(*connection, MessageType::ExecStarted, spec::encode(spec::ExecStartedBody{attached.child.pid}), fds);
    return {};
}

Status Monitor::signal(const std::shared_ptr<Connection> &connection, spec::Packet &packet)
{
    const auto body = TRY(spec::decode<spec::SignalBody>(packet.body));
    TRY(sys::pidfd_send_signal(m_guest.initPidfd, body.signal));
    reply(*connection, MessageType::Done);
    return {};
}

Status Monitor::freeze(const std::shared_ptr<Connection> &connection, spec::Packet &)
{
    if (m_state == GuestState::Frozen)
        return Error(Code::WrongState, "the instance is frozen already");
    TRY(cgroup::freeze(m_layout, m_spec.cgroup));
    m_state = GuestState::Frozen;
    MonitorEvent event;
    event.kind = MonitorEvent::Kind::Frozen;
    broadcast(event);
    reply(*connection, MessageType::Done);
    return {};
}

Status Monitor::thaw(const std::shared_ptr<Connection> &connection, spec::Packet &)
{
    if (m_state != GuestState::Frozen)
        return Error(Code::WrongState, "the instance is not frozen");
    TRY(cgroup::thaw(m_layout, m_spec.cgroup));
    m_state = GuestState::Running;
    MonitorEvent event;
    event.kind = MonitorEvent::Kind::Thawed;
    broadcast(event);
    reply(*connection, MessageType::Done);
    return {};
}

namespace
{

template <class Device>
void change(std::vector<Device> &devices, const std::vector<Device> &gone, const std::vector<Device> &come)
{
    for (const Device &device : gone)
        std::erase(devices, device);
    devices.insert(devices.end(), come.begin(), come.end());
}

/// The spec that a reboot reads. What `devices` says holds from its next boot on.
Status keepForReboot(const std::string &runDir, const spec::ReplugBody &devices)
{
    spec::LaunchSpec launch = TRY(spec::readLaunchSpec(runDir));
    change(launch.mounts, devices.unmount, devices.mount);
    change(launch.nics, devices.unplug, devices.plug);
    change(launch.devices, devices.removeNodes, devices.addNodes);
    change(launch.nics, devices.before, devices.after);
    change(launch.proxies, devices.closeProxies, devices.openProxies);
    return files::replaceVolatile(TRY(path::openFolder(runDir)), "spec", spec::encode(launch));
}

} // namespace

void Monitor::keepCards(const std::vector<spec::Nic> &gone, const std::vector<spec::Nic> &come)
{
    if (gone == come)
        return;
    change(m_spec.nics, gone, come);
    spec::ReplugBody devices;
    devices.unplug = gone;
    devices.plug = come;
    if (const Status kept = keepForReboot(m_spec.runDir, devices); !kept)
        log::warning("keep cards: " + kept.error().message + ", ignoring");
}

Status Monitor::replug(const std::shared_ptr<Connection> &connection, spec::Packet &packet)
{
    auto devices = TRY(spec::decode<spec::ReplugBody>(packet.body));
    if (m_state != GuestState::Running && m_state != GuestState::Frozen)
        return Error(Code::WrongState, "the guest is starting or stopping");
    Undo undo;
    TRY(m_proxies.change(devices.closeProxies, devices.openProxies)); // first: a port that is taken is what is most likely to fail
    undo.add("proxies", [&] { return m_proxies.change(devices.openProxies, devices.closeProxies); });
    const std::vector<spec::Nic> before = devices.unplug;
    if (Status done = runtime::replug(m_spec, m_guest, devices); !done) {
        keepCards(before, devices.unplug); // put back, they may be known by something else
        return done;
    }
    undo.add("devices", [&] {
        spec::ReplugBody other = devices.reversed();
        return runtime::replug(m_spec, m_guest, other);
    });
    TRY(keepForReboot(m_spec.runDir, devices));
    undo.keep();
    change(m_spec.proxies, devices.closeProxies, devices.openProxies);
    change(m_spec.nics, devices.unplug, devices.plug);
    change(m_spec.nics, devices.before, devices.after);
    reply(*connection, MessageType::Done);
    return {};
}

Status Monitor::keepLimits(const std::shared_ptr<Connection> &connection, spec::Packet &packet)
{
    auto limits = TRY(spec::decode<spec::LimitsBody>(packet.body));
    spec::LaunchSpec launch = TRY(spec::readLaunchSpec(m_spec.runDir));
    launch.cgroupWrites = std::move(limits.cgroupWrites);
    TRY(files::replaceVolatile(TRY(path::openFolder(m_spec.runDir)), "spec", spec::encode(launch)));
    reply(*connection, MessageType::Done);
    return {};
}

Status Monitor::attachConsole(const std::shared_ptr<Connection> &connection, spec::Packet &packet)
{
    const auto window = TRY(spec::decode<spec::WindowBody>(packet.body));
    TRY(m_console.resize(window.width, window.height));
    const Fd stream = TRY(m_console.attach());
    reply(*connection, MessageType::Done, {}, {stream.get()});
    return {};
}

Status Monitor::resizeConsole(const std::shared_ptr<Connection> &connection, spec::Packet &packet)
{
    const auto window = TRY(spec::decode<spec::WindowBody>(packet.body));
    TRY(m_console.resize(window.width, window.height));
    reply(*connection, MessageType::Done);
    return {};
}

Status Monitor::consoleLog(const std::shared_ptr<Connection> &connection, spec::Packet &)
{
    reply(*connection, MessageType::ConsoleLogReply, spec::encode(spec::TextBody{m_console.log()}));
    return {};
}

Status Monitor::clearConsoleLog(const std::shared_ptr<Connection> &connection, spec::Packet &)
{
    m_console.clearLog();
    reply(*connection, MessageType::Done);
    return {};
}

Status Monitor::subscribe(const std::shared_ptr<Connection> &connection, spec::Packet &)
{
    connection->subscribed = true;
    reply(*connection, MessageType::Done);
    return {};
}

} // namespace lxmgr::monitor
