#include "daemon/streams.h"

#include "base/text.h"
#include "client/tunnel.h"
#include "client/websocket.h"
#include "daemon/audit.h"
#include "http/target.h"

#include <QTimer>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace lxmgr::daemon
{

namespace
{

constexpr std::string_view kNames[] = {"control", "fs"};
constexpr auto kConnectTime = std::chrono::minutes(2); ///< The other side may have addresses to try that lead nowhere.
constexpr auto kCloseTime = std::chrono::seconds(10); ///< For the last bytes and the other side's end of the closing.
constexpr time_t kQuiet = 600;                        ///< Seconds without a word after which the other side is given up.
constexpr std::size_t kMost = 256 << 10;              ///< On its way in either direction.
constexpr std::uint16_t kPort = 8443;

/// Ours to work with, and the other end.
Result<std::pair<Fd, Fd>> socketPair()
{
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return Error::fromErrno(errno, "socketpair");
    const timeval quiet{kQuiet, 0};
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
        ::setsockopt(ends[0], SOL_SOCKET, option, &quiet, sizeof quiet);
    return std::pair{Fd(ends[0]), Fd(ends[1])};
}

Fd duplicate(const Fd &fd) { return Fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)); }

/// Waits for its sockets; all but run() on the server's thread.
class StreamSession : public std::enable_shared_from_this<StreamSession>
{
public:
    StreamSession(Context &context, std::shared_ptr<Task> task, StreamWork work) : m_context(context), m_task(std::move(task)), m_work(std::move(work)) {}

    void offer(const StringMap &secrets)
    {
        for (const auto &[name, secret] : secrets)
            m_task->addSocket({name, secret, false, [self = shared_from_this(), name = name](std::shared_ptr<WebSocket> socket) {
                                   self->connected(name, std::move(socket));
                               }});
        m_task->setOnCancel([self = shared_from_this()] {
            self->m_context.server.runOnServerThread([self] { self->giveUp(Error(Code::Cancelled, "the transfer was cancelled")); });
        });
        m_context.server.runOnServerThread([self = shared_from_this()] {
            QTimer::singleShot(std::chrono::milliseconds(kConnectTime), [self] {
                self->giveUp(Error(Code::Timeout, "nobody has connected to the streams of the transfer in time"));
            });
        });
    }

private:
    void connected(const std::string &name, std::shared_ptr<WebSocket> socket)
    {
        m_sockets[name] = std::move(socket);
        if (m_sockets.size() < std::size(kNames) || m_over)
            return;
        m_over = true;
        auto control = socketPair(), data = socketPair();
        if (!control || !data)
            return m_task->finish(control ? data.error() : control.error());
        couple("control", std::move(control->second));
        couple("fs", std::move(data->second));
        m_channel = {std::move(control->first), std::move(data->first)};
        m_context.server.runOnPool([self = shared_from_this()] { self->run(); });
    }

    void couple(const char *name, Fd end)
    {
        Fd sink = duplicate(end);
        m_sockets[name]->pump({std::move(end), std::move(sink), true}, [self = shared_from_this()](PumpEnd) {});
    }

    void run()
    {
        const OnBehalfOf whom(m_task->owner());
        const Status done = m_work(*m_task, m_channel);
        m_channel = {}; // what was written goes out, and then the sockets are closed
        m_task->finish(done);
        m_context.server.runOnServerThread([self = shared_from_this()] { self->m_sockets.clear(); });
    }

    void giveUp(const Error &why)
    {
        if (std::exchange(m_over, true))
            return;
        m_task->finish(why);
        for (auto &[name, socket] : m_sockets)
            socket->close();
        m_sockets.clear();
    }

    Context &m_context;
    const std::shared_ptr<Task> m_task;
    const StreamWork m_work;
    std::map<std::string, std::shared_ptr<WebSocket>> m_sockets;
    instances::MigrationChannel m_channel;
    bool m_over = false; ///< The work has begun, or nobody came in time.
};

struct FarPlace {
    std::string host;
    std::uint16_t port = kPort;
    std::string path;
};

Result<FarPlace> placeOf(const std::string &url)
{
    constexpr std::string_view kScheme = "https://";
    constexpr std::string_view kOperations = "/1.0/operations/";
    const Error bad(Code::Invalid, quoted(url) + " is no URL of an operation of another server (https://host:port/1.0/operations/<id>)");
    if (!url.starts_with(kScheme))
        return bad;
    const std::string rest = url.substr(kScheme.size(), url.find('?') - kScheme.size());
    const std::size_t slash = rest.find('/');
    if (slash == std::string::npos || rest.compare(slash, kOperations.size(), kOperations) != 0)
        return bad;
    FarPlace place;
    place.path = rest.substr(slash);
    const std::string id = place.path.substr(kOperations.size());
    if (id.empty() || !std::ranges::all_of(id, [](unsigned char c) { return std::isalnum(c) || c == '-'; }))
        return bad;
    std::string host = rest.substr(0, slash);
    const std::size_t colon = host.starts_with('[') ? host.find("]:") : host.rfind(':');
    if (colon != std::string::npos) {
        const std::string port = host.substr(host.find(':', colon) + 1);
        place.port = static_cast<std::uint16_t>(TRY_IN("port of " + quoted(url), parseUnsigned(port, 1, 65535)));
        host.resize(host.starts_with('[') ? colon + 1 : colon);
    }
    if (host.starts_with('[') && host.ends_with(']'))
        host = host.substr(1, host.size() - 2);
    const auto mayBe = [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '-' || c == ':' || c == '_'; };
    if (host.empty() || host.size() > 253 || !std::ranges::all_of(host, mayBe))
        return bad;
    place.host = std::move(host);
    return place;
}

