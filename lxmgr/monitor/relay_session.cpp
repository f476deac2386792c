// Datagrams on one side at least: who they belong to is told by where they come from, and their end by silence.
#include "kernel/sys.h"
#include "monitor/relay_parts.h"

#include <cstring>
#include <netinet/in.h>
#include <sys/epoll.h>

namespace lxmgr::monitor
{

namespace
{

constexpr int kAtOnce = 32;
constexpr std::size_t kMostPending = 64 * 1024;

/// The cmsg of what came, so that the answer leaves from the address that was written to; by which interface, the routes say,
/// unless the address is of one link only.
std::string answerFrom(const msghdr &message)
{
    std::string control(static_cast<const char *>(message.msg_control), message.msg_controllen);
    msghdr copy{};
    copy.msg_control = control.data();
    copy.msg_controllen = control.size();
    cmsghdr *head = CMSG_FIRSTHDR(&copy);
    if (!head)
        return {};
    if (head->cmsg_level == IPPROTO_IP && head->cmsg_type == IP_PKTINFO) {
        in_pktinfo info;
        std::memcpy(&info, CMSG_DATA(head), sizeof info);
        info.ipi_ifindex = 0;
        std::memcpy(CMSG_DATA(head), &info, sizeof info);
    } else if (head->cmsg_level == IPPROTO_IPV6 && head->cmsg_type == IPV6_PKTINFO) {
        in6_pktinfo info;
        std::memcpy(&info, CMSG_DATA(head), sizeof info);
        if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
            info.ipi6_ifindex = 0;
        std::memcpy(CMSG_DATA(head), &info, sizeof info);
    }
    return control;
}

} // namespace

void Relay::Side::ready(std::uint32_t events) { session.onReady(*this, events); }

Relay::Session::Session(Relay &relay, Listener &listener)
    : client(*this), server(*this), m_relay(relay), m_listener(listener)
{
}

Status Relay::Session::connect()
{
    server.socket = TRY(sockets::connect(m_listener.target.kind, m_listener.address));
    server.stream = m_listener.target.isStream();
    server.connecting = server.stream;
    watch(server, EPOLL_CTL_ADD);
    return {};
}

void Relay::Session::takeClient(Fd stream)
{
    client.socket = std::move(stream);
    client.stream = true;
    watch(client, EPOLL_CTL_ADD);
}

void Relay::Session::takePeer(const msghdr &message)
{
    std::memcpy(&client.peer, message.msg_name, message.msg_namelen);
    client.peerLength = message.msg_namelen;
    client.local = answerFrom(message);
}

void Relay::Session::watch(Side &side, int operation)
{
    const bool wantsRoom = side.connecting || !side.pending.empty();
    m_relay.watch(side.socket.get(), &side, EPOLLIN | (wantsRoom ? std::uint32_t{EPOLLOUT} : 0U), operation);
}

void Relay::Session::touch()
{
    used = Clock::now();
    m_relay.m_sessions.splice(m_relay.m_sessions.end(), m_relay.m_sessions, place);
}

void Relay::Session::deliver(Side &to, std::string_view data)
{
    touch();
    if (!send(to, data))
        m_relay.end(*this);
}

/// False when there is nobody any more. A datagram that finds no room is lost, as datagrams are.
bool Relay::Session::send(Side &to, std::string_view data)
{
    if (to.stream)
        return sendStream(to, data);
    if (!to.socket) {
        sendToPeer(data);
        return true;
    }
    // The refusal that an earlier one met is told to the next.
    if (::send(to.socket.get(), data.data(), data.size(), MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED)
        (void)::send(to.socket.get(), data.data(), data.size(), MSG_NOSIGNAL);
    return true;
}

bool Relay::Session::sendStream(Side &to, std::string_view data)
{
    if (to.connecting || !to.pending.empty()) {
        if (to.pending.size() + data.size() <= kMostPending)
            to.pending.append(data);
        return true;
    }
    const ssize_t sent = data.empty() ? 0 : ::send(to.socket.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return false;
    const auto done = static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
    if (done < data.size()) {
        to.pending = data.substr(done);
        watch(to, EPOLL_CTL_MOD);
    }
    return true;
}

void Relay::Session::sendToPeer(std::string_view data)
{
    iovec part{const_cast<char *>(data.data()), data.size()};
    msghdr message{};
    message.msg_name = &client.peer;
    message.msg_namelen = client.peerLength;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = client.local.empty() ? nullptr : client.local.data();
    message.msg_controllen = client.local.size();
    (void)::sendmsg(m_listener.socket.get(), &message, MSG_NOSIGNAL); // lost, as datagrams are
}

bool Relay::Session::flush(Side &side)
{
    if (side.connecting) {
        int reason = 0;
        socklen_t length = sizeof reason;
        if (::getsockopt(side.socket.get(), SOL_SOCKET, SO_ERROR, &reason, &length) != 0 || reason != 0) {
            m_relay.connectFailed(m_listener, Error::fromErrno(reason, "connect"));
            return false;
        }
        side.connecting = false;
        m_relay.m_failing = false;
    }
    const std::string data = std::exchange(side.pending, {});
    if (!sendStream(side, data))
        return false;
    watch(side, EPOLL_CTL_MOD);
    return true;
}

/// One piece from it to the other. False when there is no more for now, or for ever.
bool Relay::Session::receive(Side &side)
{
    const ssize_t length = ::recv(side.socket.get(), m_relay.m_buffer.data(), side.stream ? m_relay.m_buffer.size() / 2 : m_relay.m_buffer.size(), 0);
    if (length < 0 && errno == ECONNREFUSED && !side.stream)
        m_relay.connectFailed(m_listener, Error::fromErrno(ECONNREFUSED, "connect"));
    if (length < 0 && (errno == EAGAIN || errno == EINTR || !side.stream))
        return false;
    if (length <= 0 && side.stream) {
        // A client that fell silent still waits for its answers, until those do.
        if (length == 0 && &side == &client)
            m_relay.watch(side.socket.get(), &side, 0, EPOLL_CTL_DEL);
        else
            m_relay.end(*this);
        return false;
    }
    if (!side.stream)
        m_relay.m_failing = m_relay.m_failing && &side == &client;
    deliver(&side == &client ? server : client, {m_relay.m_buffer.data(), static_cast<std::size_t>(length)});
    return !ended;
}

void Relay::Session::onReady(Side &side, std::uint32_t events)
{
    if (ended)
        return;
    if ((events & (EPOLLOUT | EPOLLERR)) && side.stream && (side.connecting || !side.pending.empty()) && !flush(side))
        return m_relay.end(*this);
    if (events & ~static_cast<std::uint32_t>(EPOLLOUT))
        for (int i = 0; i < kAtOnce && receive(side); ++i) {
        }
}

void Relay::Session::close()
{
    client.socket.reset();
    server.socket.reset();
}

} // namespace lxmgr::monitor
