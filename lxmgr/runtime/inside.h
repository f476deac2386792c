// Work inside a guest, done by a child of ours that enters it: the monitor itself has to stay where it is.
#pragma once

#include "base/result.h"
#include "runtime/launch.h"
#include "spec/channel.h"

#include <chrono>
#include <functional>

namespace lxmgr::runtime
{

/// `work` in a child with one thread, which may enter namespaces; what it sends before it ends is given to `take`. Its error is
/// ours. A guest that holds it up (a path in a file system of its own) makes it an error after some seconds, not a wait.
Status inChild(const std::function<Status(spec::Channel &)> &work, const std::function<void(spec::Packet &)> &take = {},
               std::chrono::seconds patience = std::chrono::seconds(5));

/// The calling process: in the guest's mounts, as its root, so that nothing is made or moved with rights that the guest has not.
/// Not in its pid namespace: nobody inside sees the process.
Status becomeGuestRoot(const spec::LaunchSpec &spec, const Guest &guest);

} // namespace lxmgr::runtime
