#include "daemon/outbox.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace lxmgr::daemon
{

namespace
{
constexpr std::size_t kPieces = 32;                 // iovecs of one sendmsg(2)
constexpr std::size_t kFileTurn = 4 << 20;          // then others get their turn
constexpr std::size_t kChunk = 64 << 10;

bool isBytes(const Outbox::Segment &segment) { return std::holds_alternative<std::string>(segment) || std::holds_alternative<SharedFrame>(segment); }

std::string_view bytesOf(const Outbox::Segment &segment)
{
    if (const auto *bytes = std::get_if<std::string>(&segment))
        return *bytes;
    if (const auto *frame = std::get_if<SharedFrame>(&segment))
        return **frame;
    return {};
}

Status sendRange(FileJob &job, int socket)
{
    for (std::uint64_t turn = 0; job.left > 0 && turn < kFileTurn;) {
        auto offset = static_cast<off_t>(job.offset);
        const ssize_t count = ::sendfile(socket, job.fd.get(), &offset, std::min<std::uint64_t>(job.left, 1 << 20));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            return {};
        if (count < 0)
            return Error::fromErrno(errno, "sendfile");
        if (count == 0)
            return Error(Code::Internal, "the file became shorter while it was sent");
        job.offset += static_cast<std::uint64_t>(count);
        job.left -= static_cast<std::uint64_t>(count);
        turn += static_cast<std::uint64_t>(count);
    }
    job.ended = job.left == 0;
    return {};
}

/// Puts the next chunk, or the last one, into `job.carry`.
Status readChunk(FileJob &job)
{
    std::string data(kChunk, '\0');
    ssize_t count = 0;
    do
        count = ::read(job.fd.get(), data.data(), data.size());
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return Error::fromErrno(errno, "read");
    data.resize(static_cast<std::size_t>(count));
    if (data.empty() && job.whole && !job.whole())
        return Error(Code::Internal, "what was sent is not all of it"); // without the last chunk the client knows
    if (data.empty())
        job.carry = http::kLastChunk;
    else
        job.carry = http::chunkStart(data.size()).append(data).append(http::kChunkEnd);
    job.left = data.empty() ? 0 : 1;
    return {};
}

Status sendChunks(FileJob &job, int socket)
{
    for (std::size_t turn = 0; turn < kFileTurn;) {
        if (job.carry.empty()) {
            if (job.left == 0) {
                job.ended = true;
                return {};
            }
            TRY(readChunk(job));
        }
        const ssize_t count = ::send(socket, job.carry.data(), job.carry.size(), MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            return {};
        if (count < 0)
            return Error::fromErrno(errno, "send");
        job.carry.erase(0, static_cast<std::size_t>(count));
        turn += static_cast<std::size_t>(count);
    }
    return {};
}
} // namespace

Status sendFile(FileJob &job, int socket) { return job.chunked ? sendChunks(job, socket) : sendRange(job, socket); }

void Outbox::add(std::string bytes)
{
    if (bytes.empty())
        return;
    m_bytes += bytes.size();
    m_segments.emplace_back(std::move(bytes));
}

void Outbox::add(SharedFrame frame)
{
    m_bytes += frame->size();
    m_segments.emplace_back(std::move(frame));
}

void Outbox::add(std::shared_ptr<PipePiece> piece)
{
    m_bytes += piece->left;
    m_segments.emplace_back(std::move(piece));
}

std::shared_ptr<FileJob> Outbox::file() const
{
    if (m_segments.empty())
        return nullptr;
    const auto *file = std::get_if<std::shared_ptr<FileJob>>(&m_segments.front());
    return file ? *file : nullptr;
}

void Outbox::sent(std::size_t count)
{
    m_bytes -= count;
    count += m_offset;
    while (!m_segments.empty()) {
        const std::size_t size = bytesOf(m_segments.front()).size();
        if (count < size || !isBytes(m_segments.front()))
            break;
        count -= size;
        m_segments.pop_front();
    }
    m_offset = count;
}

Result<bool> Outbox::flush(int socket)
{
    while (!m_segments.empty() && !file()) {
        const auto *piece = std::get_if<std::shared_ptr<PipePiece>>(&m_segments.front());
        const bool done = TRY(piece ? flushPiece(**piece, socket) : flushBytes(socket));
        if (!done)
            return false;
    }
    return true;
}

/// All that stands before the next piece or file. false: the socket is full.
Result<bool> Outbox::flushBytes(int socket)
{
    iovec pieces[kPieces];
    std::size_t used = 0;
    for (const Segment &segment : m_segments) {
        if (used == kPieces || !isBytes(segment))
            break;
        const std::string_view bytes = bytesOf(segment).substr(used == 0 ? m_offset : 0);
        pieces[used++] = {const_cast<char *>(bytes.data()), bytes.size()};
    }
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = used;
    const ssize_t count = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN)
        return false;
    if (count < 0 && errno != EINTR)
        return Error::fromErrno(errno, "send");
    sent(count > 0 ? static_cast<std::size_t>(count) : 0);
    return true;
}

/// Some of `piece`, which goes from the front when it is done.
Result<bool> Outbox::flushPiece(PipePiece &piece, int socket)
{
    const ssize_t count = ::splice(piece.pipe->get(), nullptr, socket, nullptr, piece.left, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (count < 0 && errno == EAGAIN)
        return false;
    if (count < 0 && errno != EINTR)
        return Error::fromErrno(errno, "splice");
    if (count == 0)
        return Error(Code::Internal, "a pipe had less in it than it said");
    if (count > 0) {
        piece.left -= static_cast<std::size_t>(count);
        m_bytes -= static_cast<std::size_t>(count);
    }
    if (piece.left == 0)
        m_segments.pop_front();
    return true;
}

} // namespace lxmgr::daemon
