#include "client/client.h"

#include "api/operations.h"
#include "api/status_codes.h"
#include "base/text.h"
#include "client/autostart.h"
#include "http/target.h"

#include <cerrno>
#include <cstdio>
#include <poll.h>
#include <unistd.h>
#include <utility>

namespace lxmgr::client
{

namespace
{

constexpr int kQuietTime = 150; ///< ms until a wait is long enough to be worth following its progress
constexpr int kFinal = static_cast<int>(api::StatusCode::Success);

bool readable(short events) { return (events & (POLLIN | POLLHUP | POLLERR)) != 0; }

/// Why the socket cannot be used and what helps.
Error unreachable(const Error &error, const Paths &paths)
{
    const std::string socket = paths.socket();
    if (error.errnum == EACCES || error.errnum == EPERM)
        return Error(Code::Forbidden,
                     "no permission to use " + socket + " (run it with sudo, or join the group that owns the socket)");
    const std::string what = error.errnum == ENOENT
                                 ? "lxmgrd is not running: no " + socket
                                 : "lxmgrd does not answer on " + socket + ": " +
                                       (error.errnum ? strerrordesc_np(error.errnum) : error.message);
    const bool systemd = ::access("/run/systemd/system", F_OK) == 0;
    return Error(Code::Unavailable, what).hint(systemd             ? "start it with 'systemctl start lxmgrd'"
                                               : ::geteuid() != 0 ? "run the command as root, which starts it"
                                                                  : "start it with 'lxmgrd &'");
}


} // namespace

std::string path(std::string_view collection, std::initializer_list<std::string_view> segments)
{
    std::string text(collection);
    for (const std::string_view segment : segments)
        text.append("/").append(http::percentEncode(segment));
    return text;
}

std::string Client::target(const std::string &path, const Parameters &parameters) const
{
    std::string text = path;
    char separator = text.find('?') == std::string::npos ? '?' : '&';
    const auto add = [&](std::string_view name, std::string_view value) {
        text.push_back(separator);
        separator = '&';
        text.append(name).append("=").append(http::percentEncode(value));
    };
    bool named = text.find("project=") != std::string::npos || path.starts_with("/1.0/operations/");
    for (const auto &[name, value] : parameters) {
        add(name, value);
        named = named || name == "project" || name == "all-projects";
    }
    if (!m_options.project.empty() && !named)
        add("project", m_options.project);
    return text;
}

Result<Fd> Client::reach()
{
    if (m_options.dial)
        return m_options.dial();
    Result<Fd> fd = connectUnix(m_options.paths.socket());
    if (fd)
        return fd;
    const bool nobody = fd.error().errnum == ENOENT || fd.error().errnum == ECONNREFUSED;
    if (nobody && m_options.autostart == Autostart::Yes && shouldStartDaemon(m_options.paths)) {
        trace("*", "starting " + m_options.paths.daemon, {});
        return startDaemonAndConnect(m_options.paths);
    }
    return unreachable(fd.error(), m_options.paths);
}

Status Client::connect()
{
    if (!m_connection || m_connection->spent())
        m_connection = Connection(TRY(reach()));
    return {};
}

Status Client::connectRunning()
{
    const Autostart wanted = std::exchange(m_options.autostart, Autostart::No);
    Status connected = connect();
    m_options.autostart = wanted;
    return connected;
}

void Client::trace(std::string_view direction, std::string_view line, std::string_view body) const
{
    if (!m_options.debug)
        return;
    std::string text = std::string(direction) + " " + escaped(line) + "\n";
    if (!body.empty() && body.size() < 16384)
        text.append("  ").append(escaped(trimmed(body))).append("\n");
    else if (!body.empty())
        text.append("  (" + std::to_string(body.size()) + " bytes)\n");
    std::fwrite(text.data(), 1, text.size(), stderr);
}

Result<Response> Client::exchange(Request &request) { return exchangeWith(request, {}); }

Result<Response> Client::exchangeWith(Request &request, const std::function<Status(const Fd &answer)> &meanwhile)
{
    if (m_options.dial && !request.fds.empty())
        return Error(Code::Internal, "descriptors cannot be sent to another host");
    TRY(connect());
    trace(">", request.method + " " + request.target, request.body);
    if (meanwhile) {
        TRY(m_connection->send(request));
        TRY(meanwhile(m_connection->fd()));
    }
    Response response = TRY(meanwhile ? m_connection->receive(request) : m_connection->exchange(request));
    trace("<", std::to_string(response.head.status) + " " + std::string(response.head.headers.value("Content-Type")),
          response.body);
    return response;
}

Result<Answer> Client::request(const std::string &method, const std::string &path, std::string body,
                               const Parameters &parameters, http::Headers headers)
{
    Request request{method, target(path, parameters), std::move(headers), std::move(body), {}, {}, {}};
    return openEnvelope(TRY(exchange(request)));
}

Error refusal(const Response &response)
{
    const auto envelope = api::parseEnvelope(response.body, response.head.status);
    if (envelope && envelope->kind == api::Envelope::Kind::Error)
        return envelope->error;
    return {Code::Unavailable, "the daemon answered with status " + std::to_string(response.head.status) + " " +
                                   response.head.reason + " and no explanation"};
}

Result<Answer> openEnvelope(Response response)
{
    if (response.head.status >= 300)
        return refusal(response);
    Answer answer;
    answer.etag = response.head.headers.value("ETag");
    answer.body = std::move(response.body);
    const api::Envelope envelope = TRY_IN("the daemon's answer", api::parseEnvelope(answer.body, response.head.status));
    if (envelope.kind == api::Envelope::Kind::Error)
        return envelope.error;
    answer.metadata = std::string(envelope.metadata);
    answer.operation = envelope.kind == api::Envelope::Kind::Async ? envelope.operation : std::string();
    return answer;
}

Result<api::Operation> Client::run(const std::string &method, const std::string &path, std::string body,
                                   const Watcher &watcher, const Parameters &parameters, http::Headers headers)
{
    const Answer answer = TRY(request(method, path, std::move(body), parameters, std::move(headers)));
    if (answer.operation.empty()) {
        api::Operation done;
        done.setStatus(api::StatusCode::Success);
        return done;
    }
    return wait(answer.operation, watcher);
}

Result<api::Operation> Client::wait(const std::string &url, const Watcher &watcher)
{
    api::Operation operation = TRY(waitForEnd(url, watcher));
    if (operation.statusCode != kFinal)
        return api::operationError(operation);
    return operation;
}

Result<api::Operation> Client::waitForEnd(const std::string &url, const Watcher &watcher)
{
    TRY(connectRunning());
    // On the connection that is open: the answer is the operation's end, and nothing else is asked here until then.
    Connection connection = std::move(*m_connection);
    m_connection.reset();
    const Request request{"GET", target(std::string(url.substr(0, url.find('?'))) + "/wait"), {}, {}, {}, {}, {}};
    trace(">", "GET " + request.target, {});
    TRY(connection.send(request));
    Result<api::Operation> operation = follow(url, watcher, connection);
    if (!connection.spent())
        m_connection = std::move(connection);
    if (operation)
        trace("<", operation->status, api::toJson(*operation));
    return operation;
}

Result<Connection> Client::beginWait(const std::string &url)
{
    // The connection that the operation was started on has nothing else to do until then.
    TRY(connectRunning());
    Connection connection = std::move(*m_connection);
    m_connection.reset();
    TRY(connection.send({"GET", target(std::string(url.substr(0, url.find('?'))) + "/wait"), {}, {}, {}, {}, {}}));
    return connection;
}

Result<api::Operation> Client::endWait(Connection &connection)
{
    const Answer answer = TRY(openEnvelope(TRY(connection.receive({}))));
    return parse<api::Operation>(answer.metadata);
}

/// Waits for the answer on `waiting`; once that takes a while, for progress on the events' websocket as well.
Result<api::Operation> Client::follow(const std::string &url, const Watcher &watcher, Connection &waiting)
{
    const std::string id = std::string(url.substr(0, url.find('?'))).substr(url.rfind('/', url.find('?')) + 1);
    std::string message;
    std::optional<WebSocket> events;
    bool heard = false;
    const auto onEvent = [&](http::Opcode, std::string_view piece, bool last) {
        message.append(piece);
        if (!last)
            return;
        const auto event = api::fromJson<api::OperationEvent>(message);
        heard = heard || (event && event->metadata.id == id);
        if (event && event->type == "operation" && event->metadata.id == id)
            watcher.update(event->metadata);
        message.clear();
    };
    bool followed = !watcher.update;
    bool cancelled = watcher.cancelFd < 0;
    for (;;) {
        pollfd waits[] = {{waiting.fd().get(), POLLIN, 0},
                          {cancelled ? -1 : watcher.cancelFd, POLLIN, 0},
                          {events ? events->fd().get() : -1, POLLIN, 0}};
        const int ready = ::poll(waits, 3, followed ? -1 : kQuietTime);
        if (readable(waits[0].revents))
            return endWait(waiting);
        if (ready > 0 && readable(waits[1].revents)) {
            cancelled = true;
            if (watcher.cancelling)
                watcher.cancelling();
            // Refused where it cannot be cancelled: then its end is waited for as before.
            (void)request("DELETE", "/1.0/operations/" + id);
        }
        if (ready > 0 && readable(waits[2].revents)) {
            const Result<bool> open = events->receive();
            if (!open || !*open)
                events.reset();
        }
        if (ready == 0 && !followed) {
            followed = true;
            Result<WebSocket> socket = openSocket("/1.0/events", {{"type", "operation"}}, onEvent);
            // Without events there is no progress to show; the operation goes on all the same.
            if (socket && socket->finishOpening())
                events = std::move(*socket);
            // What was said before anybody listened; an event that came meanwhile is newer.
            const Result<api::Operation> now = get<api::Operation>("/1.0/operations/" + id);
            if (now && !heard)
                watcher.update(*now);
        }
    }
}

Result<WebSocket> Client::openSocket(const std::string &path, const Parameters &parameters, WebSocket::OnData onData)
{
    if (!m_options.dial)
        TRY(connect()); // starts the daemon where that is needed
    const std::string complete = target(path, parameters);
    trace(">", "GET " + complete + " (websocket)", {});
    return WebSocket::begin(m_options.dial ? TRY(m_options.dial()) : TRY(connectUnix(m_options.paths.socket())), complete, std::move(onData));
}

Result<WebSocket> Client::openOperationSocket(const std::string &operationUrl, const std::string &secret,
                                              WebSocket::OnData onData)
{
    return openSocket(std::string(operationUrl.substr(0, operationUrl.find('?'))) + "/websocket", {{"secret", secret}},
                      std::move(onData));
}

} // namespace lxmgr::client
