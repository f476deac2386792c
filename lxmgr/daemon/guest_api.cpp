#include "daemon/guest_api.h"

#include "api/json.h"
#include "api/time.h"
#include "base/log.h"
#include "base/text.h"
#include "http/parser.h"
#include "http/target.h"
#include "http/websocket.h"
#include "instances/cloud_init.h"
#include "instances/guest_api.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace lxmgr::daemon
{

using instances::InstanceKey;
using Clock = std::chrono::steady_clock;

namespace
{

constexpr std::size_t kMostConnections = 16; ///< Of one guest.
constexpr std::size_t kLongestBody = 64 << 10;
constexpr std::size_t kMostUnsent = 1 << 20; ///< Of events to one listener.
constexpr auto kIdleTime = std::chrono::seconds(30);
constexpr auto kPingTime = std::chrono::seconds(60);
// So many requests at once (cloud-init asks for each key), then so many a second. What else a guest can have us do counts too,
// or its byte after byte would be the host's CPU time, which no limit of the guest's counts.
constexpr double kBurst = 200, kPerSecond = 20;
constexpr double kRequestCost = 1, kConnectCost = 0.25, kReadCost = 0.05;
constexpr auto kPause = std::chrono::seconds(1);
constexpr std::string_view kSocketName = "sock";

struct Answer {
    int status = 200;
    std::string type = "application/octet-stream"; ///< What LXD gives for text.
    std::string body;

    static Answer json(const api::Json &value) { return {200, "application/json", value.dump() + "\n"}; }
    static Answer text(std::string text) { return {200, "application/octet-stream", std::move(text)}; }
    static Answer error(int status, const std::string &text) { return {status, "text/plain; charset=utf-8", text + "\n"}; }
};

/// Keys that a guest may read: those that are for it.
bool isForGuests(std::string_view key) { return key.starts_with("user.") || key.starts_with("cloud-init."); }

api::Json toJson(const StringMap &map)
{
    api::Json json = api::Json::object();
    for (const auto &[key, value] : map)
        json[key] = value;
    return json;
}

/// Unless security.devlxd or security.guestapi says otherwise.
bool isOn(const config::Expanded &expanded)
{
    const auto config = config::parseEffective(expanded);
    return !config || (config->config.devlxd.value_or(true) && config->config.guestApi.value_or(true));
}

/// sun_path holds 108 bytes; by way of the folder's descriptor any path is short enough.
sockaddr_un addressIn(const Fd &folder)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = "/proc/self/fd/" + std::to_string(folder.get()) + "/" + std::string(kSocketName);
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
}

struct Asked {
    instances::Manager &manager;
    const InstanceKey &key;
    const instances::Described &described;
    std::string_view method;
    std::string_view body;
    const std::string &last; ///< Segment of the path: the "{key}" of a route.
};

Answer root(const Asked &) { return Answer::json(api::Json::Array{"/1.0"}); }

Answer about(const Asked &asked)
{
    api::Json json = api::Json::object();
    json["api_version"] = "1.0";
    json["instance_type"] = "container";
    json["location"] = "none";
    json["state"] = valueOf(asked.described.row.config, instances::kReadyKey) == "true" ? "Ready" : "Started";
    return Answer::json(json);
}

Answer changeState(const Asked &asked)
{
    const auto body = api::Json::parse(asked.body);
    const std::string state = body ? body->text("state") : std::string();
    if (state != "Ready" && state != "Started")
        return Answer::error(400, "state must be Ready or Started");
    if (Status done = asked.manager.setReady(asked.key, state == "Ready"); !done)
        return Answer::error(500, done.error().message);
    return Answer::text({});
}

Answer config(const Asked &asked)
{
    api::Json list = api::Json::array();
    for (const auto &[key, value] : asked.described.expanded.config)
        if (isForGuests(key))
            list.append("/1.0/config/" + key);
    return Answer::json(list);
}

Answer configKey(const Asked &asked)
{
    if (!isForGuests(asked.last))
        return Answer::error(403, "not authorized");
    const auto found = asked.described.expanded.config.find(asked.last);
    return found == asked.described.expanded.config.end() ? Answer::error(404, "not found") : Answer::text(found->second);
}

Answer metaData(const Asked &asked)
{
    const instances::Described &instance = asked.described;
    return Answer::text(instances::cloudMetaData(instance.row.name, valueOf(instance.row.config, instances::kCloudInstanceId),
                                                 instance.expanded.config));
}

Answer devices(const Asked &asked)
{
    api::Json json = api::Json::object();
    for (auto [name, device] : asked.described.expanded.devices) {
        if (valueOf(device, "type") == "nic" && !device.contains("hwaddr"))
            if (const std::string mac = valueOf(asked.described.row.config, "volatile." + name + ".hwaddr"); !mac.empty())
                device["hwaddr"] = mac;
        json[name] = toJson(device);
    }
    return Answer::json(json);
}

Answer images(const Asked &) { return Answer::error(403, "not authorized"); }

/// "{}" is any one segment. Events are no row: they become a websocket.
struct Route {
    std::string_view method;
    std::vector<std::string_view> path;
    Answer (*serve)(const Asked &);
};
const Route kRoutes[] = {
    {"GET",   {},                              &root       },
    {"GET",   {"1.0"},                         &about      },
    {"PATCH", {"1.0"},                         &changeState},
    {"GET",   {"1.0", "config"},               &config     },
    {"GET",   {"1.0", "config", "{}"},         &configKey  },
    {"GET",   {"1.0", "devices"},              &devices    },
    {"GET",   {"1.0", "images", "{}", "export"}, &images   },
    {"GET",   {"1.0", "meta-data"},            &metaData   },
};

bool matches(const Route &route, const std::vector<std::string> &segments)
{
    return std::ranges::equal(route.path, segments, [](std::string_view wanted, const std::string &segment) {
        return wanted == "{}" || wanted == segment;
    });
}

} // namespace

