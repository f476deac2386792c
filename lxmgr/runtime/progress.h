// Progress: how far the child has come, for a parent that has waited too long to ask it.
#pragma once

#include "base/result.h"

#include <cstddef>

namespace lxmgr::runtime
{

/// One number in memory that parent and child share; the child's exec takes it away from the guest.
class Progress
{
public:
    static Result<Progress> create();
    ~Progress();
    Progress() = default;
    Progress(Progress &&other) noexcept;
    Progress &operator=(Progress &&other) noexcept;

    /// By the child, before each step.
    void begin(std::size_t step) const;
    /// The step that was begun last.
    std::size_t step() const;

private:
    std::size_t *m_shared = nullptr;
};

} // namespace lxmgr::runtime
