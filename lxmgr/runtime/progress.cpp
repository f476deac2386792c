#include "runtime/progress.h"

#include "kernel/sys.h"

#include <atomic>
#include <sys/mman.h>
#include <utility>

namespace lxmgr::runtime
{

Result<Progress> Progress::create()
{
    const long address = TRY(sys::call("mmap", {}, [] {
        return reinterpret_cast<long>(::mmap(nullptr, sizeof(std::size_t), PROT_READ | PROT_WRITE,
                                             MAP_SHARED | MAP_ANONYMOUS, -1, 0)); // MAP_FAILED is -1
    }));
    Progress progress;
    progress.m_shared = reinterpret_cast<std::size_t *>(address);
    return progress;
}

Progress::~Progress()
{
    if (m_shared != nullptr)
        ::munmap(m_shared, sizeof *m_shared);
}

Progress::Progress(Progress &&other) noexcept : m_shared(std::exchange(other.m_shared, nullptr)) {}

Progress &Progress::operator=(Progress &&other) noexcept
{
    std::swap(m_shared, other.m_shared);
    return *this;
}

void Progress::begin(std::size_t step) const { std::atomic_ref(*m_shared).store(step, std::memory_order_relaxed); }

std::size_t Progress::step() const { return std::atomic_ref(*m_shared).load(std::memory_order_relaxed); }

} // namespace lxmgr::runtime
