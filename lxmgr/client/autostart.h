// Starting lxmgrd where nobody else does, so that nothing has to be set up before the first command.
#pragma once

#include "base/fd.h"
#include "base/paths.h"
#include "base/result.h"

namespace lxmgr::client
{

/// Whether a command run by this user should start the daemon itself: root, and no service manager looks after these
/// folders.
bool shouldStartDaemon(const Paths &paths);

/// Starts the daemon in a session of its own with its output in <state>/logs/lxmgrd.log and connects to it once it
/// listens. Two commands at once start one daemon. Unavailable, with the last line of its log, where it does not come
/// up.
Result<Fd> startDaemonAndConnect(const Paths &paths);

} // namespace lxmgr::client
