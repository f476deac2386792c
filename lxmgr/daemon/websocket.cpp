#include "daemon/websocket.h"

#include "daemon/connection.h"

#include <QTimer>

#include <cerrno>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

namespace lxmgr::daemon
{

namespace
{
constexpr std::size_t kPiece = 64 << 10;
constexpr std::size_t kWorthSplicing = 16 << 10; ///< Below that, reading and sending together is quicker.
/// Messages of people and programs (control, events) are short; what is pumped has no limit.
constexpr std::size_t kLongestMessage = 1 << 20;
/// The kernel hands a pty's last output over on a worker of its own, a moment after its writer has ended.
constexpr int kLateOutput = 5; // ms

void setNonBlocking(const Fd &fd)
{
    if (fd)
        ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

bool isPipe(const Fd &fd)
{
    struct stat info{};
    return fd && ::fstat(fd.get(), &info) == 0 && S_ISFIFO(info.st_mode);
}

std::size_t readable(const Fd &pipe)
{
    int there = 0;
    return ::ioctl(pipe.get(), FIONREAD, &there) == 0 && there > 0 ? static_cast<std::size_t>(there) : 0;
}
} // namespace

SharedFrame sharedTextFrame(std::string_view text)
{
    return std::make_shared<const std::string>(http::serverFrame(http::Opcode::Text, text));
}

// --- pump -----------------------------------------------------------------------------------------------------------

/// Lives in the server's thread. Reads its source only while the connection has room, and stops the connection's
/// reading while its sink is full.
class WebSocket::Pump
{
public:
    Pump(WebSocket &owner, PumpOptions options, std::function<void(PumpEnd)> done)
        : m_owner(owner), m_source(options.source ? std::make_shared<const Fd>(std::move(options.source)) : nullptr), m_sink(std::move(options.sink)),
          m_hadSource(static_cast<bool>(m_source)), m_sourceIsPipe(m_source && isPipe(*m_source)), m_closeAtEnd(options.closeAtEnd), m_done(std::move(done))
    {
    }
    ~Pump()
    {
        closeSource();
        closeSink();
    }

    void start()
    {
        setNonBlocking(m_sink);
        if (m_source)
            setNonBlocking(*m_source);
        if (m_source)
            watch(*m_source, EPOLLIN, [](Pump &pump) { pump.readSource(); });
        if (m_sink)
            watch(m_sink, 0, [](Pump &pump) { pump.writeSink(); });
    }

    bool hasSink() const { return m_hasSink; }

    /// The connection has room again.
    void drained()
    {
        if (m_source && m_stalled) {
            m_stalled = false;
            m_owner.m_poller.setEvents(m_source->get(), EPOLLIN);
            if (m_draining) // it may have been read empty: then nothing but another look finds its end
                m_owner.m_poller.post(nextLook());
        }
    }

    void drain()
    {
        m_draining = true;
        if (m_source && !m_stalled)
            readSource();
    }

    void fromClient(std::string_view bytes)
    {
        if (m_sink)
            m_toSink.append(bytes);
    }

    /// The connection's reading was stopped before the pump was there.
    void startsPaused() { m_paused = true; }

    /// All that was read from the connection has been handed over.
    void clientPaused() { writeSink(); }

    void clientEnded()
    {
        m_clientEnded = true;
        writeSink();
    }

    void clientGone()
    {
        closeSource();
        // One that has sent all and goes at once, as incus does: what the command has not read yet is still its own.
        if (m_clientEnded && !m_hadSource && m_sink && !m_toSink.empty())
            return;
        closeSink();
        finish(PumpEnd::ClientGone);
    }

private:
    template <class F> void watch(const Fd &fd, std::uint32_t events, F step)
    {
        const std::weak_ptr<WebSocket> weak = m_owner.weak_from_this();
        const Status watching = m_owner.m_poller.watch(fd.get(), events, [weak, step](std::uint32_t) {
            const auto self = weak.lock();
            if (self && self->m_pump)
                step(*self->m_pump);
        });
        if (!watching)
            m_owner.m_poller.post([weak] {
                const auto self = weak.lock();
                if (self && self->m_pump)
                    self->m_pump->sourceEnded(); // a regular file: epoll(7) knows no waiting for it
            });
    }

