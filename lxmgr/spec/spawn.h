// Spawns lxmgr-monitor in one of its modes with a channel to it.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "spec/channel.h"

#include <string>
#include <sys/types.h>

namespace lxmgr::spec
{

/// The channel is descriptor 3 of the new process; its environment is empty, its standard input /dev/null. `title` is
/// shown in process lists.
struct Spawned {
    pid_t pid = 0; ///< The caller reaps it.
    Channel channel;
};
Result<Spawned> spawnMonitor(const std::string &binary, const std::string &mode, const std::string &title);

/// A Failed message as the Error it carries.
Error failureOf(const Packet &packet);
/// The body to send for `error`.
std::string encodeFailure(const Error &error);

} // namespace lxmgr::spec
