#include "daemon/server.h"

#include "api/operations.h"
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
const std::string kStrangers = "stranger";

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

void Responder::onAnswer(std::function<void(int, const std::string &)> told) const { m_channel->onAnswer(std::move(told)); }
bool Responder::gone() const { return m_channel->gone(); }
void Responder::onGone(std::function<void()> callback) const { m_channel->onGone(std::move(callback)); }

// --- server ---------------------------------------------------------------------------------------------------------

class Server::Impl final : public Hub
{
public:
    Impl(ServerOptions theOptions, Handler theHandler) : Hub(std::move(theOptions), std::move(theHandler))
    {
        if (!options.identify)
            options.identify = [](const Peer &peer) {
                return Principal{peer.remote() ? Principal::Kind::Stranger : Principal::Kind::Trusted, {}};
            };
        m_timer.setSingleShot(true);
        m_timer.setTimerType(Qt::CoarseTimer);
        QObject::connect(&m_timer, &QTimer::timeout, &m_timer, [this] { deadlinesPassed(); });
    }

    ~Impl() override { finish(); }

    void finish()
    {
        stopListening();
        // Connections first: a handler that waits for something learns that its client has gone, and ends.
        while (!m_connections.empty())
            std::shared_ptr<Connection>(m_connections.begin()->second)->end();
        handlers.waitForDone();
        {
            const std::lock_guard lock(m_poolMutex);
            m_finished = true;
        }
        handlers.waitForDone(); // what another thread has brought in between
        disk.waitForDone();
    }

    void runOnPool(std::function<void()> work)
    {
        const std::lock_guard lock(m_poolMutex);
        if (!m_finished)
            handlers.start(std::move(work));
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
        const std::string &user = connection.user();
        if (--m_perUser[user] == 0)
            m_perUser.erase(user);
        m_connections.erase(&connection);
        if (m_connections.empty())
            m_timer.stop(); // nobody is connected: nothing wakes up
    }

    void admit(Fd socket, Peer peer)
    {
        const std::string user = userOf(peer);
        if (m_connections.size() >= options.connections || m_perUser[user] >= mostOf(peer, user)) {
            if (m_perUser[user] == 0)
                m_perUser.erase(user);
            return sayFull(socket);
        }
        const auto connection = std::make_shared<Connection>(*this, std::move(socket), std::move(peer), user);
        m_connections.emplace(connection.get(), connection);
        ++m_perUser[user];
        if (const Status started = connection->start(); !started) {
            log::warning(started.error().message);
            connection->end();
        }
    }

    void endConnectionsOf(const std::string &fingerprint)
    {
        std::vector<std::shared_ptr<Connection>> theirs;
        for (const auto &[key, connection] : m_connections)
            if (connection->peer().fingerprint == fingerprint)
                theirs.push_back(connection);
        for (const auto &connection : theirs)
            connection->end();
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
        if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
            peer.uid = credentials.uid;
            peer.gid = credentials.gid;
            peer.pid = credentials.pid;
        }
        admit(std::move(socket), std::move(peer));
    }

    std::string userOf(const Peer &peer) const
    {
        if (!peer.remote())
            return std::to_string(peer.uid);
        return peer.fingerprint.empty() || !options.identify(peer).known() ? kStrangers : peer.fingerprint;
    }

    std::size_t mostOf(const Peer &peer, const std::string &user) const
    {
        return peer.uid == 0 ? options.connections : user == kStrangers ? options.strangers : options.connectionsPerUser;
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
    std::map<std::string, std::size_t> m_perUser; ///< By uid, fingerprint, or all strangers together.
    QTimer m_timer;
    Clock::time_point m_wake{};
    std::mutex m_poolMutex;
    bool m_finished = false;
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
void Server::adopt(Fd socket, Peer peer)
{
    auto near = std::make_shared<Fd>(std::move(socket)); // std::function copies, descriptors do not
    runOnServerThread([this, near, peer = std::move(peer)] {
        if (::fcntl(near->get(), F_SETFL, O_NONBLOCK) == 0)
            m_impl->admit(std::move(*near), peer);
    });
}
void Server::endConnectionsOf(std::string fingerprint)
{
    runOnServerThread([this, fingerprint = std::move(fingerprint)] { m_impl->endConnectionsOf(fingerprint); });
}
std::size_t Server::connectionCount() const { return m_impl->connectionCount(); }
void Server::finish() { m_impl->finish(); }
void Server::runOnPool(std::function<void()> work) { m_impl->runOnPool(std::move(work)); }
void Server::runOnServerThread(std::function<void()> work) { m_impl->poller.post(std::move(work)); }
Poller &Server::poller() { return m_impl->poller; }

} // namespace lxmgr::daemon
