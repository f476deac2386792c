#include "client/session.h"

#include "api/execution.h"
#include "api/operations.h"

#include <cerrno>
#include <deque>
#include <memory>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::client
{

namespace
{

constexpr std::size_t kEnough = 256 * 1024; ///< Queued for one direction before its source is left alone.
constexpr std::size_t kPiece = 64 * 1024;
constexpr int kLastWords = 2000; ///< ms of silence after the operation's end until streams without an end are given up

/// Regular files and /dev/null take any amount; for others poll(2) promises PIPE_BUF bytes without blocking.
std::size_t writableAtOnce(int fd)
{
    struct stat info{};
    return fd >= 0 && ::fstat(fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISCHR(info.st_mode)) && !::isatty(fd)
               ? kPiece
               : PIPE_BUF;
}

bool ready(short events) { return (events & (POLLIN | POLLHUP | POLLERR | POLLNVAL)) != 0; }

/// One websocket with the local descriptors at its ends.
struct Channel {
    std::optional<WebSocket> socket;
    int in = -1;
    int out = -1;
    std::size_t outPiece = PIPE_BUF;
    std::string output;    ///< Received; the first `written` bytes of it are written.
    std::size_t written = 0;
    bool received = false; ///< Everything has been received.
    bool open = true;      ///< The websocket is.

    bool done() const { return out < 0 || (received && output.empty()); }

    void onData(http::Opcode opcode, std::string_view piece, bool last)
    {
        // An empty text frame is the end of the stream (write barrier), the socket stays open.
        if (opcode == http::Opcode::Text && piece.empty() && last)
            received = true;
        else if (out >= 0)
            output.append(piece);
    }

    Status receive()
    {
        open = TRY(socket->receive());
        received = received || !open;
        return {};
    }

    void writeOut()
    {
        const ssize_t count = ::write(out, output.data() + written, std::min(output.size() - written, outPiece));
        if (count > 0) {
            written += static_cast<std::size_t>(count);
            if (written == output.size())
                output.clear(), written = 0;
        } else if (errno != EINTR && errno != EAGAIN) {
            // Nobody reads any more (a closed pipe): the guest's process finds out when its stream is closed.
            output.clear();
            written = 0;
            out = -1;
            socket->close();
            (void)socket->flush();
        }
    }
};

class Pump
{
public:
    Pump(Client &client, const StreamPlan &plan) : m_client(client), m_plan(plan)
    {
        if (plan.detach)
            m_filter.emplace(*plan.detach);
    }

    Result<StreamEnd> run()
    {
        TRY(open());
        while (!m_finished || !drained())
            if (!TRY(turn()))
                break;
        return std::move(m_end);
    }

private:
    Status open();
    Result<bool> turn();
    void arm();
    Status serve();
    Status readIn(Channel &channel);
    void sendSignal();
    bool drained() const;

    pollfd &slot(std::size_t index) { return m_polls[index]; }

    Client &m_client;
    const StreamPlan &m_plan;
    std::optional<Connection> m_waiting;
    std::optional<WebSocket> m_control;
    std::deque<Channel> m_channels; // a deque: callbacks hold their addresses
    std::optional<DetachFilter> m_filter;
    std::vector<pollfd> m_polls;
    std::unique_ptr<char[]> m_buffer = std::make_unique_for_overwrite<char[]>(kPiece);
    StreamEnd m_end;
    bool m_finished = false;
};

Status Pump::open()
{
    if (!m_plan.control.empty())
        m_control = TRY(m_client.openOperationSocket(m_plan.operation, m_plan.control,
                                                     [](http::Opcode, std::string_view, bool) {}));
    for (const StreamPlan::Stream &stream : m_plan.streams) {
        Channel &channel = m_channels.emplace_back();
        channel.in = stream.in;
        channel.out = stream.out;
        channel.outPiece = writableAtOnce(stream.out);
        channel.socket = TRY(m_client.openOperationSocket(
            m_plan.operation, stream.secret, [&channel](http::Opcode opcode, std::string_view piece, bool last) {
                channel.onData(opcode, piece, last);
            }));
    }
    m_waiting = TRY(m_client.beginWait(m_plan.operation));
    if (m_control)
        TRY(m_control->finishOpening());
    for (Channel &channel : m_channels)
        TRY(channel.socket->finishOpening());
    return {};
}

bool Pump::drained() const
{
    for (const Channel &channel : m_channels)
        if (!channel.done())
            return false;
    return true;
}

// Three fixed slots, then three a channel: its socket, its input, its output.
void Pump::arm()
{
    m_polls.assign(3 + 3 * m_channels.size(), {-1, 0, 0});
    if (!m_finished)
        slot(0) = {m_waiting->fd().get(), POLLIN, 0};
    if (m_control)
        slot(1) = {m_control->fd().get(), static_cast<short>(POLLIN | (m_control->pending() ? POLLOUT : 0)), 0};
    slot(2) = {m_plan.signalFd, POLLIN, 0};
    for (std::size_t i = 0; i < m_channels.size(); ++i) {
        const Channel &channel = m_channels[i];
        short events = channel.output.size() < kEnough ? POLLIN : 0;
        if (channel.socket->pending() > 0)
            events |= POLLOUT;
        if (channel.open && events != 0)
            slot(3 + 3 * i) = {channel.socket->fd().get(), events, 0};
        if (channel.open && channel.in >= 0 && channel.socket->pending() < kEnough)
            slot(4 + 3 * i) = {channel.in, POLLIN, 0};
        if (!channel.output.empty())
            slot(5 + 3 * i) = {channel.out, POLLOUT, 0};
    }
}

/// False when nothing more is to be waited for.
Result<bool> Pump::turn()
{
    arm();
    const int count = ::poll(m_polls.data(), m_polls.size(), m_finished ? kLastWords : -1);
    if (count < 0)
        return errno == EINTR ? Result<bool>(true) : Error::fromErrno(errno, "poll");
    if (count == 0)
        return false;
    TRY(serve());
    if (!m_finished && ready(slot(0).revents)) {
        m_end.operation = TRY(Client::endWait(*m_waiting));
        m_finished = true;
    }
    if (m_filter && m_filter->detached()) {
        m_end.detached = true;
        if (m_control) {
            m_control->close();
            (void)m_control->flush();
        }
        return false;
    }
    return true;
}

Status Pump::serve()
{
    if (m_control && slot(1).revents != 0) {
        (void)m_control->flush();
        const Result<bool> open = m_control->receive();
        if (!open || !*open)
            m_control.reset();
    }
    if (ready(slot(2).revents))
        sendSignal();
    for (std::size_t i = 0; i < m_channels.size(); ++i) {
        Channel &channel = m_channels[i];
        const auto seen = [&](std::size_t offset) { return slot(3 + 3 * i + offset).revents; };
        if (seen(0) & POLLOUT)
            TRY(channel.socket->flush());
        if (ready(seen(0)))
            TRY(channel.receive());
        if (ready(seen(1)))
            TRY(readIn(channel));
        if (seen(2) != 0)
            channel.writeOut();
    }
    return {};
}

Status Pump::readIn(Channel &channel)
{
    const ssize_t got = ::read(channel.in, m_buffer.get(), kPiece);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return {};
    if (got <= 0) {
        channel.in = -1;
        channel.socket->send(http::Opcode::Text, {});
    } else {
        const std::string_view typed(m_buffer.get(), static_cast<std::size_t>(got));
        const std::string filtered = m_filter ? m_filter->pass(typed) : std::string();
        if (!m_filter || !filtered.empty())
            channel.socket->send(http::Opcode::Binary, m_filter ? std::string_view(filtered) : typed);
    }
    return channel.socket->flush();
}

void Pump::sendSignal()
{
    const std::string message = m_plan.onSignal();
    if (message.empty() || !m_control)
        return;
    m_control->send(http::Opcode::Text, message);
    (void)m_control->flush(); // what does not fit goes with the next turn
}

} // namespace

std::string secretOf(const api::Operation &operation, std::string_view name)
{
    const api::Json *fds = operation.metadata.find("fds");
    return fds ? fds->text(name) : std::string();
}

Result<StreamEnd> runStreams(Client &client, const StreamPlan &plan) { return Pump(client, plan).run(); }

std::string resizeMessage(int width, int height)
{
    return api::toJson(api::ControlMessage{
        .command = "window-resize",
        .args = {{"width", std::to_string(width)}, {"height", std::to_string(height)}},
        .signal = 0
    });
}

std::string signalMessage(int signal)
{
    return api::toJson(api::ControlMessage{.command = "signal", .args = {}, .signal = signal});
}

std::string DetachFilter::pass(std::string_view typed)
{
    std::string out;
    for (const char c : typed) {
        if (m_detached)
            break;
        if (m_prefix) {
            m_prefix = false;
            if (c == m_keys.detach) {
                m_detached = true;
                break;
            }
            if (c != m_keys.prefix)
                out.push_back(m_keys.prefix);
            out.push_back(c);
        } else if (c == m_keys.prefix) {
            m_prefix = true;
        } else {
            out.push_back(c);
        }
    }
    return out;
}

} // namespace lxmgr::client