struct GuestApi::Guest {
    InstanceKey key;
    std::uint64_t id = 0;
    Fd listening; ///< Empty while the API is off.
    config::Expanded known; ///< As last told inside.
    std::size_t connections = 0;
    double tokens = kBurst;
    Clock::time_point filled = Clock::now();

    std::optional<Clock::time_point> resume; ///< Who connects waits until then.

    /// False: it asks too often.
    bool take(double cost)
    {
        const auto now = Clock::now();
        tokens = std::min(kBurst, tokens + kPerSecond * std::chrono::duration<double>(now - filled).count());
        filled = now;
        if (tokens < cost)
            return false;
        tokens -= cost;
        return true;
    }
};

struct GuestApi::Connection {
    Connection(std::uint64_t number, Guest &owner, Fd theSocket)
        : id(number), guest(owner), socket(std::move(theSocket)),
          parser(http::Events<http::RequestHead>{[this](http::RequestHead got) -> Status {
                                                     head = std::move(got);
                                                     body.clear();
                                                     return {};
                                                 },
                                                 [this](std::string_view piece) -> Status {
                                                     body += piece;
                                                     return body.size() > kLongestBody ? Status(Error(Code::Invalid, "the body is too long")) : Status();
                                                 },
                                                 [this]() -> Status {
                                                     ended = true;
                                                     return {};
                                                 }},
                 http::Limits{16 << 10, 100, 4 << 10})
    {
    }
    std::uint64_t id;
    Guest &guest;
    Fd socket;
    http::RequestParser parser;
    http::RequestHead head;
    std::string body, in, out;
    bool ended = false;   ///< A whole request is there.
    bool closing = false; ///< When `out` is sent.
    std::optional<http::Framer> framer; ///< It listens to events …
    bool config = true, device = true;  ///< … of these kinds.
    Clock::time_point deadline = Clock::now() + kIdleTime;
};

GuestApi::GuestApi(instances::Manager &manager, const Paths &paths) : m_manager(manager), m_paths(paths) {}

Result<std::unique_ptr<GuestApi>> GuestApi::create(instances::Manager &manager, const Paths &paths)
{
    std::unique_ptr<GuestApi> made(new GuestApi(manager, paths));
    made->m_epoll = Fd(::epoll_create1(EPOLL_CLOEXEC));
    made->m_quit = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!made->m_epoll || !made->m_quit)
        return Error::fromErrno(errno, "epoll_create1");
    TRY(made->watch(made->m_quit.get(), 0));
    made->m_thread = std::thread([self = made.get()] { self->loop(); });
    return made;
}

GuestApi::~GuestApi()
{
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(m_quit.get(), &one, sizeof one); // cannot fail: the counter is far from full
    if (m_thread.joinable())
        m_thread.join();
}

Status GuestApi::watch(int fd, std::uint64_t id)
{
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = id;
    return ::epoll_ctl(m_epoll.get(), EPOLL_CTL_ADD, fd, &event) < 0 ? Status(Error::fromErrno(errno, "epoll_ctl")) : Status();
}

