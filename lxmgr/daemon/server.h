// The daemon's face on the wire: a unix socket that speaks HTTP/1.1 and hands requests to handlers.
//
// All sockets are served by the thread that made the Server (its Qt event loop), which never blocks. Handlers run on a
// thread pool; a Responder takes the answer from any thread, at once or much later. Nothing runs while nobody is connected.
#pragma once

#include "api/envelope.h"
#include "api/operations.h"
#include "api/routes.h"
#include "base/fd.h"
#include "base/result.h"
#include "daemon/principal.h"
#include "daemon/websocket.h"
#include "http/message.h"
#include "http/target.h"

#include <functional>
#include <memory>
#include <string>
#include <sys/types.h>
#include <variant>
#include <vector>

namespace lxmgr::daemon
{

/// Who is at the other end: SO_PEERCRED of a connection to the unix socket, or what a client showed over TLS.
struct Peer {
    uid_t uid = static_cast<uid_t>(-1); ///< -1: over TLS.
    gid_t gid = static_cast<gid_t>(-1);
    pid_t pid = 0;
    std::string address;     ///< Over TLS: "192.0.2.7:41234".
    std::string certificate; ///< PEM, "" where none was shown.
    std::string fingerprint;
    bool remote() const { return uid == static_cast<uid_t>(-1); }
    /// {"username", "protocol", "address"} as lifecycle events name the caller.
    api::Requestor requestor() const;
};

/// One request, taken apart; on it both access is decided and the work is done.
struct Request {
    const api::Route *route = nullptr;
    api::InstanceFamily family = api::InstanceFamily::Instances;
    std::vector<std::pair<std::string_view, std::string>> params;
    http::Query query;
    http::RequestHead head;
    Peer peer;
    Principal caller;
    std::string body;        ///< Up to 1 MiB; empty when it went to `bodyFile`.
    Fd bodyFile;             ///< A bigger upload, at offset 0 (an unlinked file), or what the route's sink opened.
    std::uint64_t bodySize = 0;
    std::vector<Fd> fds;     ///< Descriptors that came with the request (SCM_RIGHTS), close-on-exec.

    api::RouteId id() const { return route->id; }
    /// The value of "{name}" in the route's pattern.
    const std::string &param(std::string_view name) const;
    /// "default" when absent or empty.
    std::string project() const;
    /// 0, 1, 2.
    int recursion() const;
    bool isWebSocket() const { return head.upgrade == "websocket"; }
    std::string_view header(std::string_view name) const { return head.headers.value(name); }
    /// X-Incus-<name> or X-LXD-<name>; nullptr if neither came.
    const std::string *familyHeader(std::string_view name) const { return head.headers.family(name); }
    std::string_view ifMatch() const { return head.headers.value("If-Match"); }
    /// The body as a T; an empty body or "null" is a default T. Invalid with the byte.
    template <class T> Result<T> json() const
    {
        if (body.empty())
            return T{};
        return TRY_IN("request body", api::fromJson<T>(body));
    }
};

/// A piece of a raw answer: bytes, or a range of a file (sent without copying where the kernel can).
struct FileRange {
    Fd fd;
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
};
using BodyPart = std::variant<std::string, FileRange>;

/// Where the answer to one request goes. Copies share it; the first completion counts, later ones do nothing. When the
/// last copy goes without one, the client is told 500. Any thread.
class Responder
{
public:
    class Channel;
    explicit Responder(std::shared_ptr<Channel> channel);