    void readSource()
    {
        const auto owner = m_owner.shared_from_this();
        const auto connection = m_owner.m_connection.lock();
        if (!connection || !m_source)
            return;
        if (!connection->hasRoom() || (m_piece && m_piece->left > 0)) {
            m_stalled = true;
            m_owner.m_poller.setEvents(m_source->get(), 0);
            return;
        }
        if (spliceSource(*connection))
            return;
        std::string &buffer = connection->hub().readBuffer;
        std::size_t filled = 0;
        bool ended = false, empty = false;
        while (filled < kPiece && !ended && !empty) { // a pty gives at most 4 KiB at a time
            const ssize_t count = ::read(m_source->get(), buffer.data() + filled, kPiece - filled);
            if (count > 0)
                filled += static_cast<std::size_t>(count);
            else if (count < 0 && errno == EINTR)
                continue;
            else if (count < 0 && errno == EAGAIN)
                empty = true;
            else
                ended = true; // 0, or EIO from a pty whose last writer has gone
        }
        if (filled > 0)
            connection->sendFrame(http::Opcode::Binary, {buffer.data(), filled});
        if (ended)
            return sourceEnded();
        if (m_draining)
            drainMore(empty && filled == 0);
    }

    /// What is in a pipe by now goes out from there.
    bool spliceSource(Connection &connection)
    {
        const std::size_t there = m_sourceIsPipe ? readable(*m_source) : 0;
        if (there < kWorthSplicing)
            return false;
        m_piece = std::make_shared<PipePiece>(PipePiece{m_source, there});
        connection.sendPiped(m_piece);
        if (m_draining)
            drainMore(false);
        return true;
    }

    void drainMore(bool nothingCame)
    {
        if (nothingCame && m_lastLook)
            return sourceEnded();
        m_lastLook = nothingCame;
        if (nothingCame)
            QTimer::singleShot(kLateOutput, nextLook());
        else
            m_owner.m_poller.post(nextLook());
    }

    std::function<void()> nextLook()
    {
        return [weak = m_owner.weak_from_this()] {
            const auto self = weak.lock();
            if (self && self->m_pump && !self->m_pump->m_stalled)
                self->m_pump->readSource();
        };
    }

    void sourceEnded()
    {
        if (!m_source)
            return;
        const auto owner = m_owner.shared_from_this();
        closeSource();
        if (const auto connection = m_owner.m_connection.lock()) {
            connection->sendFrame(http::Opcode::Text, {}); // end of this stream (rest-api, exec)
            if (m_closeAtEnd)
                connection->closeWebSocket(1000, {});
        }
        finish(PumpEnd::SourceEnded);
    }

    void writeSink()
    {
        const auto owner = m_owner.shared_from_this();
        while (m_sink && !m_toSink.empty()) {
            const ssize_t count = ::write(m_sink.get(), m_toSink.data(), m_toSink.size());
            if (count < 0 && errno == EINTR)
                continue;
            if (count < 0 && errno == EAGAIN)
                break;
            if (count < 0) { // EPIPE: nobody reads any more, what follows is dropped
                closeSink();
                break;
            }
            m_toSink.erase(0, static_cast<std::size_t>(count));
        }
        if (m_sink && m_toSink.empty() && m_clientEnded)
            closeSink();
        if (m_sink)
            m_owner.m_poller.setEvents(m_sink.get(), m_toSink.empty() ? 0 : std::uint32_t(EPOLLOUT));
        if (const auto connection = m_owner.m_connection.lock(); connection && m_paused != isFull()) {
            m_paused = isFull();
            connection->pauseReading(m_paused);
        }
        if (!m_sink && !m_hadSource && m_clientEnded)
            finish(PumpEnd::SinkEnded);
    }

    bool isFull() const { return m_toSink.size() >= kPiece; }

    void closeSource()
    {
        if (m_source)
            m_owner.m_poller.unwatch(m_source->get());
        m_source.reset();
    }
    void closeSink()
    {
        if (m_sink)
            m_owner.m_poller.unwatch(m_sink.get());
        m_sink.reset();
        m_toSink.clear();
    }
    void finish(PumpEnd how)
    {
        if (const auto done = std::exchange(m_done, nullptr))
            done(how);
    }

