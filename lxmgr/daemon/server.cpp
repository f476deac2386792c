#include "daemon/server.h"

#include "base/log.h"
#include "daemon/connection.h"
#include "daemon/listener.h"

#include <QTimer>

#include <cerrno>
#include <fcntl.h>
#include <map>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unordered_map>

namespace lxmgr::daemon
{

namespace
{
constexpr int kAcceptTurn = 32;

http::Headers jsonHeaders() { return {{"Content-Type", "application/json"}}; }

Answer envelope(int status, std::string body)
{
    Answer answer;
    answer.status = status;
    answer.headers = jsonHeaders();
    answer.parts.emplace_back(std::move(body));
    return answer;
}
} // namespace

// --- responder ------------------------------------------------------------------------------------------------------

Responder::Responder(std::shared_ptr<Channel> channel) : m_channel(std::move(channel)) {}

void Responder::sync(std::string metadata, std::string etag) const
{
    Answer answer = envelope(200, api::syncEnvelope(metadata));
    if (!etag.empty())
        answer.headers.add("Etag", std::move(etag));
    m_channel->answer(std::move(answer));
}

void Responder::syncWith(http::Headers headers, std::string metadata) const
{
    Answer answer = envelope(200, api::syncEnvelope(metadata));
    for (const http::Header &header : headers)
        answer.headers.add(header.name, header.value);
    m_channel->answer(std::move(answer));
}

void Responder::created(std::string location, std::string metadata) const
{
    Answer answer = envelope(201, api::syncEnvelope(metadata));
    answer.headers.add("Location", std::move(location));
    m_channel->answer(std::move(answer));
}

void Responder::async(const api::Operation &operation, const std::string &project) const
{
    const std::string url = api::operationUrl(operation.id, project);
    Answer answer = envelope(202, api::asyncEnvelope(operation, url));
    answer.headers.add("Location", url);
    m_channel->answer(std::move(answer));
}

void Responder::error(const Error &error) const { this->error(api::httpStatus(error), error.message, error.code); }

void Responder::error(int status, std::string_view message, Code code) const
{
    Answer answer = envelope(status, api::errorEnvelope(status, message, codeInfo(code).name));
    answer.headers.add("X-Content-Type-Options", "nosniff");
    m_channel->answer(std::move(answer));
}

void Responder::raw(int status, http::Headers headers, std::vector<BodyPart> parts) const
{
    Answer answer;
    answer.status = status;
    answer.headers = std::move(headers);
    answer.parts = std::move(parts);
    m_channel->answer(std::move(answer));
}

void Responder::stream(int status, http::Headers headers, Fd source, std::function<bool()> whole) const
{
    Answer answer;
    answer.status = status;
    answer.headers = std::move(headers);
    answer.stream = std::move(source);
    answer.whole = std::move(whole);
    m_channel->answer(std::move(answer));
}

void Responder::websocket(std::function<void(std::shared_ptr<WebSocket>)> ready) const
{
    Result<http::Headers> headers = http::webSocketAnswer(m_channel->head());
    if (!headers)
        return error(headers.error());
    Answer answer;
    answer.status = 101;
    answer.headers = std::move(*headers);
    answer.upgrade = std::move(ready);
    m_channel->answer(std::move(answer));
}

void Responder::handOver(const std::string &protocol, std::function<void(Fd, std::string)> take) const
{
    if (m_channel->head().upgrade != protocol)
        return error(Error(Code::Invalid, "this is for connections that ask for \"Upgrade: " + protocol + "\""));
    Answer answer;
    answer.status = 101;
    answer.headers = {{"Upgrade", protocol}, {"Connection", "Upgrade"}};
    answer.handOver = std::move(take);
    m_channel->answer(std::move(answer));
}

bool Responder::gone() const { return m_channel->gone(); }
void Responder::onGone(std::function<void()> callback) const { m_channel->onGone(std::move(callback)); }

// --- server ---------------------------------------------------------------------------------------------------------

class Server::Impl final : public Hub
{
public:
    Impl(ServerOptions theOptions, Handler theHandler) : Hub(std::move(theOptions), std::move(theHandler))
    {
        m_timer.setSingleShot(true);
        m_timer.setTimerType(Qt::CoarseTimer);
        QObject::connect(&m_timer, &QTimer::timeout, &m_timer, [this] { deadlinesPassed(); });
    }

    ~Impl() override
    {
        stopListening();
        // Connections first: a handler that waits for something learns that its client has gone, and ends.
        while (!m_connections.empty())
            std::shared_ptr<Connection>(m_connections.begin()->second)->end();
        handlers.waitForDone();
        disk.waitForDone();
    }