void GuestApi::want(int fd, std::uint64_t id, std::uint32_t events)
{
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    ::epoll_ctl(m_epoll.get(), EPOLL_CTL_MOD, fd, &event); // cannot fail for what is watched
}

/// The folder is ours: the guest sees it read-only, and may only connect.
Status GuestApi::listen(Guest &guest)
{
    const Fd folder = TRY(path::openFolder(instances::guestApiFolder(m_paths, guest.key)));
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket)
        return Error::fromErrno(errno, "socket");
    const std::string name(kSocketName);
    if (Status gone = sys::unlinkat(folder, name); !gone && gone.error().errnum != ENOENT)
        return gone; // of the daemon before us
    const sockaddr_un address = addressIn(folder);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) < 0)
        return Error::fromErrno(errno, "bind", name);
    // By descriptor: a privileged guest's root, who may write here as the host's, must not lead us to another file.
    const Fd node = TRY(path::open(folder, name, O_PATH | O_NOFOLLOW, path::Scope::NoMount));
    if (!S_ISSOCK(TRY(sys::fstat(node)).st_mode))
        return Error(Code::Invalid, quoted(name) + " was replaced");
    TRY(sys::fchmodat(sys::cwd(), "/proc/self/fd/" + std::to_string(node.get()), 0666));
    const instances::Described instance = TRY(m_manager.describe(guest.key));
    const config::Effective now = TRY(config::parseEffective(instance.expanded));
    const spec::IdMap ids = instances::idMapOf(instance.row, now.config.rawIdmap.value_or(config::IdMapList{}));
    if (!ids.uids.empty())
        TRY(sys::fchownat(node, "", ids.uids.front().host, ids.gids.front().host));
    if (::listen(socket.get(), kMostConnections) < 0)
        return Error::fromErrno(errno, "listen", name);
    TRY(watch(socket.get(), guest.id));
    guest.listening = std::move(socket);
    return {};
}

void GuestApi::hush(Guest &guest)
{
    guest.listening = Fd(); // epoll forgets it with its last descriptor
    guest.resume.reset();
    std::vector<std::uint64_t> ids;
    for (const auto &[id, connection] : m_connections)
        if (&connection->guest == &guest)
            ids.push_back(id);
    for (const std::uint64_t id : ids)
        close(id);
    if (const auto folder = path::openFolder(instances::guestApiFolder(m_paths, guest.key)))
        (void)sys::unlinkat(*folder, std::string(kSocketName)); // gone with its folder otherwise
}

void GuestApi::serve(const InstanceKey &key)
{
    const auto described = m_manager.describe(key);
    // Without the folder it does not run, or was started before there was this API.
    if (!described || ::access(instances::guestApiFolder(m_paths, key).c_str(), F_OK) < 0)
        return forget(key);
    const std::lock_guard lock(m_mutex);
    auto found = std::ranges::find_if(m_guests, [&](const auto &each) { return each.second->key == key; });
    if (found == m_guests.end()) {
        auto guest = std::make_unique<Guest>();
        guest->key = key;
        guest->id = m_next++;
        guest->known = described->expanded;
        found = m_guests.emplace(guest->id, std::move(guest)).first;
    }
    Guest &guest = *found->second;
    const bool on = isOn(described->expanded);
    if (!on)
        hush(guest);
    else if (!guest.listening)
        if (Status listening = listen(guest); !listening)
            log::error("instance '" + key.name + "': its /dev/lxd/sock: " + listening.error().message + ", ignoring");
    tellChanges(guest, described->expanded);
}

void GuestApi::forget(const InstanceKey &key)
{
    const std::lock_guard lock(m_mutex);
    const auto found = std::ranges::find_if(m_guests, [&](const auto &each) { return each.second->key == key; });
    if (found == m_guests.end())
        return;
    hush(*found->second);
    m_guests.erase(found);
}

