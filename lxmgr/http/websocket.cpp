#include "http/websocket.h"

#include "base/base64.h"
#include "base/text.h"

#include <boost/uuid/detail/sha1.hpp>

#include <algorithm>
#include <cstring>
#include <sys/random.h>
#include <wslay/wslay.h>

namespace lxmgr::http
{

namespace
{
constexpr std::string_view kHandshakeGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455 §1.3
constexpr std::string_view kProtocolError("\x03\xea", 2); // close code 1002
/// Messages have no border here: pieces go on as they come.
constexpr std::uint64_t kLongestMessage = std::uint64_t(1) << 62;

std::string sha1(std::string_view text)
{
    boost::uuids::detail::sha1 hash;
    hash.process_bytes(text.data(), text.size());
    unsigned int words[5];
    hash.get_digest(words);
    std::string digest;
    for (const unsigned int word : words)
        for (int shift = 24; shift >= 0; shift -= 8)
            digest += static_cast<char>(word >> shift & 0xff);
    return digest;
}

std::string acceptFor(std::string_view key) { return base64Encode(sha1(std::string(key).append(kHandshakeGuid))); }

/// Masks only have to be hard to guess for what sits between the ends; one system call fills many.
void randomBytes(std::uint8_t *bytes, std::size_t count)
{
    thread_local std::uint8_t pool[256];
    thread_local std::size_t left = 0;
    while (count > 0) {
        if (left == 0) {
            if (::getrandom(pool, sizeof pool, 0) != static_cast<ssize_t>(sizeof pool))
                continue; // interrupted
            left = sizeof pool;
        }
        const std::size_t part = std::min(count, left);
        std::memcpy(bytes, pool + sizeof pool - left, part);
        bytes += part;
        count -= part;
        left -= part;
    }
}
} // namespace

class Framer::Impl
{
public:
    Impl(Role role, FrameEvents events) : m_role(role), m_events(std::move(events))
    {
        wslay_event_callbacks callbacks{};
        callbacks.recv_callback = [](wslay_event_context *context, std::uint8_t *buffer, std::size_t size, int,
                                     void *self) { return static_cast<Impl *>(self)->give(context, buffer, size); };
        callbacks.send_callback = [](wslay_event_context *, const std::uint8_t *data, std::size_t size, int, void *self) {
            static_cast<Impl *>(self)->m_output.append(reinterpret_cast<const char *>(data), size);
            return static_cast<ssize_t>(size);
        };
        callbacks.genmask_callback = [](wslay_event_context *, std::uint8_t *buffer, std::size_t size, void *) {
            randomBytes(buffer, size);
            return 0;
        };
        callbacks.on_frame_recv_start_callback = [](wslay_event_context *,
                                                    const wslay_event_on_frame_recv_start_arg *frame, void *self) {
            static_cast<Impl *>(self)->frameStarted(*frame);
        };
        callbacks.on_frame_recv_chunk_callback = [](wslay_event_context *,
                                                    const wslay_event_on_frame_recv_chunk_arg *chunk, void *self) {
            static_cast<Impl *>(self)->chunk({reinterpret_cast<const char *>(chunk->data), chunk->data_length});
        };
        callbacks.on_frame_recv_end_callback = [](wslay_event_context *, void *self) {
            static_cast<Impl *>(self)->frameEnded();
        };
        callbacks.on_msg_recv_callback = [](wslay_event_context *, const wslay_event_on_msg_recv_arg *message,
                                            void *self) { static_cast<Impl *>(self)->control(*message); };
        const auto init = role == Role::Server ? wslay_event_context_server_init : wslay_event_context_client_init;
        if (init(&m_context, &callbacks, this) != 0)
            throw std::bad_alloc();
        wslay_event_config_set_no_buffering(m_context, 1);
        wslay_event_config_set_max_recv_msg_length(m_context, kLongestMessage);
    }
    ~Impl() { wslay_event_context_free(m_context); }
    Impl(const Impl &) = delete;
    Impl &operator=(const Impl &) = delete;

    Status feed(std::string_view bytes)
    {
        if (m_broken)
            return broken();
        m_input = bytes;
        const int outcome = wslay_event_recv(m_context);
        m_input = {};
        if (outcome != 0) { // a header that cannot be: the context is of no use from here on
            m_broken = m_closing = true;
            if (m_role == Role::Server)
                m_output += serverFrame(Opcode::Close, kProtocolError);
            return broken();
        }
        flush();
        // wslay answers other broken frames with a close of its own and reads no further.
        if (!wslay_event_get_read_enabled(m_context) && !wslay_event_get_close_received(m_context))
            return broken();
        return {};
    }

    void send(Opcode opcode, std::string_view payload)
    {
        if (m_closing)
            return;
        if (m_role == Role::Server) {
            m_output += serverFrame(opcode, payload);
            return;
        }
        const wslay_event_msg message{static_cast<std::uint8_t>(opcode),
                                      reinterpret_cast<const std::uint8_t *>(payload.data()), payload.size()};
        wslay_event_queue_msg(m_context, &message);
        flush();
    }

    void close(std::uint16_t code, std::string_view reason)
    {
        if (m_closing)
            return;
        m_closing = true;
        reason = reason.substr(0, 123); // a control frame holds 125 bytes
        wslay_event_queue_close(m_context, code, reinterpret_cast<const std::uint8_t *>(reason.data()), reason.size());
        flush();
    }

    std::string &output() { return m_output; }
    bool closeSent() const { return m_broken || wslay_event_get_close_sent(m_context) != 0; }
    bool closeReceived() const { return wslay_event_get_close_received(m_context) != 0; }

private:
    static Error broken() { return {Code::Invalid, "websocket: the peer broke the protocol"}; }

