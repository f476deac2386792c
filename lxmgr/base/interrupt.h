// Interrupt: cancellation as a descriptor, for work that waits in poll(2).
#pragma once

#include "base/fd.h"
#include "base/progress.h"
#include "base/result.h"

#include <memory>
#include <utility>

namespace lxmgr
{

/// A descriptor that becomes readable when the work is cancelled; as long as this lives.
class Interrupt
{
public:
    static Result<Interrupt> of(Progress &progress);
    Interrupt(Interrupt &&other) noexcept : m_progress(std::exchange(other.m_progress, nullptr)), m_fd(std::move(other.m_fd)) {}
    Interrupt &operator=(Interrupt &&) = delete;
    ~Interrupt();
    int fd() const { return m_fd->get(); }

private:
    Interrupt(Progress &progress, std::shared_ptr<Fd> fd) : m_progress(&progress), m_fd(std::move(fd)) {}
    Progress *m_progress;
    std::shared_ptr<Fd> m_fd;
};

} // namespace lxmgr
