#include "client/relay.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::client
{

namespace
{

constexpr std::size_t kPipeful = 1 << 20; ///< What an unprivileged user may ask for (pipe(7), pipe-max-size).
constexpr std::size_t kPiece = 256 * 1024;

mode_t kindOf(int fd)
{
    struct stat info{};
    return ::fstat(fd, &info) == 0 ? info.st_mode & S_IFMT : 0;
}

/// Files and what is no terminal of the character devices take any amount; for the rest poll(2) promises PIPE_BUF bytes.
bool takesAny(int fd)
{
    const mode_t kind = kindOf(fd);
    return kind == S_IFREG || (kind == S_IFCHR && !::isatty(fd)) || (::fcntl(fd, F_GETFL) & O_NONBLOCK);
}

/// The caller's pipes have room for 64 KiB at first: each turn would move no more.
void widen(int pipe)
{
    if (const int now = ::fcntl(pipe, F_GETPIPE_SZ); now > 0 && static_cast<std::size_t>(now) < kPipeful)
        (void)::fcntl(pipe, F_SETPIPE_SZ, kPipeful); // as in LocalPipe
}

/// SPLICE_F_NONBLOCK is for pipes: a socket or terminal at the other side would still block.
bool splices(int from, int to)
{
    const mode_t source = kindOf(from), target = kindOf(to);
    return source == S_IFIFO && (target == S_IFIFO || target == S_IFREG || (target == S_IFCHR && !::isatty(to)));
}

} // namespace

Result<LocalPipe> LocalPipe::make(Near near)
{
    int ends[2] = {-1, -1};
    if (::pipe2(ends, O_CLOEXEC) < 0)
        return Error::fromErrno(errno, "pipe2");
    LocalPipe pipe{Fd(ends[0]), Fd(ends[1])};
    (void)::fcntl(ends[0], F_SETPIPE_SZ, kPipeful); // a user who has many pipes gets smaller ones
    if (near == Near::Writes)
        std::swap(pipe.near, pipe.far);
    if (::fcntl(pipe.near.get(), F_SETFL, O_NONBLOCK) < 0)
        return Error::fromErrno(errno, "fcntl");
    return pipe;
}

Relay::Relay(int from, int to) : m_from(from), m_to(to), m_piece(takesAny(to) ? kPiece : PIPE_BUF), m_splices(splices(from, to))
{
    if (m_splices) {
        widen(from);
        widen(to);
    }
}

pollfd Relay::wanted() const
{
    if (m_ended)
        return {-1, 0, 0};
    if (m_targetFull || m_begin < m_end)
        return {m_to, POLLOUT, 0};
    return {m_from, POLLIN, 0};
}

Status Relay::serve(short seen) { return seen == 0 || m_ended ? Status() : step(kPipeful); }

Status Relay::step(std::size_t most)
{
    if (m_splices)
        return splice(most);
    return m_begin < m_end ? empty() : fill(most);
}

Status Relay::splice(std::size_t most)
{
    const ssize_t moved = ::splice(m_from, nullptr, m_to, nullptr, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (moved > 0) {
        m_moved += static_cast<std::uint64_t>(moved);
        m_targetFull = false;
    } else if (moved == 0 || errno == EPIPE) {
        m_ended = true;
    } else if (errno == EAGAIN) {
        pollfd source{m_from, POLLIN, 0}; // which side it was that had nothing to give or no room
        m_targetFull = ::poll(&source, 1, 0) > 0;
    } else if (errno == EINVAL) { // a target that was opened to append to, or a file system without it
        m_splices = m_targetFull = false;
    } else if (errno != EINTR) {
        return Error::fromErrno(errno, "splice");
    }
    return {};
}

Status Relay::fill(std::size_t most)
{
    if (!m_buffer)
        m_buffer = std::make_unique_for_overwrite<char[]>(kPiece);
    const ssize_t got = ::read(m_from, m_buffer.get(), std::min(most, kPiece));
    if (got < 0 && errno != EINTR && errno != EAGAIN)
        return Error::fromErrno(errno, "read");
    m_begin = 0;
    m_end = got > 0 ? static_cast<std::size_t>(got) : 0;
    m_ended = got == 0;
    return {};
}

Status Relay::empty()
{
    const ssize_t written = ::write(m_to, m_buffer.get() + m_begin, std::min(m_end - m_begin, m_piece));
    if (written >= 0) {
        m_begin += static_cast<std::size_t>(written);
        m_moved += static_cast<std::uint64_t>(written);
    } else if (errno == EPIPE) {
        m_ended = true;
        m_begin = m_end;
    } else if (errno != EINTR && errno != EAGAIN) {
        return Error::fromErrno(errno, "write");
    }
    return {};
}

Status Relay::drain()
{
    int there = 0;
    if (::ioctl(m_from, FIONREAD, &there) < 0)
        there = 0;
    const std::uint64_t end = m_moved + (m_end - m_begin) + static_cast<std::uint64_t>(std::max(there, 0));
    while (!m_ended && m_moved < end) {
        pollfd next = wanted();
        if (::poll(&next, 1, -1) < 0 && errno != EINTR)
            return Error::fromErrno(errno, "poll");
        TRY(step(std::min<std::uint64_t>(end - m_moved, kPipeful)));
    }
    return {};
}

} // namespace lxmgr::client