    ssize_t give(wslay_event_context *context, std::uint8_t *buffer, std::size_t size)
    {
        if (m_input.empty()) {
            wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
            return -1;
        }
        const std::size_t part = std::min(size, m_input.size());
        std::memcpy(buffer, m_input.data(), part);
        m_input.remove_prefix(part);
        return static_cast<ssize_t>(part);
    }

    void frameStarted(const wslay_event_on_frame_recv_start_arg &frame)
    {
        m_inControl = wslay_is_ctrl_frame(frame.opcode);
        if (m_inControl)
            return;
        m_left = frame.payload_length;
        m_final = frame.fin;
        if (frame.opcode != WSLAY_CONTINUATION_FRAME) {
            m_opcode = static_cast<Opcode>(frame.opcode);
        }
    }
    void chunk(std::string_view bytes)
    {
        if (m_inControl || bytes.empty())
            return;
        m_left -= bytes.size();
        m_ended = m_left == 0 && m_final;
        if (m_events.data)
            m_events.data(m_opcode, bytes, m_ended);
    }
    void frameEnded()
    {
        if (m_inControl)
            return;
        // An empty message, or an empty last frame behind others, has had no chunk to say that it ended.
        if (m_final && !m_ended && m_events.data)
            m_events.data(m_opcode, {}, true);
        m_ended = false;
    }
    void control(const wslay_event_on_msg_recv_arg &message)
    {
        const std::string_view payload(reinterpret_cast<const char *>(message.msg), message.msg_length);
        if (message.opcode == WSLAY_PONG && m_events.pong)
            m_events.pong(payload);
        if (message.opcode == WSLAY_CONNECTION_CLOSE) {
            m_closing = true;
            const std::uint16_t code = wslay_event_get_status_code_received(m_context);
            if (m_events.closed)
                m_events.closed(code, payload.substr(std::min<std::size_t>(2, payload.size())));
        }
    }
    void flush()
    {
        while (wslay_event_want_write(m_context))
            if (wslay_event_send(m_context) != 0)
                return;
    }

    Role m_role;
    FrameEvents m_events;
    wslay_event_context *m_context = nullptr;
    std::string_view m_input;
    std::string m_output;
    Opcode m_opcode = Opcode::Binary;
    std::uint64_t m_left = 0;
    bool m_inControl = false;
    bool m_final = false;
    bool m_ended = false;
    bool m_closing = false;
    bool m_broken = false;
};

Framer::Framer(Role role, FrameEvents events) : m_impl(std::make_unique<Impl>(role, std::move(events))) {}
Framer::~Framer() = default;
Framer::Framer(Framer &&) noexcept = default;
Framer &Framer::operator=(Framer &&) noexcept = default;
Status Framer::feed(std::string_view bytes) { return m_impl->feed(bytes); }
void Framer::send(Opcode opcode, std::string_view payload) { m_impl->send(opcode, payload); }
void Framer::close(std::uint16_t code, std::string_view reason) { m_impl->close(code, reason); }
std::string &Framer::output() { return m_impl->output(); }
bool Framer::closeSent() const { return m_impl->closeSent(); }
bool Framer::closeReceived() const { return m_impl->closeReceived(); }

std::string serverFrameStart(Opcode opcode, std::uint64_t size)
{
    std::string frame;
    frame += static_cast<char>(0x80 | static_cast<std::uint8_t>(opcode));
    int lengthBytes = 0;
    if (size < 126) {
        frame += static_cast<char>(size);
    } else if (size < 65536) {
        frame += static_cast<char>(126);
        lengthBytes = 2;
    } else {
        frame += static_cast<char>(127);
        lengthBytes = 8;
    }
    for (int i = lengthBytes - 1; i >= 0; --i)
        frame += static_cast<char>(size >> (8 * i) & 0xff);
    return frame;
}

std::string serverFrame(Opcode opcode, std::string_view payload)
{
    std::string frame = serverFrameStart(opcode, payload.size());
    return frame.append(payload);
}

std::string newWebSocketKey()
{
    std::uint8_t bytes[16];
    randomBytes(bytes, sizeof bytes);
    return base64Encode({reinterpret_cast<const char *>(bytes), sizeof bytes});
}

Headers webSocketRequestHeaders(const std::string &key)
{
    return {{"Connection", "Upgrade"},
            {"Upgrade", "websocket"},
            {"Sec-WebSocket-Version", "13"},
            {"Sec-WebSocket-Key", key}};
}

Status checkWebSocketAnswer(const ResponseHead &head, const std::string &key)
{
    if (head.status != 101)
        return Error(Code::Unavailable, "websocket refused with HTTP status " + std::to_string(head.status));
    if (lower(head.headers.value("Upgrade")) != "websocket" || head.headers.value("Sec-WebSocket-Accept") != acceptFor(key))
        return Error(Code::Invalid, "websocket: the server's answer does not fit the request");
    return {};
}

Result<Headers> webSocketAnswer(const RequestHead &head)
{
    if (head.method != "GET" || head.upgrade != "websocket")
        return Error(Code::Invalid, "this is a websocket: ask with 'Upgrade: websocket'");
    if (head.headers.value("Sec-WebSocket-Version") != "13")
        return Error(Code::Invalid, "only websocket version 13 is spoken here");
    const std::string_view key = head.headers.value("Sec-WebSocket-Key");
    if (key.empty() || key.size() > 64)
        return Error(Code::Invalid, "no usable Sec-WebSocket-Key");
    return Headers{{"Connection", "Upgrade"}, {"Upgrade", "websocket"}, {"Sec-WebSocket-Accept", acceptFor(key)}};
}

} // namespace lxmgr::http
