#include "base/interrupt.h"

#include <cerrno>
#include <sys/eventfd.h>

namespace lxmgr
{

Result<Interrupt> Interrupt::of(Progress &progress)
{
    Fd fd(::eventfd(0, EFD_CLOEXEC));
    if (!fd)
        return Error::fromErrno(errno, "eventfd");
    // Shared: it may just be written to while this goes away.
    const auto shared = std::make_shared<Fd>(std::move(fd));
    progress.onCancel([shared] { ::eventfd_write(shared->get(), 1); });
    return Interrupt(progress, shared);
}

Interrupt::~Interrupt()
{
    if (m_progress)
        m_progress->onCancel({});
}

} // namespace lxmgr
