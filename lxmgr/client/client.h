// Client: requests to the daemon and the life of the operations they start.
#pragma once

#include "api/envelope.h"
#include "api/operations.h"
#include "base/paths.h"
#include "client/connection.h"
#include "client/websocket.h"

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lxmgr::client
{

using Parameters = std::vector<std::pair<std::string, std::string>>;

/// "/1.0/instances/web1/state": the parts after the first are percent-encoded one by one.
std::string path(std::string_view collection, std::initializer_list<std::string_view> segments = {});

/// A successful answer.
struct Answer {
    std::string body;
    std::string metadata;  ///< JSON text
    std::string operation; ///< URL of the operation that was started, empty for none.
    std::string etag;
};

/// What wait() tells while an operation runs, and asks.
struct Watcher {
    std::function<void(const api::Operation &)> update;
    int cancelFd = -1; ///< Readable: cancel the operation, then go on waiting for its end.
    std::function<void()> cancelling;
};

class Client
{
public:
    enum class Autostart { Yes, No };
    struct Options {
        Paths paths;
        std::string project; ///< Empty: not said, the daemon's default.
        bool debug = false;
        Autostart autostart = Autostart::Yes;
        std::function<Result<Fd>()> dial = {}; ///< Makes a connection to another host; empty: the unix socket of `paths`.
    };
    explicit Client(Options options) : m_options(std::move(options)) {}

    /// Metadata of an answer as a T.
    template <class T> Result<T> get(const std::string &path, const Parameters &parameters = {})
    {
        const Answer answer = TRY(request("GET", path, {}, parameters));
        return parse<T>(answer.metadata);
    }
    template <class T> static Result<T> parse(std::string_view json)
    {
        Result<T> value = api::fromJson<T>(json);
        if (!value)
            return std::move(value.error()).in("the daemon's answer").as(Code::Corrupt);
        return value;
    }

    /// One request with a JSON body (or none). Errors of the daemon come back with their code.
    Result<Answer> request(const std::string &method, const std::string &path, std::string body = {},
                           const Parameters &parameters = {}, http::Headers headers = {});
    /// The same for bodies of other kinds; `target` is complete. Non-JSON answers of 200 are not looked into.
    Result<Response> exchange(Request &request);
    /// The same; `meanwhile` is called once the request is on its way, with what becomes readable when the answer begins to come.
    Result<Response> exchangeWith(Request &request, const std::function<Status(const Fd &answer)> &meanwhile);

    /// Request and, where it starts an operation, its end: a failed operation is an Error.
    Result<api::Operation> run(const std::string &method, const std::string &path, std::string body,
                               const Watcher &watcher = {}, const Parameters &parameters = {},
                               http::Headers headers = {});
    /// Waits for the end of the operation at `url`. Success, or the operation's Error.
    Result<api::Operation> wait(const std::string &url, const Watcher &watcher = {});
    /// The same, but a failed operation is a result as well: exec's carries the exit status.
    Result<api::Operation> waitForEnd(const std::string &url, const Watcher &watcher = {});
    /// Hands out a connection that becomes readable once the operation has ended; the next request opens another.
    Result<Connection> beginWait(const std::string &url);
    static Result<api::Operation> endWait(Connection &connection);

    /// A websocket, still opening.
    Result<WebSocket> openSocket(const std::string &path, const Parameters &parameters, WebSocket::OnData onData);
    Result<WebSocket> openOperationSocket(const std::string &operationUrl, const std::string &secret,
                                          WebSocket::OnData onData);

    /// `path` with the parameters and the project behind it.
    std::string target(const std::string &path, const Parameters &parameters = {}) const;
    const Options &options() const { return m_options; }
    bool isRemote() const { return static_cast<bool>(m_options.dial); }
    /// For `version`: an answer only where a daemon already runs.
    void setProject(std::string project) { m_options.project = std::move(project); }
    void setAutostart(Autostart autostart) { m_options.autostart = autostart; }

private:
    /// To who is there. A daemon that ended took its operations along: for who waits for one a new daemon would have nothing to tell.
    Status connectRunning();
    Status connect();
    Result<Fd> reach();
    Result<api::Operation> follow(const std::string &url, const Watcher &watcher, Connection &waiting);
    void trace(std::string_view direction, std::string_view line, std::string_view body) const;

    Options m_options;
    std::optional<Connection> m_connection;
};

/// The JSON envelope of `response`, or its error.
Result<Answer> openEnvelope(Response response);
/// The error of an answer that is none of 2xx, whatever its body.
Error refusal(const Response &response);

} // namespace lxmgr::client
