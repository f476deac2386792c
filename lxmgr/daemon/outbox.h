// What a connection still has to send: bytes, frames shared with others, ranges of files.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "daemon/server.h"

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <variant>

namespace lxmgr::daemon
{

/// A range of a file, or (size unknown) all there is, sent in chunks.
struct FileJob {
    Fd fd;
    std::uint64_t offset = 0;
    std::uint64_t left = 0;
    bool chunked = false;
    std::function<bool()> whole; ///< Whether a chunked one that ended was all of it; unset: it was.
    std::string carry; ///< Bytes of a chunk that did not fit.
    bool ended = false;
};

/// Sends some of `job` into the non-blocking `socket`: until it is full, done, or a few MiB are through. Blocks on the
/// disk, so it runs on a thread of its own. NoSpace never; Internal when the file ends early or the peer is gone.
Status sendFile(FileJob &job, int socket);

/// The next bytes of a pipe, which are in it already: they go to the socket without being copied where the kernel can do that.
struct PipePiece {
    std::shared_ptr<const Fd> pipe;
    std::size_t left = 0;
};

class Outbox
{
public:
    using Segment = std::variant<std::string, SharedFrame, std::shared_ptr<FileJob>, std::shared_ptr<PipePiece>>;

    void add(std::string bytes);
    void add(SharedFrame frame);
    void add(std::shared_ptr<PipePiece> piece);
    void add(std::shared_ptr<FileJob> file) { m_segments.emplace_back(std::move(file)); }

    bool empty() const { return m_segments.empty(); }
    /// Bytes held in memory or in pipes, and how many pieces they are in.
    std::size_t bytes() const { return m_bytes; }
    std::size_t count() const { return m_segments.size(); }
    /// The file at the front, which flush() leaves alone.
    std::shared_ptr<FileJob> file() const;
    void fileDone() { m_segments.pop_front(); }

    /// Writes bytes and frames up to the next file. false: the socket is full.
    Result<bool> flush(int socket);

private:
    void sent(std::size_t count);
    Result<bool> flushBytes(int socket);
    Result<bool> flushPiece(PipePiece &piece, int socket);

    std::deque<Segment> m_segments;
    std::size_t m_offset = 0; ///< Already sent of the first one.
    std::size_t m_bytes = 0;
};

} // namespace lxmgr::daemon
