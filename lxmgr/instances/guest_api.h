// Where a guest's API lives, and what the guest says of itself through it; serving it is the daemon's (daemon/guest_api.h).
#pragma once

#include "base/paths.h"
#include "instances/running.h"

#include <string>

namespace lxmgr::instances
{

inline constexpr const char *kReadyKey = "volatile.last_state.ready"; ///< "true": the guest says that it is.

/// The folder that the guest sees, read-only, as /dev/lxd and /dev/incus. A daemon that comes back makes its socket in it anew.
std::string guestApiFolder(const Paths &paths, const InstanceKey &key);

} // namespace lxmgr::instances
