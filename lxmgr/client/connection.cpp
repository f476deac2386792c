#include "client/connection.h"

#include "base/text.h"
#include "http/parser.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace lxmgr::client
{

namespace
{

constexpr std::size_t kPiece = 256 * 1024;    ///< Of a body that is sent.
constexpr std::size_t kReadPiece = 64 * 1024; ///< Most that a unix socket gives at once is not much more.

Error lost(std::string_view why)
{
    return {Code::Unavailable, "the daemon closed the connection before it answered (" + std::string(why) +
                                   "); see its log for why"};
}

http::Headers headersFor(const Request &request)
{
    http::Headers headers = request.headers;
    if (!headers.find("Host"))
        headers.set("Host", "lxmgr");
    if (request.source && !request.sourceSize)
        headers.set("Transfer-Encoding", "chunked");
    else if (request.source)
        headers.set("Content-Length", std::to_string(*request.sourceSize));
    else if (!request.body.empty() || request.method == "POST" || request.method == "PUT")
        headers.set("Content-Length", std::to_string(request.body.size()));
    if (!request.body.empty() && !headers.find("Content-Type"))
        headers.set("Content-Type", "application/json");
    return headers;
}

/// Returns at once where neither patience nor cancelling is limited: recv(2) waits itself.
Status awaitBytes(const Fd &fd, const Request &request)
{
    if (request.quietMs < 0 && request.cancelFd < 0)
        return {};
    pollfd waits[] = {{fd.get(), POLLIN, 0}, {request.cancelFd, POLLIN, 0}};
    int ready = 0;
    do
        ready = ::poll(waits, 2, request.quietMs);
    while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return Error::fromErrno(errno, "poll");
    if (ready == 0)
        return Error(Code::Unavailable, "nothing came for " + std::to_string(request.quietMs / 1000) + " seconds");
    return waits[1].revents != 0 ? Status(Error(Code::Cancelled, "cancelled")) : Status();
}

bool isJson(const http::ResponseHead &head)
{
    return head.headers.value("Content-Type").starts_with("application/json");
}

} // namespace

Result<Fd> connectUnix(const std::string &path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return Error(Code::Invalid, "socket path '" + path + "' is longer than the 107 bytes that unix sockets allow");
    path.copy(address.sun_path, path.size());
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd)
        return Error::fromErrno(errno, "socket");
    int result = 0;
    do
        result = ::connect(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address);
    while (result < 0 && errno == EINTR);
    if (result < 0)
        return Error::fromErrno(errno, "connect", path);
    return fd;
}

Source sourceOf(int fd, std::string shown)
{
    return [fd, shown = std::move(shown)](char *buffer, std::size_t size) -> Result<std::size_t> {
        for (;;) {
            const ssize_t got = ::read(fd, buffer, size);
            if (got >= 0)
                return static_cast<std::size_t>(got);
            if (errno != EINTR)
                return Error::fromErrno(errno, "read", shown);
        }
    };
}

Status sendAll(const Fd &socket, std::string_view bytes)
{
    while (!bytes.empty()) {
        const ssize_t sent = ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return Error::fromErrno(errno, "send").as(Code::Unavailable);
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return {};
}

namespace
{

/// Sends the beginning of `bytes` with copies of `fds` (SCM_RIGHTS). What is left to send comes back.
Result<std::string_view> sendWith(const Fd &socket, std::string_view bytes, const std::vector<int> &fds)
{
    iovec piece{const_cast<char *>(bytes.data()), bytes.size()};
    std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
    ssize_t sent = 0;
    do
        sent = ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return Error::fromErrno(errno, "send").as(Code::Unavailable);
    return bytes.substr(static_cast<std::size_t>(sent));
}

} // namespace

Result<Connection> Connection::open(const std::string &socketPath)
{
    return Connection(TRY(connectUnix(socketPath)));
}

Result<Response> Connection::exchange(const Request &request)
{
    const Status sent = send(request);
    // A daemon that refuses an upload answers and closes while the rest is still on its way: its answer says why.
    if (!sent && sent.error().errnum != EPIPE && sent.error().errnum != ECONNRESET)
        return sent.error();
    return receive(request);
}

Status Connection::send(const Request &request)
{
    m_spent = true; // until the answer has been read whole
    std::string head = http::writeRequest(request.method, request.target, headersFor(request));
    if (!request.source) {
        head.append(request.body);
        return sendAll(m_fd, request.fds.empty() ? std::string_view(head) : TRY(sendWith(m_fd, head, request.fds)));
    }
    TRY(sendAll(m_fd, head));
    return sendBody(request);
}

Status Connection::sendBody(const Request &request)
{
    std::string buffer(kPiece, '\0');
    const bool chunked = !request.sourceSize.has_value();
    std::uint64_t left = request.sourceSize.value_or(0);
    for (;;) {
        const std::size_t got = TRY(request.source(buffer.data(), buffer.size()));
        if (got == 0)
            break;
        if (!chunked && got > left)
            return Error(Code::Internal, "the file grew while it was sent");
        left -= chunked ? 0 : got;
        if (chunked)
            TRY(sendAll(m_fd, http::chunkStart(got)));
        TRY(sendAll(m_fd, std::string_view(buffer.data(), got)));
        if (chunked)
            TRY(sendAll(m_fd, http::kChunkEnd));
    }
    if (!chunked && left > 0)
        return Error(Code::Internal, "the file shrank while it was sent");
    return chunked ? sendAll(m_fd, http::kLastChunk) : Status();
}

Result<Response> Connection::receive(const Request &request)
{
    Response response;
    bool done = false;
    Sink sink;
    http::ResponseParser parser({
        [&](http::ResponseHead head) -> Status {
            response.head = std::move(head);
            if (request.sink && (response.head.status == 200 || response.head.status == 206) && !isJson(response.head))
                sink = request.sink(response.head);
            return {};
        },
        [&](std::string_view piece) -> Status {
            if (sink)
                return sink(piece);
            if (response.body.size() + piece.size() > request.mostBody)
                return Error(Code::Invalid, "the answer is longer than the " + humanBytes(Bytes{request.mostBody}) + " that it may be");
            response.body.append(piece);
            return {};
        },
        [&]() -> Status {
            done = true;
            return {};
        },
    });
    if (request.method == "HEAD")
        parser.expectNoBody();
    const auto buffer = std::make_unique_for_overwrite<char[]>(kReadPiece);
    std::string_view pending = m_rest;
    while (!done) {
        while (!done && !pending.empty())
            pending.remove_prefix(TRY(parser.feed(pending)));
        if (done)
            break;
        TRY(awaitBytes(m_fd, request));
        const ssize_t got = ::recv(m_fd.get(), buffer.get(), kReadPiece, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return lost(strerrordesc_np(errno));
        if (got == 0) {
            if (!parser.finish() || !done)
                return lost("end of file");
            break;
        }
        pending = std::string_view(buffer.get(), static_cast<std::size_t>(got));
    }
    m_rest = std::string(pending);
    m_spent = !response.head.keepAlive;
    return response;
}

} // namespace lxmgr::client
