// A connection that has become a websocket: frames in and out, and what becomes of a client that does not keep up.
#include "daemon/connection.h"

#include "base/log.h"

namespace lxmgr::daemon
{

namespace
{
using namespace std::chrono_literals;

constexpr auto kKeepaliveTime = 10s;
constexpr auto kCloseTime = 5s; // for the client's half of the close
constexpr std::string_view kKeepalive = "keepalive"; // what LXD's pings carry
} // namespace

void Connection::becomeWebSocket(std::function<void(std::shared_ptr<WebSocket>)> ready)
{
    const auto self = shared_from_this();
    m_phase = Phase::Socket;
    m_channel.reset();
    m_fds.clear();
    m_webSocket = std::make_shared<WebSocket>(weak_from_this(), m_hub.poller);
    m_framer.emplace(http::Role::Server, http::FrameEvents{
                                             [this](http::Opcode opcode, std::string_view piece, bool last) {
                                                 if (m_webSocket)
                                                     m_webSocket->received(opcode, piece, last);
                                             },
                                             {},
                                             {}});
    sayHello(); // LXD's clients have always seen a ping right away
    ready(m_webSocket);
    if (m_phase == Phase::Socket && !m_unread.empty())
        feedWebSocket(std::exchange(m_unread, {}));
    updateEvents();
}

/// So that neither a proxy nor a router in between takes a quiet connection for a dead one.
void Connection::sayHello()
{
    sendFrame(http::Opcode::Ping, kKeepalive);
    setDeadline(kKeepaliveTime);
}

void Connection::feedWebSocket(std::string_view bytes)
{
    const auto self = shared_from_this();
    const Status status = m_framer->feed(bytes);
    if (m_webSocket)
        m_webSocket->readDone();
    if (m_phase == Phase::Ended)
        return;
    m_outbox.add(std::exchange(m_framer->output(), {}));
    if (!status)
        m_phase = Phase::Closing;
    else if (m_framer->closeReceived())
        if (const auto webSocket = m_webSocket)
            webSocket->closed();
    flush();
}

void Connection::sendFrame(http::Opcode opcode, std::string_view payload)
{
    if (m_phase != Phase::Socket)
        return;
    m_framer->send(opcode, payload);
    m_outbox.add(std::exchange(m_framer->output(), {}));
    queued();
}

void Connection::queued()
{
    if (m_outbox.count() > m_messageLimit || m_outbox.bytes() > m_byteLimit) {
        log::warning("a websocket client does not keep up with what it is sent: closing it");
        return end();
    }
    if (!m_wantWrite)
        flush();
}

void Connection::sendShared(SharedFrame frame)
{
    if (m_phase != Phase::Socket || m_framer->closeSent())
        return;
    m_outbox.add(std::move(frame));
    queued();
}

void Connection::sendPiped(std::shared_ptr<PipePiece> piece)
{
    if (m_phase != Phase::Socket || m_framer->closeSent())
        return;
    m_outbox.add(http::serverFrameStart(http::Opcode::Binary, piece->left));
    m_outbox.add(std::move(piece));
    queued();
}

void Connection::closeWebSocket(std::uint16_t code, std::string_view reason)
{
    if (m_phase != Phase::Socket)
        return;
    m_framer->close(code, reason);
    m_outbox.add(std::exchange(m_framer->output(), {}));
    setDeadline(kCloseTime);
    flush();
}

void Connection::setQueueLimit(std::size_t messages, std::size_t bytes)
{
    m_messageLimit = messages;
    m_byteLimit = bytes;
}

void Connection::pauseReading(bool pause)
{
    m_paused = pause;
    updateEvents();
}

} // namespace lxmgr::daemon
