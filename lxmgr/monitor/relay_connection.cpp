// Two streams and what flows between them.
#include "kernel/sys.h"
#include "monitor/relay_parts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>

namespace lxmgr::monitor
{

namespace
{

constexpr int kRounds = 16; ///< Pipefuls of one direction, before others have their turn.
constexpr std::size_t kPipeful = 1U << 20;
constexpr std::chrono::seconds kQueuePatience(5);

struct Name {
    std::string address;
    std::uint16_t port = 0;
    bool six = false;
};

/// Of an IPv4 client of a dual listener, the IPv4 address.
Name nameOf(const sockaddr_storage &storage)
{
    char text[INET6_ADDRSTRLEN] = {};
    if (storage.ss_family == AF_INET) {
        const auto &four = reinterpret_cast<const sockaddr_in &>(storage);
        ::inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
        return {text, ntohs(four.sin_port), false};
    }
    const auto &six = reinterpret_cast<const sockaddr_in6 &>(storage);
    const bool mapped = IN6_IS_ADDR_V4MAPPED(&six.sin6_addr);
    ::inet_ntop(mapped ? AF_INET : AF_INET6, six.sin6_addr.s6_addr + (mapped ? 12 : 0), text, sizeof text);
    return {text, ntohs(six.sin6_port), !mapped};
}

/// haproxy.org, "The PROXY protocol", version 1.
std::string headerOf(const Fd &client)
{
    sockaddr_storage from{}, to{};
    socklen_t fromLength = sizeof from, toLength = sizeof to;
    if (::getpeername(client.get(), reinterpret_cast<sockaddr *>(&from), &fromLength) != 0 ||
        ::getsockname(client.get(), reinterpret_cast<sockaddr *>(&to), &toLength) != 0 ||
        (from.ss_family != AF_INET && from.ss_family != AF_INET6))
        return "PROXY UNKNOWN\r\n";
    const Name source = nameOf(from), target = nameOf(to);
    return std::string("PROXY ") + (source.six ? "TCP6 " : "TCP4 ") + source.address + " " + target.address + " " +
           std::to_string(source.port) + " " + std::to_string(target.port) + "\r\n";
}

} // namespace

void Relay::Connection::End::ready(std::uint32_t events)
{
    // An error or a hang-up is told by the call that meets it.
    readable = readable || (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    writable = writable || (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
    connection.onReady();
}

Relay::Connection::Connection(Relay &relay, Listener &listener, Fd client)
    : patience(Clock::now() + kQueuePatience), m_relay(relay), m_listener(listener), m_client(*this), m_server(*this)
{
    m_client.socket = std::move(client);
}

Status Relay::Connection::connect()
{
    constexpr std::uint32_t kAll = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    m_server.socket = TRY(sockets::connect(m_listener.target.kind, m_listener.address));
    m_relay.watch(m_client.socket.get(), &m_client, kAll, EPOLL_CTL_ADD);
    m_relay.watch(m_server.socket.get(), &m_server, kAll, EPOLL_CTL_ADD);
    return {};
}

Status Relay::Connection::finishConnect()
{
    int reason = 0;
    socklen_t length = sizeof reason;
    TRY(sys::call("getsockopt", {}, [&] { return ::getsockopt(m_server.socket.get(), SOL_SOCKET, SO_ERROR, &reason, &length); }));
    if (reason != 0)
        return Error::fromErrno(reason, "connect");
    m_connected = true;
    m_relay.m_failing = false;
    if (!m_relay.m_plan.proxyProtocol)
        return {};
    // The first bytes of a socket: there is room for them.
    const std::string header = headerOf(m_client.socket);
    const long sent = TRY(sys::call("send", {}, [&] { return ::send(m_server.socket.get(), header.data(), header.size(), MSG_NOSIGNAL); }));
    return sent == static_cast<long>(header.size()) ? Status() : Status(Error(Code::Unavailable, "no room for the first line"));
}

void Relay::Connection::onReady()
{
    if (ended || !m_server.socket || (!m_connected && !m_server.writable))
        return;
    if (!m_connected) {
        if (const Status connected = finishConnect(); !connected) {
            m_relay.connectFailed(m_listener, connected.error());
            reset();
            return m_relay.end(*this);
        }
    }
    const Moved moved = pump();
    if (moved == Moved::Broken)
        reset();
    if (moved == Moved::Broken || (m_client.silent && m_server.silent))
        return m_relay.end(*this);
    if (moved == Moved::More && !queued) {
        queued = true;
        m_relay.m_again.push_back(this);
    }
}

Relay::Connection::Moved Relay::Connection::pump()
{
    const Moved there = move(m_client, m_server);
    const Moved back = there == Moved::Broken ? there : move(m_server, m_client);
    return there == Moved::More && back == Moved::All ? there : back;
}

Relay::Connection::Moved Relay::Connection::move(End &from, End &to)
{
    for (int round = 0; round < kRounds; ++round) {
        if (const Moved drained = drain(from, to); drained != Moved::All || from.held > 0)
            return drained;
        if (from.finished && !from.silent) {
            from.silent = true;
            ::shutdown(to.socket.get(), SHUT_WR); // fails where it has been reset, which its own reading tells
        }
        if (from.finished || !from.readable) {
            if (from.pipe)
                m_relay.givePipe(std::move(*from.pipe));
            from.pipe.reset();
            return Moved::All;
        }
        if (const Moved filled = fill(from); filled == Moved::Broken)
            return filled;
    }
    return Moved::More;
}

/// Out of the pipe. All: or as much as there was room for.
Relay::Connection::Moved Relay::Connection::drain(End &from, End &to)
{
    while (from.held > 0 && to.writable) {
        const ssize_t length = ::splice(from.pipe->out.get(), nullptr, to.socket.get(), nullptr, from.held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (length > 0)
            from.held -= static_cast<std::size_t>(length);
        else if (length < 0 && errno == EAGAIN)
            to.writable = false;
        else if (length == 0 || errno != EINTR)
            return Moved::Broken;
    }
    return Moved::All;
}

/// Into the pipe, which is empty: EAGAIN is about the socket.
Relay::Connection::Moved Relay::Connection::fill(End &from)
{
    if (!from.pipe) {
        auto pipe = m_relay.takePipe();
        if (!pipe)
            return Moved::Broken;
        from.pipe = std::move(*pipe);
    }
    const ssize_t length = ::splice(from.socket.get(), nullptr, from.pipe->in.get(), nullptr, kPipeful, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (length > 0)
        from.held = static_cast<std::size_t>(length);
    else if (length == 0)
        from.finished = true;
    else if (errno == EAGAIN)
        from.readable = false;
    else if (errno != EINTR)
        return Moved::Broken;
    return Moved::All;
}

void Relay::Connection::reset()
{
    const linger hard{1, 0};
    for (const End *end : {&m_client, &m_server})
        if (end->socket)
            (void)::setsockopt(end->socket.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard); // not of unix sockets
}

void Relay::Connection::close()
{
    for (End *end : {&m_client, &m_server}) {
        end->socket.reset();
        if (end->pipe && end->held == 0)
            m_relay.givePipe(std::move(*end->pipe));
        end->pipe.reset();
    }
}

} // namespace lxmgr::monitor
