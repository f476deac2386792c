// WebSocket (RFC 6455): handshake and frames, both roles, no I/O (framing by wslay).
#pragma once

#include "base/result.h"
#include "http/message.h"

#include <cstdint>
#include <functional>
#include <memory>

namespace lxmgr::http
{

enum class Role { Server, Client };
enum class Opcode : std::uint8_t { Text = 1, Binary = 2, Close = 8, Ping = 9, Pong = 10 };

struct FrameEvents {
    /// A piece of a text or binary message as it arrives; `last` ends the message. An empty message is one call.
    std::function<void(Opcode, std::string_view piece, bool last)> data;
    /// The peer's close frame (1005: without a code). The reply is already in the output.
    std::function<void(std::uint16_t code, std::string_view reason)> closed;
    std::function<void(std::string_view payload)> pong; ///< May be empty.
};

/// One side of one connection. Pings are answered by itself.
class Framer
{
public:
    Framer(Role role, FrameEvents events);
    ~Framer();
    Framer(Framer &&) noexcept;
    Framer &operator=(Framer &&) noexcept;

    /// Bytes from the peer. Invalid when they break the protocol: send what output() holds (a close frame), then end.
    Status feed(std::string_view bytes);
    /// Puts one whole message into the output; nothing after close().
    void send(Opcode opcode, std::string_view payload);
    void close(std::uint16_t code = 1000, std::string_view reason = {});
    /// Bytes for the peer; the caller takes or clears them.
    std::string &output();
    bool closeSent() const;
    bool closeReceived() const;

private:
    class Impl;
    std::unique_ptr<Impl> m_impl;
};

/// A server's frame with one whole message. Unmasked, hence the same for any number of clients.
std::string serverFrame(Opcode opcode, std::string_view payload);
/// Its first bytes, behind which `size` bytes of payload are to follow.
std::string serverFrameStart(Opcode opcode, std::uint64_t size);

/// Client: a fresh Sec-WebSocket-Key, the fields of the upgrade request, the check of the answer.
std::string newWebSocketKey();
Headers webSocketRequestHeaders(const std::string &key);
Status checkWebSocketAnswer(const ResponseHead &head, const std::string &key);
/// Server: the fields of the 101 answer, or why the request is none for a websocket (Invalid).
Result<Headers> webSocketAnswer(const RequestHead &head);

} // namespace lxmgr::http
