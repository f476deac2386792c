// Relay: bytes from one descriptor to another in the caller's poll(2) loop, spliced where the kernel can do that.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <csignal>
#include <cstdint>
#include <memory>
#include <poll.h>

namespace lxmgr::client
{

/// A pipe of ours, of a size that keeps both sides busy; `near` is non-blocking, `far` is for somebody else.
struct LocalPipe {
    Fd near, far;
    enum class Near { Reads, Writes };
    static Result<LocalPipe> make(Near near);
};

/// As long as it lives, writing to what nobody reads is an error and does not end this program.
class WithoutSigpipe
{
public:
    WithoutSigpipe() : m_before(::signal(SIGPIPE, SIG_IGN)) {}
    ~WithoutSigpipe() { (void)::signal(SIGPIPE, m_before); }
    WithoutSigpipe(const WithoutSigpipe &) = delete;
    WithoutSigpipe &operator=(const WithoutSigpipe &) = delete;

private:
    sighandler_t m_before;
};

/// At most one piece is under way at a time, so a side that is slow slows the other down.
class Relay
{
public:
    /// Until `from` ends. Neither is closed. splice(2) is used where both sides can do it and neither can block in it.
    Relay(int from, int to);

    /// What is to be waited for before the next serve(): its source, or its target where that is full.
    pollfd wanted() const;
    /// Moves what can be moved without waiting; `seen` is what poll(2) made of wanted().
    Status serve(short seen);
    /// Moves what is in the pipe `from` now, and no more than that, waiting for the target.
    Status drain();
    /// The source has ended, or nobody reads at the target any more.
    bool ended() const { return m_ended; }
    std::uint64_t moved() const { return m_moved; }

private:
    Status splice(std::size_t most);
    Status fill(std::size_t most);
    Status empty();
    Status step(std::size_t most);

    int m_from, m_to;
    std::size_t m_piece; ///< What write(2) takes at once behind POLLOUT.
    bool m_splices = true, m_targetFull = false, m_ended = false;
    std::uint64_t m_moved = 0;
    std::unique_ptr<char[]> m_buffer; ///< Only where splice(2) cannot do it.
    std::size_t m_begin = 0, m_end = 0;
};

} // namespace lxmgr::client