    /// 200 with `metadata` as JSON text ("" is {}); `etag` as from api::etagOf or "".
    void sync(std::string metadata = {}, std::string etag = {}) const;
    template <class T>
        requires api::HasFields<T>
    void sync(const T &object) const
    {
        sync(api::toJson(object));
    }
    /// 201 with Location.
    void created(std::string location, std::string metadata = {}) const;
    /// 202 with the operation as it is now.
    void async(const api::Operation &operation, const std::string &project = "default") const;
    void error(const Error &error) const;
    void error(int status, std::string_view message, Code code = Code::Internal) const;
    /// Any status, fields and parts with their whole length known. Content-Length is added here; a HEAD sends no part.
    void raw(int status, http::Headers headers, std::vector<BodyPart> parts = {}) const;
    /// Like raw, but with sync envelope text and more header fields (a directory listing of files).
    void syncWith(http::Headers headers, std::string metadata) const;
    /// Until `source` ends: chunked. For pipes and files whose size is not known. `whole`, if given, is then asked
    /// whether that was all of it; if not, the answer is cut off, which every client sees.
    void stream(int status, http::Headers headers, Fd source, std::function<bool()> whole = {}) const;
    /// 101; `ready` then runs on the server's thread with the open socket, and sets its callbacks.
    /// Invalid is sent instead if the request asked for no websocket.
    void websocket(std::function<void(std::shared_ptr<WebSocket>)> ready) const;
    /// 101 to a request that asked for `protocol` (Invalid otherwise); once that is sent, `take` gets the connection itself, on
    /// the server's thread, with what the client has sent behind its request. The server has no part in it from then on.
    void handOver(const std::string &protocol, std::function<void(Fd socket, std::string already)> take) const;

    /// Calls `told` once with the status of the answer and its Location ("" for none), on the thread that answers.
    void onAnswer(std::function<void(int status, const std::string &location)> told) const;
    /// The client has gone: waiting for it is pointless.
    bool gone() const;
    /// Calls `callback` once on the server's thread when the client goes before the answer (at once if it has).
    void onGone(std::function<void()> callback) const;

private:
    std::shared_ptr<Channel> m_channel;
};

/// Runs on a pool thread.
using Handler = std::function<void(Request request, Responder responder)>;
/// Opens where the body of an upload goes, before it is read (pool thread). An Error is the answer.
using UploadSink = std::function<Result<Fd>(const Request &request)>;

/// What a peer may do; any thread.
using Identify = std::function<Principal(const Peer &peer)>;

struct ServerOptions {
    std::string socketPath;
    /// Somebody was told that he may not, before any handler was asked. The server's thread.
    std::function<void(const Peer &peer, const http::RequestHead &head, int status)> refused = {};
    /// Whom a stranger's request makes him, for this one request: it shows a secret. nullopt: what he was. The server's thread.
    std::function<std::optional<Principal>(const Request &request)> admit = {};
    Identify identify; ///< Unset: whoever reaches the unix socket is trusted, all others are strangers.
    unsigned mode = 0660;
    gid_t group = static_cast<gid_t>(-1);
    std::string spoolDir;                            ///< Where big uploads lie, unlinked, until their handler is done.
    std::uint64_t uploadLimit = std::uint64_t(64) << 30;
    std::uint64_t jsonLimit = 1 << 20;
    int handlerThreads = 64;                         ///< Made when needed, gone when idle for 30 s.
    std::size_t connections = 1024;
    std::size_t connectionsPerUser = 256;            ///< Of any user but root, and of any certificate.
    std::size_t strangers = 64;                      ///< Over TLS, with no certificate that is known.
};

class Server
{
public:
    Server(ServerOptions options, Handler handler);
    ~Server();
    Server(const Server &) = delete;
    Server &operator=(const Server &) = delete;

    /// Uploads on `route` go to what `sink` opens instead of a spool file, up to the upload limit.
    void setUploadSink(api::RouteId route, UploadSink sink);
    /// Takes the socket from LISTEN_FDS if there is one, else binds `socketPath` (a dead one is replaced).
    /// AlreadyExists when another daemon answers there.
    Status listen();
    /// No new connections; the socket file goes if it is ours.
    void stopListening();
    std::size_t connectionCount() const;
    /// A connection that came another way. Any thread.
    void adopt(Fd socket, Peer peer);
    /// Ends all connections of one certificate, whatever they are doing. Any thread.
    void endConnectionsOf(std::string fingerprint);
    /// Ends all connections and waits for everything on the pool. Whatever is brought to it afterwards does not run.
    void finish();
    /// Runs `work` on the handlers' pool / on the server's thread. Any thread.
    void runOnPool(std::function<void()> work);
    void runOnServerThread(std::function<void()> work);
    Poller &poller();

private:
    class Impl;
    std::unique_ptr<Impl> m_impl;
};

} // namespace lxmgr::daemon
