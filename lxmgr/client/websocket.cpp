#include "client/websocket.h"

#include "api/envelope.h"
#include "client/connection.h"
#include "http/parser.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>

namespace lxmgr::client
{

namespace
{
constexpr std::size_t kPiece = 64 * 1024;
constexpr int kMostReads = 16; ///< In one turn, so that one busy stream does not starve the others.
} // namespace

WebSocket::WebSocket(Fd fd, std::string key, OnData onData)
    : m_fd(std::move(fd)), m_key(std::move(key)),
      m_framer(std::make_unique<http::Framer>(http::Role::Client, http::FrameEvents{std::move(onData), {}, {}}))
{
}

Result<WebSocket> WebSocket::begin(Fd connected, const std::string &target, OnData onData)
{
    WebSocket socket(std::move(connected), http::newWebSocketKey(), std::move(onData));
    http::Headers headers = http::webSocketRequestHeaders(socket.m_key);
    headers.set("Host", "lxmgr");
    TRY(sendAll(socket.m_fd, http::writeRequest("GET", target, headers)));
    return socket;
}

Status WebSocket::finishOpening()
{
    // An answer of 101 has no end that the parser could tell from its body: the head is cut off here.
    std::string bytes;
    std::size_t end = std::string::npos;
    while ((end = bytes.find("\r\n\r\n")) == std::string::npos) {
        char buffer[4096];
        const ssize_t got = ::recv(m_fd.get(), buffer, sizeof buffer, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || bytes.size() > (64U << 10))
            return Error(Code::Unavailable, "the daemon closed a stream before it was open");
        bytes.append(buffer, static_cast<std::size_t>(got));
    }
    TRY(answered(bytes.substr(0, end + 4), std::string_view(bytes).substr(end + 4)));
    ::fcntl(m_fd.get(), F_SETFL, ::fcntl(m_fd.get(), F_GETFL) | O_NONBLOCK);
    return {};
}

Status WebSocket::answered(const std::string &headText, std::string_view rest)
{
    http::ResponseHead head;
    std::string body;
    bool done = false;
    http::ResponseParser parser({
        [&](http::ResponseHead seen) -> Status {
            head = std::move(seen);
            return {};
        },
        [&](std::string_view piece) -> Status {
            body.append(piece);
            return {};
        },
        [&]() -> Status {
            done = true;
            return {};
        },
    });
    TRY(parser.feed(headText));
    if (head.status == 101) {
        TRY(http::checkWebSocketAnswer(head, m_key));
        return rest.empty() ? Status() : m_framer->feed(rest);
    }
    // A refusal: its body, small, says why.
    std::string more(rest);
    char buffer[4096];
    while (!done) {
        if (!more.empty())
            TRY(parser.feed(more));
        if (done)
            break;
        const ssize_t got = ::recv(m_fd.get(), buffer, sizeof buffer, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        more.assign(buffer, static_cast<std::size_t>(got));
    }
    const auto envelope = api::parseEnvelope(body, head.status);
    if (envelope && envelope->kind == api::Envelope::Kind::Error)
        return envelope->error;
    return Error(Code::Unavailable, "the daemon refused a stream with status " + std::to_string(head.status));
}

Result<bool> WebSocket::receive()
{
    if (!m_buffer)
        m_buffer = std::make_unique_for_overwrite<char[]>(kPiece);
    for (int i = 0; i < kMostReads && !m_ended; ++i) {
        const ssize_t got = ::recv(m_fd.get(), m_buffer.get(), kPiece, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            break;
        if (got <= 0) {
            m_ended = true;
            break;
        }
        TRY(m_framer->feed(std::string_view(m_buffer.get(), static_cast<std::size_t>(got))));
        if (m_framer->closeReceived())
            m_ended = true;
        if (static_cast<std::size_t>(got) < kPiece)
            break;
    }
    TRY(flush()); // answers to pings and to a close
    return !m_ended;
}

void WebSocket::send(http::Opcode opcode, std::string_view payload) { m_framer->send(opcode, payload); }

void WebSocket::close() { m_framer->close(); }

Status WebSocket::flush()
{
    std::string &output = m_framer->output();
    while (m_sent < output.size()) {
        const ssize_t sent =
            ::send(m_fd.get(), output.data() + m_sent, output.size() - m_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            return {};
        if (sent < 0) {
            // The other end has gone; what it sent before is still to be read, so this is no failure by itself.
            m_ended = m_ended || errno != EPIPE;
            break;
        }
        m_sent += static_cast<std::size_t>(sent);
    }
    output.clear();
    m_sent = 0;
    return {};
}

std::size_t WebSocket::pending() const { return m_framer->output().size() - m_sent; }

} // namespace lxmgr::client
