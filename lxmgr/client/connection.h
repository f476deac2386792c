// One HTTP/1.1 connection to the daemon over its unix socket, kept open from request to request. Blocking.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "http/message.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>
#include <string_view>

namespace lxmgr::client
{

/// Fills `buffer` with the next bytes of a body; 0 ends it.
using Source = std::function<Result<std::size_t>(char *buffer, std::size_t size)>;
/// What can be read from `fd`, which stays the caller's; `shown` names it in an error.
Source sourceOf(int fd, std::string shown);
/// Takes the next bytes of a body.
using Sink = std::function<Status(std::string_view piece)>;

struct Request {
    std::string method = "GET";
    std::string target;
    http::Headers headers;
    std::string body; ///< Sent where there is no `source`.
    Source source;
    std::optional<std::uint64_t> sourceSize; ///< Chunked without.
    /// Takes the body of a 200 or 206 answer that is no JSON; without, everything goes to Response::body.
    std::function<Sink(const http::ResponseHead &)> sink;
    std::vector<int> fds = {}; ///< Descriptors that go along.
    std::uint64_t mostBody = UINT64_MAX; ///< Bytes that Response::body may take: Invalid beyond.
    int quietMs = -1; ///< Unavailable when nothing comes for so long; -1: it may last.
    int cancelFd = -1; ///< Readable: Cancelled.
};

struct Response {
    http::ResponseHead head;
    std::string body;
};

/// An AF_UNIX stream socket connected to `path`. The errno is kept in the Error.
Result<Fd> connectUnix(const std::string &path);
/// Sends everything, waiting where the peer is slow. SIGPIPE is not raised.
Status sendAll(const Fd &socket, std::string_view bytes);

class Connection
{
public:
    static Result<Connection> open(const std::string &socketPath);
    explicit Connection(Fd fd) : m_fd(std::move(fd)) {}

    Result<Response> exchange(const Request &request);

    /// The two halves of exchange(), for a caller that has other things to wait for in between.
    Status send(const Request &request);
    Result<Response> receive(const Request &request);
    /// Readable once an answer begins to arrive.
    const Fd &fd() const { return m_fd; }
    /// The peer has said that it will close, or an error left the stream in doubt.
    bool spent() const { return m_spent; }

private:
    Status sendBody(const Request &request);

    Fd m_fd;
    std::string m_rest; ///< Bytes behind the last answer.
    bool m_spent = false;
};

} // namespace lxmgr::client