void GuestApi::tellChanges(Guest &guest, const config::Expanded &now)
{
    const auto event = [](const char *type, api::Json metadata) {
        api::Json json = api::Json::object();
        json["timestamp"] = api::Time::now().format();
        json["type"] = type;
        json["metadata"] = std::move(metadata);
        return json.dump();
    };
    const auto config = [&](const std::string &key) {
        const std::string before = valueOf(guest.known.config, key), after = valueOf(now.config, key);
        if (!isForGuests(key) || before == after)
            return;
        api::Json metadata = api::Json::object();
        metadata["key"] = key;
        metadata["old_value"] = before;
        metadata["value"] = after;
        publish(guest, "config", event("config", std::move(metadata)));
    };
    const auto device = [&](const char *action, const std::string &name, const StringMap &keys) {
        api::Json metadata = api::Json::object();
        metadata["action"] = action;
        metadata["name"] = name;
        metadata["config"] = toJson(keys);
        publish(guest, "device", event("device", std::move(metadata)));
    };
    for (const auto &[key, value] : guest.known.config)
        if (!now.config.contains(key))
            config(key);
    for (const auto &[key, value] : now.config)
        config(key);
    for (const auto &[name, keys] : guest.known.devices)
        if (!now.devices.contains(name))
            device("removed", name, keys);
    for (const auto &[name, keys] : now.devices) {
        const auto before = guest.known.devices.find(name);
        if (before == guest.known.devices.end())
            device("added", name, keys);
        else if (before->second != keys)
            device("updated", name, keys);
    }
    guest.known = now;
}

void GuestApi::publish(Guest &guest, const char *type, const std::string &text)
{
    std::vector<std::uint64_t> slow;
    for (const auto &[id, connection] : m_connections) {
        if (&connection->guest != &guest || !connection->framer || !(std::string_view(type) == "config" ? connection->config : connection->device))
            continue;
        connection->framer->send(http::Opcode::Text, text);
        connection->out += std::exchange(connection->framer->output(), {});
        if (connection->out.size() > kMostUnsent)
            slow.push_back(id);
    }
    for (const std::uint64_t id : slow)
        close(id);
    for (const auto &[id, connection] : m_connections)
        if (&connection->guest == &guest && connection->framer) {
            // The thread sends: it alone closes what is broken.
            want(connection->socket.get(), id, EPOLLOUT);
        }
}