    WebSocket &m_owner;
    std::shared_ptr<const Fd> m_source; ///< Pieces of it may still be on their way when it is done with here.
    Fd m_sink;
    bool m_hadSource;
    bool m_sourceIsPipe;
    std::shared_ptr<PipePiece> m_piece; ///< The last one.
    bool m_hasSink = static_cast<bool>(m_sink);
    bool m_closeAtEnd;
    std::function<void(PumpEnd)> m_done;
    std::string m_toSink;
    bool m_stalled = false;     ///< The connection is full.
    bool m_paused = false;      ///< The sink is full.
    bool m_draining = false;
    bool m_lastLook = false;
    bool m_clientEnded = false; ///< Its empty text message came.
};

// --- websocket ------------------------------------------------------------------------------------------------------

WebSocket::WebSocket(std::weak_ptr<Connection> connection, Poller &poller)
    : m_connection(std::move(connection)), m_poller(poller), m_mailbox(poller.mailbox())
{
}

WebSocket::~WebSocket() = default;

void WebSocket::post(std::function<void(Connection &)> work)
{
    if (m_open)
        m_mailbox->post([connection = m_connection, work = std::move(work)] {
            if (const auto alive = connection.lock())
                work(*alive);
        });
}

void WebSocket::sendText(std::string_view text)
{
    post([frame = std::string(text)](Connection &connection) { connection.sendFrame(http::Opcode::Text, frame); });
}

void WebSocket::sendBinary(std::string_view bytes)
{
    post([frame = std::string(bytes)](Connection &connection) { connection.sendFrame(http::Opcode::Binary, frame); });
}

void WebSocket::sendFrame(SharedFrame frame)
{
    post([frame = std::move(frame)](Connection &connection) { connection.sendShared(frame); });
}

void WebSocket::close(std::uint16_t code, std::string_view reason)
{
    post([code, text = std::string(reason)](Connection &connection) { connection.closeWebSocket(code, text); });
}

bool WebSocket::isOpen() const { return m_open; }

void WebSocket::setQueueLimit(std::size_t messages, std::size_t bytes)
{
    post([=](Connection &connection) { connection.setQueueLimit(messages, bytes); });
}

void WebSocket::pump(PumpOptions options, std::function<void(PumpEnd)> done)
{
    auto shared = std::make_shared<PumpOptions>(std::move(options)); // std::function copies, descriptors do not
    m_mailbox->post([self = shared_from_this(), shared, done = std::move(done)] {
        self->m_pump = std::make_unique<Pump>(*self, std::move(*shared), done);
        if (!self->m_open)
            return self->m_pump->clientGone();
        self->m_pump->start();
        if (self->m_early.size() >= kPiece) // see keepEarly()
            self->m_pump->startsPaused();
        if (!self->m_early.empty())
            self->m_pump->fromClient(std::exchange(self->m_early, {}));
        if (self->m_earlyEnd)
            self->m_pump->clientEnded();
        else
            self->m_pump->clientPaused();
    });
}

void WebSocket::drainPump()
{
    m_mailbox->post([self = shared_from_this()] {
        if (self->m_pump)
            self->m_pump->drain();
    });
}

void WebSocket::received(http::Opcode opcode, std::string_view piece, bool last)
{
    if (opcode == http::Opcode::Binary && m_pump && m_pump->hasSink())
        return m_pump->fromClient(piece);
    if (opcode == http::Opcode::Binary && !onBinary)
        return keepEarly(piece);
    if (m_message.size() + piece.size() > kLongestMessage)
        return close(1009, "message too long");
    m_message.append(piece);
    if (!last)
        return;
    const std::string message = std::exchange(m_message, {});
    if (opcode == http::Opcode::Binary)
        return onBinary(message);
    if (message.empty() && m_pump)
        return m_pump->clientEnded();
    if (message.empty() && !onText)
        m_earlyEnd = true;
    else if (onText)
        onText(message);
}

/// A client may send before all its sockets are connected and the command has started.
void WebSocket::keepEarly(std::string_view piece)
{
    if (m_pump)
        return; // a pump without sink: nobody wants it
    m_early.append(piece);
    if (m_early.size() >= kPiece)
        if (const auto connection = m_connection.lock())
            connection->pauseReading(true);
}

void WebSocket::readDone()
{
    if (m_pump)
        m_pump->clientPaused();
}

void WebSocket::drained()
{
    if (m_pump)
        m_pump->drained();
}

void WebSocket::closed()
{
    const auto self = shared_from_this();
    m_open = false;
    if (std::exchange(m_closeTold, true))
        return;
    if (m_pump)
        m_pump->clientGone();
    if (onClose)
        onClose();
    // What the callbacks hold may hold this socket.
    onText = onBinary = nullptr;
    onClose = nullptr;
}

} // namespace lxmgr::daemon
