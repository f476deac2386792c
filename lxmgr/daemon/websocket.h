// A websocket as handlers see it: messages both ways from any thread, and a pump that couples it to descriptors.
#pragma once

#include "base/fd.h"
#include "daemon/poller.h"
#include "http/websocket.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace lxmgr::daemon
{

class Connection;

/// What one frame for many clients is encoded into, once.
using SharedFrame = std::shared_ptr<const std::string>;
SharedFrame sharedTextFrame(std::string_view text);

/// Couples a websocket with descriptors, 64 KiB at a time; a slow side stops the other.
struct PumpOptions {
    Fd source;               ///< Read here, sent as binary frames; its end is sent as an empty text frame. May be empty.
    Fd sink;                 ///< Data from the client is written here; closed at the client's end of stream (so a pty
                             ///< comes as two descriptors, see dup(2)). May be empty.
    bool closeAtEnd = true;  ///< Send a close frame once `source` has ended.
};
/// How a pump ended.
enum class PumpEnd {
    SourceEnded, ///< All of `source` was sent.
    SinkEnded,   ///< Without a source: the client's end of stream came and all was written.
    ClientGone,  ///< The client closed or broke the connection before that.
};

class WebSocket : public std::enable_shared_from_this<WebSocket>
{
public:
    WebSocket(std::weak_ptr<Connection> connection, Poller &poller);
    ~WebSocket();

    // --- any thread ---
    void sendText(std::string_view text);
    void sendBinary(std::string_view bytes);
    void sendFrame(SharedFrame frame);
    void close(std::uint16_t code = 1000, std::string_view reason = {});
    bool isOpen() const;
    /// More than this waiting to be sent closes the socket (a reader that does not keep up). Default: 1000 messages, 1 MiB.
    void setQueueLimit(std::size_t messages, std::size_t bytes);
    /// Starts coupling; `done` runs once, on the server's thread. Text messages that are not empty still go to onText.
    /// Data that came before is not lost, as long as onBinary was not set.
    void pump(PumpOptions options, std::function<void(PumpEnd)> done);
    /// The writer of the pump's source has ended: send what can be read at this moment, then end as if it had closed
    /// (a background process may hold the pipe or pty open for ever).
    void drainPump();

    // --- the server's thread: set in Responder::websocket's `ready`; called there ---
    std::function<void(std::string_view)> onText;
    std::function<void(std::string_view)> onBinary; ///< Not while a pump has a sink.
    std::function<void()> onClose;                  ///< Once, however it ended.

private:
    friend class Connection;
    class Pump;
    void post(std::function<void(Connection &)> work);
    // Called by the connection, in the server's thread:
    void received(http::Opcode opcode, std::string_view piece, bool last);
    void keepEarly(std::string_view piece);
    void readDone();
    void drained();
    void closed();

    std::weak_ptr<Connection> m_connection;
    Poller &m_poller;
    std::shared_ptr<Mailbox> m_mailbox;
    std::unique_ptr<Pump> m_pump;
    std::string m_message; ///< Pieces of a message that has not ended.
    std::string m_early;   ///< Data that came before the pump.
    bool m_earlyEnd = false;
    std::atomic<bool> m_open = true;
    bool m_closeTold = false;
};

} // namespace lxmgr::daemon
