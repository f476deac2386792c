#include "daemon/connection.h"

#include "base/log.h"
#include "base/packet.h"
#include "daemon/spool.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lxmgr::daemon
{

namespace
{
using namespace std::chrono_literals;

constexpr auto kHeadTime = 3s;        // from the first byte of a head to its end
constexpr auto kIdleTime = 30s;       // between requests, and between pieces of a body
constexpr std::size_t kReadSize = 64 << 10;
constexpr std::size_t kUploadAhead = 256 << 10; // read before it is written
constexpr std::size_t kMostFds = 16;
constexpr std::uint64_t kMostDiscarded = 64 << 20; // of a body that nobody wants, to tell the client why

Answer errorAnswer(int status, std::string_view message, Code code)
{
    Answer answer;
    answer.status = status;
    answer.headers = {{"Content-Type", "application/json"}, {"X-Content-Type-Options", "nosniff"}};
    answer.parts.emplace_back(api::errorEnvelope(status, message, codeInfo(code).name));
    return answer;
}

} // namespace

Hub::Hub(ServerOptions theOptions, Handler theHandler)
    : options(std::move(theOptions)), handler(std::move(theHandler)), sinks(api::kRouteCount), readBuffer(kReadSize, '\0')
{
    handlers.setMaxThreadCount(options.handlerThreads);
    handlers.setExpiryTimeout(30'000);
    disk.setMaxThreadCount(8);
    disk.setExpiryTimeout(10'000);
}

// --- channel --------------------------------------------------------------------------------------------------------

Responder::Channel::Channel(std::weak_ptr<Connection> connection, std::shared_ptr<Mailbox> mailbox,
                            const http::RequestHead &head)
    : m_connection(std::move(connection)), m_mailbox(std::move(mailbox)), m_head(head)
{
}

Responder::Channel::~Channel()
{
    if (!m_answered)
        answer(errorAnswer(500, "the request was dropped without an answer", Code::Internal));
}

void Responder::Channel::answer(Answer answer)
{
    if (m_answered.exchange(true))
        return;
    if (m_told)
        m_told(answer.status, std::string(answer.headers.value("Location")));
    // std::function copies, descriptors do not.
    auto shared = std::make_shared<Answer>(std::move(answer));
    m_mailbox->post([connection = m_connection, shared] {
        if (const auto alive = connection.lock())
            alive->answer(std::move(*shared));
    });
}

void Responder::Channel::onGone(std::function<void()> callback)
{
    {
        const std::lock_guard lock(m_mutex);
        if (!m_gone) {
            m_callbacks.push_back(std::move(callback));
            return;
        }
    }
    m_mailbox->post(std::move(callback));
}

void Responder::Channel::tellGone()
{
    std::vector<std::function<void()>> callbacks;
    {
        const std::lock_guard lock(m_mutex);
        m_gone = true;
        callbacks.swap(m_callbacks);
    }
    for (const std::function<void()> &callback : callbacks)
        callback();
}

// --- connection -----------------------------------------------------------------------------------------------------

/// A body on its way into a file; one write at a time, on a disk thread.
struct Connection::Upload {
    Fd file;
    std::string pending;
    bool busy = false;
    bool spooled = true; ///< Into a file of ours, which the handler reads from the start.
};

Connection::Connection(Hub &hub, Fd socket, Peer peer, std::string user)
    : m_hub(hub), m_socket(std::move(socket)), m_peer(std::move(peer)), m_user(std::move(user)),
      m_parser(http::Events<http::RequestHead>{[this](http::RequestHead head) { return onHead(std::move(head)); },
                                               [this](std::string_view piece) { return onBody(piece); },
                                               [this] { return onEnd(); }})
{
}

Connection::~Connection() = default;

Status Connection::start()
{
    setDeadline(kIdleTime);
    (void)::fcntl(m_socket.get(), F_SETFL, O_NONBLOCK); // splice(2) and sendfile(2) have no MSG_DONTWAIT
    const std::weak_ptr<Connection> weak = weak_from_this();
    return m_hub.poller.watch(m_socket.get(), EPOLLIN, [weak](std::uint32_t events) {
        if (const auto self = weak.lock())
            self->happened(events);
    });
}

void Connection::setDeadline(std::chrono::milliseconds after)
{
    m_deadline = Clock::now() + after;
    m_hub.wakeAt(m_deadline);
}

void Connection::expired()
{
    if (m_phase == Phase::Socket) {
        if (m_framer->closeSent())
            return end(); // the client keeps its half open for too long
        sayHello();
        return;
    }
    if (m_phase == Phase::Request && !m_parser.idle()) {
        m_keepAlive = false;
        return answer(errorAnswer(408, "the request did not come in time", Code::Timeout));
    }
    end();
}

void Connection::end()
{
    if (m_phase == Phase::Ended)
        return;
    m_phase = Phase::Ended;
    const auto self = shared_from_this();
    clearDeadline();
    m_hub.poller.unwatch(m_socket.get());
    // A disk thread may still hold the connection: the client should know now, the number stays taken until then.
    ::shutdown(m_socket.get(), SHUT_RDWR);
    if (const auto channel = m_channel.lock())
        channel->tellGone();
    if (const auto webSocket = std::exchange(m_webSocket, nullptr))
        webSocket->closed();
    m_hub.ended(*this);
}

void Connection::updateEvents()
{
    if (m_phase == Phase::Ended)
        return;
    std::uint32_t events = m_wantWrite && !m_fileRunning ? std::uint32_t(EPOLLOUT) : 0;
    const bool full = m_paused || (m_upload && m_upload->pending.size() >= kUploadAhead);
    const bool ask = !m_halfClosed && !(full && wantsBytes()); // level-triggered: asking for nothing new would spin
    if (ask)
        events |= wantsBytes() ? EPOLLIN : EPOLLRDHUP; // the latter to know that nobody waits for the answer any more
    m_hub.poller.setEvents(m_socket.get(), events);
}

void Connection::happened(std::uint32_t events)
{
    const auto self = shared_from_this();
    if (events & EPOLLOUT) {
        m_wantWrite = false;
        flush();
    }
    if (m_phase == Phase::Ended)
        return;
    if (wantsBytes() && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return readSome();
    if (events & (EPOLLHUP | EPOLLERR))
        return end();
    if (events & EPOLLRDHUP) {
        m_halfClosed = true; // it may still want the answer
        updateEvents();
    }
}

bool Connection::takeFds(const msghdr &message)
{
    takeDescriptors(message, m_fds);
    if (m_framer)
        m_fds.clear();
    return m_fds.size() <= kMostFds;
}

void Connection::readSome()
{
    iovec piece{m_hub.readBuffer.data(), m_hub.readBuffer.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))];
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t count = ::recvmsg(m_socket.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? void() : end();
    if (!takeFds(message))
        return end();
    if (count > 0)
        return received({m_hub.readBuffer.data(), static_cast<std::size_t>(count)});
    end(); // it will send no more, in the middle of things
}

void Connection::received(std::string_view bytes)
{
    if (m_phase == Phase::Socket)
        feedWebSocket(bytes);
    else
        feedHttp(bytes);
}

// --- requests -------------------------------------------------------------------------------------------------------

void Connection::feedHttp(std::string_view bytes)
{
    const auto self = shared_from_this();
    std::string joined;
    if (!m_unread.empty()) {
        joined = std::exchange(m_unread, {}).append(bytes);
        bytes = joined;
    }
    while (!bytes.empty() && m_phase == Phase::Request && !m_bodyEnded) {
        const bool fresh = m_parser.idle();
        const Result<std::size_t> used = m_parser.feed(bytes);
        if (!used) {
            m_keepAlive = false;
            return answer(errorAnswer(400, used.error().message, Code::Invalid));
        }
        bytes.remove_prefix(*used);
        const bool inBody = m_request.route || m_refusal;
        if (!m_bodyEnded && (fresh || inBody))
            setDeadline(inBody ? kIdleTime : kHeadTime);
    }
    m_unread.append(bytes);
    pumpUpload();
    updateEvents();
}

void Connection::refuse(Refusal refusal)
{
    if (m_refusal)
        return;
    m_refusal = std::move(refusal);
    m_bodyTo = BodyTo::Nowhere;
    m_request.body.clear();
    m_upload.reset();
}

Status Connection::onHead(http::RequestHead head)
{
    m_keepAlive = head.keepAlive;
    m_headOnly = head.method == "HEAD";
    m_bodyTo = BodyTo::Memory;
    m_request.head = std::move(head);
    m_request.peer = m_peer;
    m_request.caller = m_hub.options.identify(m_peer);
    std::optional<Refusal> refusal = routeRequest(m_request);
    if (!refusal && m_request.caller.kind == Principal::Kind::Stranger && m_hub.options.admit)
        m_request.caller = m_hub.options.admit(m_request).value_or(m_request.caller);
    if (!refusal)
        refusal = checkAccess(m_request);
    if (refusal) {
        if (refusal->code == Code::Forbidden && m_hub.options.refused)
            m_hub.options.refused(m_peer, m_request.head, refusal->status);
        refuse(std::move(*refusal));
        if (m_request.head.expectContinue)
            m_keepAlive = false; // it will not send the body, or it will: either way nothing else can follow
        return {};
    }
    // LXD's clients put a body on GET; nobody reads it.
    if (m_request.route->verb == api::Verb::Get || m_request.route->verb == api::Verb::Head)
        m_bodyTo = BodyTo::Nowhere;
    else if (m_hub.sinks[static_cast<std::size_t>(m_request.id())])
        startUpload(true);
    if (m_request.head.expectContinue) {
        m_outbox.add(std::string("HTTP/1.1 100 Continue\r\n\r\n"));
        flush();
    }
    return {};
}

Status Connection::onBody(std::string_view piece)
{
    m_request.bodySize += piece.size();
    if (m_bodyTo == BodyTo::Nowhere) {
        if (m_request.bodySize > kMostDiscarded)
            return Error(Code::Invalid, "the body is too long");
        return {};
    }
    const bool upload = m_request.route->body == api::Body::Upload;
    if (m_request.bodySize > (upload ? m_hub.options.uploadLimit : m_hub.options.jsonLimit)) {
        refuse({413, "the body is longer than " + std::to_string(upload ? m_hub.options.uploadLimit : m_hub.options.jsonLimit) +
                         " bytes",
                Code::Invalid});
        return {};
    }
    if (m_bodyTo == BodyTo::Memory && m_request.bodySize > m_hub.options.jsonLimit)
        startUpload(false);
    (m_bodyTo == BodyTo::File ? m_upload->pending : m_request.body).append(piece);
    return {};
}

Status Connection::onEnd()
{
    m_bodyEnded = true;
    return {};
}

/// From here on the body goes to a file; what came so far goes first.
void Connection::startUpload(bool askSink)
{
    m_bodyTo = BodyTo::File;
    m_upload = std::make_shared<Upload>();
    m_upload->pending = std::exchange(m_request.body, {});
    m_upload->busy = true;
    m_upload->spooled = !askSink;
    auto opened = std::make_shared<Result<Fd>>(Fd());
    auto request = std::make_shared<Request>(); // a copy without descriptors: the original goes on being filled
    request->route = m_request.route;
    request->family = m_request.family;
    request->params = m_request.params;
    request->query = m_request.query;
    request->head = m_request.head;
    request->peer = m_request.peer;
    request->caller = m_request.caller;
    m_hub.disk.start([self = shared_from_this(), upload = m_upload, opened, request, askSink] {
        Hub &hub = self->m_hub;
        *opened = askSink ? hub.sinks[static_cast<std::size_t>(request->id())](*request) : openSpool(hub.options.spoolDir, request->head.contentLength);
        hub.poller.post([self, upload, opened] {
            if (self->m_upload != upload || self->m_phase == Phase::Ended)
                return;
            upload->busy = false;
            if (!*opened)
                return self->uploadFailed(opened->error());
            upload->file = std::move(**opened);
            if (!upload->file) { // the sink wants none: as if there were no sink
                self->m_request.body = std::move(upload->pending);
                self->m_bodyTo = BodyTo::Memory;
                self->m_upload.reset();
                if (self->m_request.body.size() > self->m_hub.options.jsonLimit)
                    self->startUpload(false);
            }
            self->pumpUpload();
            self->updateEvents();
        });
    });
}

void Connection::uploadFailed(const Error &error)
{
    m_keepAlive = false; // the rest of the body may still come: nothing else can follow
    refuse({api::httpStatus(error), error.message, error.code});
    pumpUpload();
    updateEvents();
}

/// Writes what waits, or goes on with the request once all is written.
void Connection::pumpUpload()
{
    if (m_phase != Phase::Request || (m_upload && m_upload->busy))
        return;
    if (m_upload && !m_upload->pending.empty()) {
        m_upload->busy = true;
        auto bytes = std::make_shared<std::string>(std::exchange(m_upload->pending, {}));
        auto outcome = std::make_shared<Status>();
        m_hub.disk.start([self = shared_from_this(), upload = m_upload, bytes, outcome, expected = m_request.head.contentLength] {
            *outcome = writeAll(upload->file.get(), *bytes);
            if (!*outcome && upload->spooled)
                *outcome = withMissing(outcome->error(), upload->file, self->m_hub.options.spoolDir, expected);
            self->m_hub.poller.post([self, upload, outcome] {
                if (self->m_upload != upload || self->m_phase == Phase::Ended)
                    return;
                upload->busy = false;
                if (!*outcome)
                    return self->uploadFailed(outcome->error());
                self->setDeadline(kIdleTime);
                self->pumpUpload();
                self->updateEvents();
            });
        });
        return;
    }
    // A client that waits for "100 Continue" sends nothing more when it is refused; of one whose upload failed the rest is
    // taken out after the answer.
    if (m_bodyEnded || (m_refusal && (m_request.head.expectContinue || !m_keepAlive)))
        dispatch();
}

void Connection::dispatch()
{
    m_phase = Phase::Working;
    clearDeadline();
    if (m_refusal)
        return answer(errorAnswer(m_refusal->status, m_refusal->message, m_refusal->code));
    if (m_upload) {
        m_request.bodyFile = std::move(m_upload->file);
        if (m_upload->spooled)
            ::lseek(m_request.bodyFile.get(), 0, SEEK_SET);
        m_upload.reset();
    }
    m_request.fds = std::exchange(m_fds, {});
    const auto channel = std::make_shared<Responder::Channel>(weak_from_this(), m_hub.poller.mailbox(), m_request.head);
    m_channel = channel;
    auto request = std::make_shared<Request>(std::exchange(m_request, {}));
    m_hub.handlers.start([hub = &m_hub, request, responder = Responder(channel)]() mutable {
        try {
            hub->handler(std::move(*request), responder);
        } catch (const std::exception &failure) {
            responder.error(500, std::string("the handler failed: ") + failure.what());
        }
    });
}

// --- answers --------------------------------------------------------------------------------------------------------

void Connection::answer(Answer answer)
{
    if (m_phase != Phase::Request && m_phase != Phase::Working)
        return;
    m_phase = Phase::Answer;
    if (answer.upgrade) {
        m_outbox.add(http::writeResponse(answer.status, answer.headers));
        return becomeWebSocket(std::move(answer.upgrade));
    }
    if (answer.handOver) {
        m_handOver = std::move(answer.handOver);
        m_outbox.add(http::writeResponse(answer.status, answer.headers));
        return flush();
    }
    if (answer.stream) {
        answer.headers.set("Transfer-Encoding", "chunked");
    } else {
        std::uint64_t length = 0;
        for (const BodyPart &part : answer.parts)
            length += std::holds_alternative<std::string>(part) ? std::get<std::string>(part).size()
                                                                : std::get<FileRange>(part).size;
        if (!m_headOnly || !answer.headers.find("Content-Length"))
            answer.headers.set("Content-Length", std::to_string(length));
    }
    if (!m_keepAlive)
        answer.headers.set("Connection", "close");
    m_outbox.add(http::writeResponse(answer.status, answer.headers));
    if (!m_headOnly && answer.stream) {
        auto file = std::make_shared<FileJob>();
        file->fd = std::move(*answer.stream);
        file->chunked = true;
        file->whole = std::move(answer.whole);
        file->left = 1;
        m_outbox.add(std::move(file));
    } else if (!m_headOnly) {
        queueParts(std::move(answer.parts));
    }
    flush();
}

void Connection::queueParts(std::vector<BodyPart> parts)
{
    for (BodyPart &part : parts) {
        if (auto *bytes = std::get_if<std::string>(&part)) {
            m_outbox.add(std::move(*bytes));
            continue;
        }
        auto &range = std::get<FileRange>(part);
        auto file = std::make_shared<FileJob>();
        file->fd = std::move(range.fd);
        file->offset = range.offset;
        file->left = range.size;
        if (file->left > 0)
            m_outbox.add(std::move(file));
    }
}

void Connection::flush()
{
    if (m_phase == Phase::Ended || m_fileRunning)
        return;
    const auto self = shared_from_this();
    const Result<bool> done = m_outbox.flush(m_socket.get());
    if (!done)
        return end();
    m_wantWrite = !*done;
    if (*done) {
        if (const auto file = m_outbox.file())
            return runFile(file);
        sentAll();
    }
    if (m_phase == Phase::Socket && m_outbox.bytes() <= kLowWater)
        if (const auto webSocket = m_webSocket)
            webSocket->drained();
    updateEvents();
}

void Connection::runFile(std::shared_ptr<FileJob> file)
{
    m_fileRunning = true;
    updateEvents();
    auto outcome = std::make_shared<Status>();
    m_hub.disk.start([self = shared_from_this(), file, outcome] {
        *outcome = sendFile(*file, self->m_socket.get());
        self->m_hub.poller.post([self, file, outcome] {
            self->m_fileRunning = false;
            if (self->m_phase == Phase::Ended)
                return;
            if (!*outcome)
                return self->end(); // too late for a status: the length that was promised is not kept, so it shows
            if (file->ended) {
                self->m_outbox.fileDone();
                return self->flush();
            }
            self->m_wantWrite = true; // full, or its turn is over
            self->updateEvents();
        });
    });
}

/// As end(), but the socket lives on with somebody else.
void Connection::handOver()
{
    const auto self = shared_from_this();
    m_phase = Phase::Ended;
    clearDeadline();
    m_hub.poller.unwatch(m_socket.get());
    m_hub.ended(*this);
    std::exchange(m_handOver, nullptr)(std::move(m_socket), std::exchange(m_unread, {}));
}

void Connection::sentAll()
{
    if (m_handOver)
        return handOver();
    if (m_phase == Phase::Closing)
        return end();
    if (m_phase == Phase::Socket && m_framer->closeSent() && m_framer->closeReceived())
        return end();
    if (m_phase == Phase::Answer)
        nextRequest();
}

void Connection::nextRequest()
{
    if (!m_keepAlive || m_halfClosed) {
        // What the client still sends must be taken out, or closing would make it lose the answer (ECONNRESET).
        while (::recv(m_socket.get(), m_hub.readBuffer.data(), m_hub.readBuffer.size(), MSG_DONTWAIT) > 0)
            continue;
        return end();
    }
    m_phase = Phase::Request;
    m_request = {};
    m_refusal.reset();
    m_upload.reset();
    m_bodyEnded = false;
    m_bodyTo = BodyTo::Memory;
    m_headOnly = false;
    m_channel.reset();
    setDeadline(kIdleTime);
    if (!m_unread.empty()) // posted, not called: thousands of requests in one read must not become as many stack frames
        m_hub.poller.post([self = shared_from_this()] { self->feedHttp({}); });
}

} // namespace lxmgr::daemon
