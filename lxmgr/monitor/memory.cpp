#include "monitor/memory.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lxmgr::monitor
{

namespace
{

constexpr int kMoment = 100;

struct Range {
    void *begin = nullptr;
    std::size_t size = 0;
};
using Ranges = std::array<Range, 8>;

/// The program's segments that are not written to: of a writable one what was written would be lost.
Ranges constantPages()
{
    struct Found {
        Ranges ranges;
        std::size_t count = 0;
    } found;
    ::dl_iterate_phdr(
        [](dl_phdr_info *info, std::size_t, void *to) {
            auto &all = *static_cast<Found *>(to);
            for (int i = 0; i < info->dlpi_phnum && all.count < all.ranges.size(); ++i) {
                const ElfW(Phdr) &segment = info->dlpi_phdr[i];
                if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W))
                    continue;
                const std::uintptr_t begin = info->dlpi_addr + segment.p_vaddr, page = ::getauxval(AT_PAGESZ);
                all.ranges[all.count++] = {reinterpret_cast<void *>(begin & ~(page - 1)), segment.p_memsz};
            }
            return 0;
        },
        &found);
    return found.ranges;
}

/// Whatever runs after its pages are unmapped brings 64 KiB around it back: it is this function and syscall(2) alone.
[[gnu::noinline]] void waitWithout(const Ranges &ranges, pollfd &poller, const timespec *timeout)
{
    for (const Range &range : ranges)
        if (range.size != 0)
            ::syscall(SYS_madvise, range.begin, range.size, MADV_DONTNEED);
    ::syscall(SYS_ppoll, &poller, 1, timeout, nullptr, 0);
}

} // namespace

void waitIdle(int fd, int timeout)
{
    pollfd poller{fd, POLLIN, 0};
    if (timeout >= 0 && timeout <= kMoment) {
        ::poll(&poller, 1, timeout);
        return;
    }
    if (::poll(&poller, 1, kMoment) != 0)
        return;
    ::malloc_trim(0);
    const int rest = timeout - kMoment;
    const timespec until{rest / 1000, rest % 1000 * 1'000'000L};
    waitWithout(constantPages(), poller, timeout < 0 ? nullptr : &until);
}

} // namespace lxmgr::monitor
