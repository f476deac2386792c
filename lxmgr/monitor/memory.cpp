#include "monitor/memory.h"

#include <cstddef>
#include <cstdint>
#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/mman.h>

namespace lxmgr::monitor
{

namespace
{

constexpr int kMoment = 100;

void releaseMemory()
{
    ::malloc_trim(0);
    ::dl_iterate_phdr(
        [](dl_phdr_info *info, std::size_t, void *) {
            for (int i = 0; i < info->dlpi_phnum; ++i) {
                const ElfW(Phdr) &segment = info->dlpi_phdr[i];
                // Never a writable one: what was written there would be lost.
                if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W))
                    continue;
                const std::uintptr_t begin = info->dlpi_addr + segment.p_vaddr, page = ::getauxval(AT_PAGESZ);
                ::madvise(reinterpret_cast<void *>(begin & ~(page - 1)), segment.p_memsz, MADV_DONTNEED);
            }
            return 0;
        },
        nullptr);
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
    releaseMemory();
    ::poll(&poller, 1, timeout < 0 ? -1 : timeout - kMoment);
}

} // namespace lxmgr::monitor