void GuestApi::accept(Guest &guest)
{
    if (!guest.take(kConnectCost)) {
        guest.resume = Clock::now() + kPause;
        return want(guest.listening.get(), guest.id, 0);
    }
    Fd socket(::accept4(guest.listening.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket || guest.connections >= kMostConnections)
        return;
    const std::uint64_t id = m_next++;
    if (!watch(socket.get(), id))
        return; // as if it had not come: the guest sees it close
    m_connections.emplace(id, std::make_unique<Connection>(id, guest, std::move(socket)));
    ++guest.connections;
}

void GuestApi::close(std::uint64_t id)
{
    const auto found = m_connections.find(id);
    if (found == m_connections.end())
        return;
    --found->second->guest.connections;
    m_connections.erase(found);
}

void GuestApi::happened(Connection &connection, std::uint32_t events)
{
    if (events & EPOLLIN) {
        char buffer[16384];
        const ssize_t got = ::recv(connection.socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            return close(connection.id);
        if (!connection.guest.take(kReadCost))
            return close(connection.id);
        if (got > 0)
            connection.in.append(buffer, static_cast<std::size_t>(got));
    } else if (!(events & EPOLLOUT)) {
        return close(connection.id);
    }
    flush(connection);
}

/// Takes what has come, as long as the answers get away: who does not read his answers is not read from either.
void GuestApi::feed(Connection &connection)
{
    while (!connection.in.empty() && connection.out.empty() && !connection.closing) {
        if (connection.framer) {
            const std::string bytes = std::exchange(connection.in, {});
            const bool good = connection.framer->feed(bytes).has_value();
            connection.out += std::exchange(connection.framer->output(), {});
            connection.closing = !good || connection.framer->closeReceived();
            connection.deadline = Clock::now() + kPingTime;
            return;
        }
        const auto used = connection.parser.feed(connection.in);
        if (!used) {
            connection.out += http::writeResponse(400, {{"Content-Length", "0"}, {"Connection", "close"}});
            connection.closing = true;
            return;
        }
        connection.in.erase(0, *used);
        if (std::exchange(connection.ended, false))
            answer(connection);
    }
}

void GuestApi::flush(Connection &connection)
{
    feed(connection);
    while (!connection.out.empty()) {
        const ssize_t sent = ::send(connection.socket.get(), connection.out.data(), connection.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN)
            return close(connection.id);
        if (sent < 0)
            break;
        connection.out.erase(0, static_cast<std::size_t>(sent));
        feed(connection);
    }
    if (connection.out.empty() && connection.closing)
        return close(connection.id);
    want(connection.socket.get(), connection.id, connection.out.empty() ? EPOLLIN : EPOLLOUT);
}

void GuestApi::answer(Connection &connection)
{
    connection.deadline = Clock::now() + kIdleTime;
    const auto give = [&](const Answer &given) {
        http::Headers headers = {{"Content-Type", given.type}, {"Content-Length", std::to_string(given.body.size())}};
        connection.closing = !connection.head.keepAlive;
        if (connection.closing)
            headers.add("Connection", "close");
        connection.out += http::writeResponse(given.status, headers) + given.body;
    };
    if (!connection.guest.take(kRequestCost)) {
        connection.head.keepAlive = false;
        return give(Answer::error(429, "too many requests"));
    }
    const auto target = http::parseTarget(connection.head.target);
    if (!target)
        return give(Answer::error(400, target.error().message));
    const auto described = m_manager.describe(connection.guest.key);
    if (!described)
        return give(Answer::error(500, "the instance is not known"));
    if (connection.head.method == "GET" && target->segments == std::vector<std::string>{"1.0", "events"}) {
        const auto headers = http::webSocketAnswer(connection.head);
        if (!headers)
            return give(Answer::error(400, headers.error().message));
        connection.config = connection.device = false;
        const std::string types(target->query.value("type"));
        for (const std::string &type : split(types.empty() ? "config,device" : types, ',')) {
            if (type != "config" && type != "device")
                return give(Answer::error(400, "type " + quoted(type) + " is not one of config, device"));
            (type == "config" ? connection.config : connection.device) = true;
        }
        connection.out += http::writeResponse(101, *headers);
        connection.framer.emplace(http::Role::Server, http::FrameEvents{[](http::Opcode, std::string_view, bool) {}, {}, {}});
        connection.deadline = Clock::now() + kPingTime;
        return;
    }
    bool known = false;
    const std::string none;
    for (const Route &route : kRoutes) {
        if (!matches(route, target->segments))
            continue;
        known = true;
        if (route.method != connection.head.method)
            continue;
        const Asked asked{m_manager, connection.guest.key, *described, connection.head.method, connection.body,
                          target->segments.empty() ? none : target->segments.back()};
        return give(route.serve(asked));
    }
    give(known ? Answer::error(405, "method not allowed") : Answer::error(404, "not found"));
}

void GuestApi::dropExpired()
{
    const auto now = Clock::now();
    for (const auto &[id, guest] : m_guests)
        if (guest->resume && *guest->resume <= now) {
            guest->resume.reset();
            want(guest->listening.get(), id, EPOLLIN);
        }
    std::vector<std::uint64_t> expired;
    for (const auto &[id, connection] : m_connections)
        if (connection->deadline <= now)
            expired.push_back(id);
    for (const std::uint64_t id : expired) {
        Connection &connection = *m_connections.at(id);
        if (!connection.framer || !connection.out.empty()) {
            close(id);
            continue;
        }
        connection.framer->send(http::Opcode::Ping, "keepalive"); // one that is gone shows it now
        connection.out += std::exchange(connection.framer->output(), {});
        connection.deadline = now + kPingTime;
        flush(connection);
    }
}

int GuestApi::untilDeadline() const
{
    Clock::time_point next = Clock::time_point::max();
    for (const auto &[id, connection] : m_connections)
        next = std::min(next, connection->deadline);
    for (const auto &[id, guest] : m_guests)
        next = std::min(next, guest->resume.value_or(next));
    if (next == Clock::time_point::max())
        return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    return static_cast<int>(std::max<std::int64_t>(left, 0));
}

void GuestApi::loop()
{
    epoll_event ready[32];
    int timeout = -1;
    for (;;) {
        const int count = ::epoll_wait(m_epoll.get(), ready, 32, timeout);
        const std::lock_guard lock(m_mutex);
        for (int i = 0; i < count; ++i) {
            const std::uint64_t id = ready[i].data.u64;
            if (id == 0)
                return;
            // One that was closed meanwhile has a number that nobody else gets.
            if (const auto guest = m_guests.find(id); guest != m_guests.end() && guest->second->listening)
                accept(*guest->second);
            else if (const auto connection = m_connections.find(id); connection != m_connections.end())
                happened(*connection->second, ready[i].events);
        }
        dropExpired();
        timeout = untilDeadline();
    }
}

} // namespace lxmgr::daemon
