// A websocket to the daemon: blocking while it opens, then driven by poll(2).
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "http/websocket.h"

#include <memory>
#include <string>
#include <string_view>

namespace lxmgr::client
{

class WebSocket
{
public:
    using OnData = std::function<void(http::Opcode, std::string_view piece, bool last)>;

    /// Sends the upgrade request over `socket`, connected; finishOpening() reads the answer. Several can be opened side by side.
    static Result<WebSocket> begin(Fd socket, const std::string &target, OnData onData);
    Status finishOpening();

    const Fd &fd() const { return m_fd; }
    /// Reads what is there without waiting; false once the peer has ended.
    Result<bool> receive();
    /// Queues a message; flush() sends what the socket takes.
    void send(http::Opcode opcode, std::string_view payload);
    void close();
    Status flush();
    /// Bytes queued.
    std::size_t pending() const;

private:
    WebSocket(Fd fd, std::string key, OnData onData);
    Status answered(const std::string &head, std::string_view rest);

    Fd m_fd;
    std::string m_key;
    std::unique_ptr<http::Framer> m_framer;
    std::size_t m_sent = 0; ///< Of the framer's output.
    bool m_ended = false;
    std::unique_ptr<char[]> m_buffer; ///< Made once: automatic arrays are filled with zeros each time.
};

} // namespace lxmgr::client