/// One websocket and the socket that it is coupled with. Stays where it is: the websocket calls back.
struct Coupled {
    std::optional<client::WebSocket> far;
    Fd near;
    std::string toNear;
    bool nearEnded = false, farEnded = false;

    bool over() const { return farEnded && (toNear.empty() || nearEnded); }

    void fromFar()
    {
        const Result<bool> open = far->receive();
        if (!open || !*open)
            farEnded = true;
    }

    void toFar(std::string &buffer)
    {
        const ssize_t got = ::recv(near.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got > 0)
            return far->send(http::Opcode::Binary, std::string_view(buffer).substr(0, static_cast<std::size_t>(got)));
        nearEnded = true;
        far->close();
    }

    void writeNear()
    {
        const ssize_t sent = ::send(near.get(), toNear.data(), toNear.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0)
            toNear.erase(0, static_cast<std::size_t>(sent));
        else if (sent < 0 && errno != EAGAIN && errno != EINTR)
            toNear.clear(); // who works with it has gone; reading says so too
    }
};

/// Carries bytes between the pairs until the far sides have ended, or have had their time after the near ones did.
void carry(std::vector<std::unique_ptr<Coupled>> &all)
{
    std::string buffer(kMost, '\0');
    std::optional<std::chrono::steady_clock::time_point> deadline;
    for (;;) {
        std::vector<pollfd> waits;
        bool anyNear = false;
        for (const auto &one : all) {
            if (one->farEnded && one->toNear.empty() && one->near)
                one->near.reset();
            const bool reads = one->toNear.size() < kMost && !one->farEnded;
            const short farEvents = static_cast<short>((reads ? POLLIN : 0) | (one->far->pending() > 0 && !one->farEnded ? POLLOUT : 0));
            waits.push_back({one->farEnded ? -1 : one->far->fd().get(), farEvents, 0});
            const bool takes = one->far->pending() < kMost && !one->nearEnded && !one->farEnded;
            const short nearEvents = static_cast<short>((takes ? POLLIN : 0) | (one->toNear.empty() ? 0 : POLLOUT));
            waits.push_back({one->near && nearEvents != 0 ? one->near.get() : -1, nearEvents, 0});
            anyNear = anyNear || (one->near && !one->nearEnded);
        }
        if (std::ranges::all_of(all, [](const auto &one) { return one->over(); }))
            return;
        if (!anyNear && !deadline)
            deadline = std::chrono::steady_clock::now() + kCloseTime;
        int patience = -1;
        if (deadline) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now());
            if (left.count() <= 0)
                return;
            patience = static_cast<int>(left.count());
        }
        if (::poll(waits.data(), waits.size(), patience) < 0 && errno != EINTR)
            return;
        for (std::size_t i = 0; i < all.size(); ++i) {
            Coupled &one = *all[i];
            const short far = waits[2 * i].revents, near = waits[2 * i + 1].revents;
            if (far & (POLLIN | POLLHUP | POLLERR))
                one.fromFar();
            if (one.near && (near & POLLOUT))
                one.writeNear();
            if (one.near && !one.nearEnded && (near & (POLLIN | POLLHUP | POLLERR)))
                one.toFar(buffer);
            if (!one.farEnded && !one.far->flush())
                one.farEnded = true;
        }
    }
}

Result<std::unique_ptr<Coupled>> connect(client::Tunnel &tunnel, const client::FarEnd &end, const FarPlace &place, const std::string &secret, Fd near)
{
    auto coupled = std::make_unique<Coupled>();
    coupled->near = std::move(near);
    std::string &toNear = coupled->toNear;
    coupled->far = TRY(client::WebSocket::begin(TRY(tunnel.connect(end)), place.path + "/websocket?secret=" + http::percentEncode(secret),
                                                [&toNear](http::Opcode opcode, std::string_view piece, bool) {
                                                    if (opcode == http::Opcode::Binary)
                                                        toNear.append(piece);
                                                }));
    TRY(coupled->far->finishOpening());
    return coupled;
}

} // namespace

std::shared_ptr<Task> offerStreams(Context &context, TaskOptions options, StreamWork work)
{
    StringMap secrets;
    for (const std::string_view name : kNames) {
        secrets[std::string(name)] = newSecret();
        options.metadata[std::string(name)] = secrets[std::string(name)];
    }
    options.operationClass = "websocket";
    auto task = context.operations.add(std::move(options));
    std::make_shared<StreamSession>(context, task, std::move(work))->offer(secrets);
    return task;
}

Status checkFarStreams(const FarStreams &far)
{
    TRY(placeOf(far.url));
    for (const std::string_view name : kNames)
        if (const auto secret = far.secrets.find(std::string(name)); secret == far.secrets.end() || secret->second.empty())
            return Error(Code::Invalid, "secrets: " + quoted(std::string(name)) + " is missing");
    return {};
}

Status withFarStreams(const FarStreams &far, Task &task, const StreamWork &work)
{
    const FarPlace place = TRY(placeOf(far.url));
    client::Tunnel tunnel = TRY(client::Tunnel::startAsNobody());
    const client::FarEnd end{place.host, place.port, far.certificate, {}};
    instances::MigrationChannel channel;
    std::vector<std::unique_ptr<Coupled>> all;
    for (const std::string_view name : kNames) {
        auto [ours, other] = TRY(socketPair());
        all.push_back(TRY_IN("the other server", connect(tunnel, end, place, far.secrets.at(std::string(name)), std::move(other))));
        (name == "control" ? channel.control : channel.data) = std::move(ours);
    }
    std::thread carrier([&all] { carry(all); });
    const Status done = work(task, channel);
    channel = {};
    carrier.join();
    return done;
}

} // namespace lxmgr::daemon
