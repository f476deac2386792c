#include "monitor/transfer.h"

#include "kernel/sys.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <poll.h>
#include <unistd.h>

namespace lxmgr::monitor
{

namespace
{

constexpr std::size_t kPiece = 1 << 20;

/// Until the pipe can be read or written.
Status await(const Fd &pipe, short events, const std::vector<int> &until)
{
    std::vector<pollfd> polls{
        {pipe.get(), events, 0}
    };
    for (const int fd : until)
        polls.push_back({fd, POLLIN | POLLRDHUP, 0});
    TRY(sys::call("poll", {}, [&] { return ::poll(polls.data(), polls.size(), -1); }));
    for (std::size_t i = 1; i < polls.size(); ++i)
        if (polls[i].revents != 0)
            return Error(Code::Cancelled, "whom it was for is no longer there");
    return {};
}

class Mover
{
public:
    Mover(const Fd &from, const Fd &to) : m_from(from), m_to(to) {}

    /// 0 at the end. EAGAIN: the pipe has nothing to give or no room after all.
    Result<std::size_t> move(std::size_t most)
    {
        if (m_copies)
            return copy(most);
        const auto splice = [&] { return ::splice(m_from.get(), nullptr, m_to.get(), nullptr, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK); };
        auto moved = sys::call("splice", {}, splice);
        if (moved)
            return static_cast<std::size_t>(*moved);
        if (moved.error().errnum != EINVAL)
            return std::move(moved.error());
        m_copies = true; // a file system without splice(2)
        return copy(most);
    }

private:
    Result<std::size_t> copy(std::size_t most)
    {
        const long got = TRY(sys::call("read", {}, [&] { return ::read(m_from.get(), m_buffer.data(), std::min(most, m_buffer.size())); }));
        for (long done = 0; done < got;)
            done += TRY(sys::call("write", {}, [&] { return ::write(m_to.get(), m_buffer.data() + done, static_cast<std::size_t>(got - done)); }));
        return static_cast<std::size_t>(got);
    }

    const Fd &m_from, &m_to;
    bool m_copies = false;
    std::array<char, 65536> m_buffer;
};

/// Waits for `pipe`, which is one of the two, before each piece.
Status carry(Mover &mover, const Fd &pipe, short events, std::uint64_t size, const std::vector<int> &until)
{
    for (std::uint64_t left = size; left > 0;) {
        TRY(await(pipe, events, until));
        auto moved = mover.move(std::min<std::uint64_t>(left, kPiece));
        if (!moved && moved.error().errnum == EAGAIN)
            continue;
        const std::size_t count = TRY(std::move(moved));
        if (count == 0)
            break;
        left -= count;
    }
    return {};
}

} // namespace

Status takeBytes(const Fd &pipe, const Fd &file, Place place, const std::vector<int> &until)
{
    if (place == Place::End)
        TRY(sys::call("lseek", {}, [&] { return ::lseek(file.get(), 0, SEEK_END); }));
    Mover mover(pipe, file);
    return carry(mover, pipe, POLLIN, UINT64_MAX, until);
}

Status giveBytes(const Fd &file, std::uint64_t size, const Fd &pipe, const std::vector<int> &until)
{
    Mover mover(file, pipe);
    return carry(mover, pipe, POLLOUT, size > 0 ? size : UINT64_MAX, until);
}

} // namespace lxmgr::monitor
