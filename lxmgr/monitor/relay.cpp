#include "monitor/relay.h"

#include "base/log.h"
#include "kernel/sys.h"
#include "monitor/memory.h"
#include "monitor/relay_parts.h"

#include <algorithm>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

namespace lxmgr::monitor
{

namespace
{

constexpr int kAtOnce = 64; ///< Of one listener, before the others have their turn.
constexpr std::size_t kSparePipes = 32;
constexpr std::size_t kLongestDatagram = 65536;
constexpr int kRetry = 10;   ///< Milliseconds.
constexpr int kMoment = 100; ///< The same; who is idle for longer gives memory back.
constexpr std::chrono::seconds kBreath(1); ///< Out of descriptors.

int millisUntil(std::chrono::steady_clock::time_point when)
{
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - std::chrono::steady_clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
}

int sooner(int one, int other) { return one < 0 ? other : other < 0 ? one : std::min(one, other); }

} // namespace

void Relay::Listener::ready(std::uint32_t)
{
    if (relay.m_plan.listen == sockets::Place::Kind::Udp)
        relay.receiveFrom(*this);
    else
        relay.acceptFrom(*this);
}

Relay::Relay(Plan plan) : m_plan(std::move(plan)) {}
Relay::~Relay() = default;

Result<std::unique_ptr<Relay>> Relay::create(int control, Plan plan)
{
    std::unique_ptr<Relay> relay(new Relay(std::move(plan)));
    relay->m_epoll = TRY(sys::callFd("epoll_create1", {}, [] { return ::epoll_create1(EPOLL_CLOEXEC); }));
    relay->watch(control, nullptr, EPOLLIN | EPOLLRDHUP, EPOLL_CTL_ADD);
    for (Route &route : relay->m_plan.routes) {
        const sockets::Address target = TRY(sockets::addressOf(route.target));
        auto listener = std::make_unique<Listener>(*relay, std::move(route), target);
        relay->watch(listener->socket.get(), listener.get(), EPOLLIN, EPOLL_CTL_ADD);
        relay->m_listeners.push_back(std::move(listener));
    }
    relay->m_plan.routes.clear();
    const bool datagrams = relay->m_plan.listen == sockets::Place::Kind::Udp ||
                           std::ranges::any_of(relay->m_listeners, [](const auto &each) { return !each->target.isStream(); });
    relay->m_buffer.resize(datagrams ? kLongestDatagram : 0);
    return relay;
}

/// What cannot be watched would hang: nothing but a lack of kernel memory does that, and the monitor starts us again.
void Relay::watch(int fd, Watched *watched, std::uint32_t events, int operation)
{
    epoll_event event{};
    event.events = events;
    event.data.ptr = watched;
    if (::epoll_ctl(m_epoll.get(), operation, fd, &event) != 0 && operation != EPOLL_CTL_DEL)
        ::_exit(3);
}

Status Relay::run()
{
    epoll_event events[64];
    for (;;) {
        const int wanted = timeout();
        const int count = ::epoll_wait(m_epoll.get(), events, std::size(events), wanted < 0 ? kMoment : std::min(wanted, kMoment));
        if (count < 0 && errno != EINTR)
            return Error::fromErrno(errno, "epoll_wait");
        if (count == 0 && (wanted < 0 || wanted > kMoment))
            waitIdle(m_epoll.get(), wanted < 0 ? -1 : wanted - kMoment);
        for (int i = 0; i < count; ++i) {
            if (!events[i].data.ptr)
                return {}; // the monitor has nothing to say but its end
            static_cast<Watched *>(events[i].data.ptr)->ready(events[i].events);
        }
        work();
    }
}

int Relay::timeout() const
{
    if (!m_again.empty())
        return 0;
    int least = m_waiting.empty() ? -1 : kRetry;
    if (m_paused && m_connections.size() < m_plan.limits.connections)
        least = sooner(least, millisUntil(m_resumeAt));
    if (!m_sessions.empty())
        least = sooner(least, millisUntil(m_sessions.front()->used + m_plan.limits.silence));
    return least;
}

/// What is due beside the events of a round.
void Relay::work()
{
    std::vector<Connection *> again;
    again.swap(m_again);
    for (Connection *connection : again) {
        connection->queued = false;
        connection->onReady();
    }
    tryWaiting();
    expire();
    if (m_paused && m_connections.size() < m_plan.limits.connections && Clock::now() >= m_resumeAt)
        pauseListeners(false);
    m_dead.clear();
}

void Relay::pauseListeners(bool pause)
{
    if (m_paused == pause)
        return;
    m_paused = pause;
    for (const auto &listener : m_listeners)
        watch(listener->socket.get(), listener.get(), pause ? 0U : std::uint32_t{EPOLLIN}, EPOLL_CTL_MOD);
}

void Relay::acceptFrom(Listener &listener)
{
    for (int i = 0; i < kAtOnce && !m_paused; ++i) {
        Fd client(::accept4(listener.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!client && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (!client && errno != EAGAIN) {
            // Out of descriptors or memory: those that are there have to end first.
            m_resumeAt = Clock::now() + kBreath;
            pauseListeners(true);
        }
        if (!client)
            return;
        if (listener.target.isStream())
            startConnection(listener, std::move(client));
        else
            startSession(listener, std::move(client));
    }
}

void Relay::startConnection(Listener &listener, Fd client)
{
    m_connections.push_back(std::make_unique<Connection>(*this, listener, std::move(client)));
    Connection &connection = *m_connections.back();
    connection.place = std::prev(m_connections.end());
    if (m_connections.size() >= m_plan.limits.connections)
        pauseListeners(true);
    const Status connected = connection.connect();
    if (connected)
        return;
    if (connected.error().errnum == EAGAIN) {
        m_waiting.push_back(&connection);
        return;
    }
    connectFailed(listener, connected.error());
    connection.reset();
    end(connection);
}

void Relay::tryWaiting()
{
    for (auto at = m_waiting.begin(); at != m_waiting.end();) {
        Connection &connection = **at;
        const Status connected = connection.connect();
        if (!connected && connected.error().errnum == EAGAIN && Clock::now() < connection.patience) {
            ++at;
            continue;
        }
        at = m_waiting.erase(at);
        if (!connected) {
            connectFailed(connection.listener(), connected.error());
            connection.reset();
            end(connection);
        }
    }
}

void Relay::connectFailed(const Listener &listener, const Error &error)
{
    if (!m_failing)
        log::warning(m_plan.title + ": " + listener.target.text() + ": " + error.message + ", ignoring");
    m_failing = true;
}

void Relay::end(Connection &connection)
{
    if (connection.ended)
        return;
    connection.ended = true;
    connection.close();
    m_dead.push_back(std::move(*connection.place));
    m_connections.erase(connection.place);
    if (connection.queued)
        std::erase(m_again, &connection);
    m_waiting.remove(&connection);
}

Result<Pipe> Relay::takePipe()
{
    if (!m_pipes.empty()) {
        Pipe pipe = std::move(m_pipes.back());
        m_pipes.pop_back();
        return pipe;
    }
    int ends[2];
    TRY(sys::call("pipe2", {}, [&] { return ::pipe2(ends, O_CLOEXEC | O_NONBLOCK); }));
    return Pipe{Fd(ends[1]), Fd(ends[0])};
}

void Relay::givePipe(Pipe pipe)
{
    if (m_pipes.size() < kSparePipes)
        m_pipes.push_back(std::move(pipe));
}

// Sessions

void Relay::add(std::unique_ptr<Session> session)
{
    while (m_sessions.size() >= m_plan.limits.sessions)
        end(*m_sessions.front());
    session->used = Clock::now();
    Session &added = *session;
    m_sessions.push_back(std::move(session));
    added.place = std::prev(m_sessions.end());
    if (!added.key.empty())
        m_byPeer[added.key] = &added;
}

void Relay::startSession(Listener &listener, Fd client)
{
    auto session = std::make_unique<Session>(*this, listener);
    if (const Status connected = session->connect(); !connected)
        return connectFailed(listener, connected.error());
    session->takeClient(std::move(client));
    add(std::move(session));
}

Relay::Session *Relay::sessionOf(Listener &listener, const msghdr &message)
{
    const Listener *which = &listener;
    std::string key(reinterpret_cast<const char *>(&which), sizeof which);
    key.append(static_cast<const char *>(message.msg_name), message.msg_namelen);
    key.append(static_cast<const char *>(message.msg_control), message.msg_controllen);
    if (const auto known = m_byPeer.find(key); known != m_byPeer.end())
        return known->second;
    auto session = std::make_unique<Session>(*this, listener);
    if (const Status connected = session->connect(); !connected) {
        connectFailed(listener, connected.error());
        return nullptr;
    }
    session->takePeer(message);
    session->key = std::move(key);
    Session *added = session.get();
    add(std::move(session));
    return added;
}

void Relay::receiveFrom(Listener &listener)
{
    for (int i = 0; i < kAtOnce; ++i) {
        sockaddr_storage peer{};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(in6_pktinfo))] = {};
        iovec part{m_buffer.data(), m_buffer.size()};
        msghdr message{};
        message.msg_name = &peer;
        message.msg_namelen = sizeof peer;
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        const ssize_t length = ::recvmsg(listener.socket.get(), &message, MSG_DONTWAIT);
        if (length < 0)
            return;
        if (Session *session = sessionOf(listener, message))
            session->fromClient({m_buffer.data(), static_cast<std::size_t>(length)});
    }
}

void Relay::expire()
{
    while (!m_sessions.empty() && m_sessions.front()->used + m_plan.limits.silence <= Clock::now())
        end(*m_sessions.front());
}

void Relay::end(Session &session)
{
    if (session.ended)
        return;
    session.ended = true;
    session.close();
    if (!session.key.empty())
        m_byPeer.erase(session.key);
    m_dead.push_back(std::move(*session.place));
    m_sessions.erase(session.place);
}

} // namespace lxmgr::monitor