    Status listen()
    {
        m_reserve = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        m_listening = TRY(openListener(options.socketPath, options.mode, options.group));
        return poller.watch(m_listening.socket.get(), EPOLLIN, [this](std::uint32_t) { acceptSome(); });
    }

    void stopListening()
    {
        if (!m_listening.socket)
            return;
        poller.unwatch(m_listening.socket.get());
        removeListener(m_listening, options.socketPath);
        m_listening = {};
    }

    std::size_t connectionCount() const { return m_connections.size(); }

    void ended(Connection &connection) override
    {
        const auto uid = connection.peer().uid;
        if (--m_perUser[uid] == 0)
            m_perUser.erase(uid);
        m_connections.erase(&connection);
        if (m_connections.empty())
            m_timer.stop(); // nobody is connected: nothing wakes up
    }

    void wakeAt(Clock::time_point when) override
    {
        if (m_timer.isActive() && m_wake <= when)
            return; // it fires earlier, looks at all, and is set again
        m_wake = when;
        const auto wait = std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now());
        m_timer.start(std::max(wait, std::chrono::milliseconds(0)));
    }

private:
    void acceptSome()
    {
        for (int turn = 0; turn < kAcceptTurn; ++turn) {
            Fd socket(::accept4(m_listening.socket.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
            if (!socket && (errno == EMFILE || errno == ENFILE)) {
                refuseOne();
                continue;
            }
            if (!socket)
                return;
            welcome(std::move(socket));
        }
    }

    /// Without a free descriptor accept(2) would fail for ever and the loop spin: one is kept for this moment.
    void refuseOne()
    {
        m_reserve.reset();
        const Fd socket(::accept4(m_listening.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (socket)
            sayFull(socket);
        m_reserve = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        log::warning("no file descriptor is left for another connection");
    }

    static void sayFull(const Fd &socket)
    {
        const std::string body = api::errorEnvelope(503, "too many connections", codeInfo(Code::Unavailable).name);
        http::Headers headers = jsonHeaders();
        headers.add("Content-Length", std::to_string(body.size()));
        headers.add("Connection", "close");
        const std::string text = http::writeResponse(503, headers) + body;
        (void)!::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT); // it fits, or nobody cares
    }

    void welcome(Fd socket)
    {
        ucred credentials{};
        socklen_t size = sizeof credentials;
        Peer peer;
        if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0)
            peer = {credentials.uid, credentials.gid, credentials.pid};
        const bool userFull = peer.uid != 0 && m_perUser[peer.uid] >= options.connectionsPerUser;
        if (m_connections.size() >= options.connections || userFull)
            return sayFull(socket);
        const auto connection = std::make_shared<Connection>(*this, std::move(socket), peer);
        m_connections.emplace(connection.get(), connection);
        ++m_perUser[peer.uid];
        if (const Status started = connection->start(); !started) {
            log::warning(started.error().message);
            connection->end();
        }
    }

    void deadlinesPassed()
    {
        const Clock::time_point now = Clock::now();
        std::vector<std::shared_ptr<Connection>> expired;
        Clock::time_point next = Clock::time_point::max();
        for (const auto &[key, connection] : m_connections) {
            if (connection->deadline() <= now)
                expired.push_back(connection);
            else
                next = std::min(next, connection->deadline());
        }
        if (next != Clock::time_point::max())
            wakeAt(next);
        for (const auto &connection : expired)
            connection->expired();
    }

    Listening m_listening;
    Fd m_reserve;
    std::unordered_map<Connection *, std::shared_ptr<Connection>> m_connections;
    std::map<uid_t, std::size_t> m_perUser;
    QTimer m_timer;
    Clock::time_point m_wake{};
};

Server::Server(ServerOptions options, Handler handler)
    : m_impl(std::make_unique<Impl>(std::move(options), std::move(handler)))
{
}
Server::~Server() = default;

void Server::setUploadSink(api::RouteId route, UploadSink sink)
{
    m_impl->sinks[static_cast<std::size_t>(route)] = std::move(sink);
}
Status Server::listen() { return m_impl->listen(); }
void Server::stopListening() { m_impl->stopListening(); }
std::size_t Server::connectionCount() const { return m_impl->connectionCount(); }
void Server::runOnPool(std::function<void()> work) { m_impl->handlers.start(std::move(work)); }
void Server::runOnServerThread(std::function<void()> work) { m_impl->poller.post(std::move(work)); }
Poller &Server::poller() { return m_impl->poller; }

} // namespace lxmgr::daemon
