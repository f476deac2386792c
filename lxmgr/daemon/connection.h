// One client connection: HTTP requests one after another, then perhaps a websocket. Lives in the server's thread.
#pragma once

#include "base/fd.h"
#include "daemon/outbox.h"
#include "daemon/poller.h"
#include "daemon/router.h"
#include "daemon/server.h"
#include "http/parser.h"
#include "http/websocket.h"

#include <QThreadPool>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <sys/socket.h>

namespace lxmgr::daemon
{

using Clock = std::chrono::steady_clock;

/// What every connection shares with its server.
class Hub
{
public:
    explicit Hub(ServerOptions theOptions, Handler theHandler);
    virtual ~Hub() = default;

    ServerOptions options;
    Handler handler;
    std::vector<UploadSink> sinks; ///< Indexed by RouteId.
    Poller poller;
    QThreadPool handlers;
    QThreadPool disk; ///< Reads and writes files for connections, so that the server's thread never waits for a disk.
    std::string readBuffer;

    virtual void ended(Connection &connection) = 0;
    /// A connection wants Connection::expired() at `when`.
    virtual void wakeAt(Clock::time_point when) = 0;
};

/// An answer as a Responder hands it over.
struct Answer {
    int status = 200;
    http::Headers headers;
    std::vector<BodyPart> parts;
    std::optional<Fd> stream; ///< Sent in chunks instead of `parts`.
    std::function<bool()> whole; ///< Whether the stream that ended was all of it; unset: it was.
    std::function<void(std::shared_ptr<WebSocket>)> upgrade;
    std::function<void(Fd, std::string)> handOver; ///< Takes the socket once the answer is sent.
};

/// The way from a Responder in any thread to its connection.
class Responder::Channel
{
public:
    Channel(std::weak_ptr<Connection> connection, std::shared_ptr<Mailbox> mailbox, const http::RequestHead &head);
    ~Channel();

    void answer(Answer answer);
    bool gone() const { return m_gone; }
    void onGone(std::function<void()> callback);
    /// Before the handler is called.
    void onAnswer(std::function<void(int, const std::string &)> told) { m_told = std::move(told); }
    /// The connection has ended.
    void tellGone();
    const http::RequestHead &head() const { return m_head; }

private:
    std::weak_ptr<Connection> m_connection;
    std::shared_ptr<Mailbox> m_mailbox;
    http::RequestHead m_head; ///< For the websocket's key.
    std::atomic<bool> m_answered = false;
    std::atomic<bool> m_gone = false;
    std::mutex m_mutex;
    std::vector<std::function<void()>> m_callbacks;
    std::function<void(int, const std::string &)> m_told;
};

class Connection : public std::enable_shared_from_this<Connection>
{
public:
    /// `user`: whom its server counts it for.
    Connection(Hub &hub, Fd socket, Peer peer, std::string user);
    ~Connection();

    Status start();
    const Peer &peer() const { return m_peer; }
    const std::string &user() const { return m_user; }
    Clock::time_point deadline() const { return m_deadline; }
    /// Its deadline has passed.
    void expired();
    /// Ends at once.
    void end();

    void answer(Answer answer);

    // --- for its WebSocket ---
    void sendFrame(http::Opcode opcode, std::string_view payload);
    void sendShared(SharedFrame frame);
    /// A binary message of the bytes of `piece`.
    void sendPiped(std::shared_ptr<PipePiece> piece);
    void closeWebSocket(std::uint16_t code, std::string_view reason);
    void setQueueLimit(std::size_t messages, std::size_t bytes);
    /// The reader behind the websocket is full, or has room again.
    void pauseReading(bool pause);
    bool hasRoom() const { return m_outbox.bytes() < kHighWater; }
    Hub &hub() { return m_hub; }

private:
    static constexpr std::size_t kHighWater = 128 << 10;
    static constexpr std::size_t kLowWater = 64 << 10;

    enum class Phase {
        Request, ///< Reading one, or waiting for one.
        Working, ///< A handler has it, or its upload is still being written.
        Answer,  ///< Sending.
        Socket,  ///< A websocket.
        Closing, ///< The rest is sent, then it ends.
        Ended,
    };
    /// Where the bytes of a body go.
    enum class BodyTo { Memory, File, Nowhere };
    struct Upload;

    void happened(std::uint32_t events);
    void readSome();
    void received(std::string_view bytes);
    void feedHttp(std::string_view bytes);
    void feedWebSocket(std::string_view bytes);
    void sayHello();
    bool takeFds(const msghdr &message);

    Status onHead(http::RequestHead head);
    Status onBody(std::string_view piece);
    Status onEnd();
    void refuse(Refusal refusal);
    void startUpload(bool askSink);
    void pumpUpload();
    void uploadFailed(const Error &error);
    void dispatch();

    void sendAnswer(int status, http::Headers headers, std::string body);
    void queueParts(std::vector<BodyPart> parts);
    void becomeWebSocket(std::function<void(std::shared_ptr<WebSocket>)> ready);
    void handOver();
    void flush();
    void runFile(std::shared_ptr<FileJob> file);
    void sentAll();
    void nextRequest();
    void updateEvents();
    bool wantsBytes() const { return m_phase == Phase::Socket || (m_phase == Phase::Request && !m_bodyEnded); }
    void queued();
    void setDeadline(std::chrono::milliseconds after);
    void clearDeadline() { m_deadline = Clock::time_point::max(); }

    Hub &m_hub;
    Fd m_socket;
    Peer m_peer;
    std::string m_user;
    Phase m_phase = Phase::Request;
    Clock::time_point m_deadline = Clock::time_point::max();

    http::RequestParser m_parser;
    Request m_request;
    BodyTo m_bodyTo = BodyTo::Memory;
    std::optional<Refusal> m_refusal;
    std::shared_ptr<Upload> m_upload;
    bool m_bodyEnded = false;
    bool m_keepAlive = true;
    bool m_headOnly = false;
    bool m_halfClosed = false;
    std::string m_unread; ///< Behind the current request: the next one, or frames.
    std::vector<Fd> m_fds;
    std::weak_ptr<Responder::Channel> m_channel;

    Outbox m_outbox;
    std::function<void(Fd, std::string)> m_handOver; ///< Who gets the socket once all is sent.
    bool m_wantWrite = false;
    bool m_fileRunning = false;

    std::optional<http::Framer> m_framer;
    std::shared_ptr<WebSocket> m_webSocket;
    bool m_paused = false;
    std::size_t m_messageLimit = 1000;
    std::size_t m_byteLimit = 1 << 20;
};

} // namespace lxmgr::daemon
