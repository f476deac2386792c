// mount(2) for a guest's root: file systems of its block devices, which the kernel mounts for no user namespace.
#pragma once

#include "kernel/notify.h"
#include "runtime/caller.h"

#include <chrono>

namespace lxmgr::runtime
{

/// Reading a journal takes its time.
inline constexpr std::chrono::seconds kMountPatience{60};

/// What is not in LaunchSpec::interceptedMounts goes on: the kernel decides, as without us, by the caller's own rights.
Result<notify::Answer> mountForGuest(const Scene &scene, const Caller &caller, const notify::Call &call);

} // namespace lxmgr::runtime
