// Spawns lxmgr-monitor in one of its modes with a channel to it.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "spec/channel.h"

#include <chrono>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace lxmgr::spec
{

/// The channel is descriptor 3 of the new process; its environment is empty, its standard input /dev/null. `title` is
/// shown in process lists.
struct Spawned {
    pid_t pid = 0; ///< The caller reaps it.
    Fd pidfd;
    Channel channel;
};
Result<Spawned> spawnMonitor(const std::string &binary, const std::string &mode, const std::string &title);

/// What is said of a process that did not do its step of a start in time, and was killed.
Error hung(std::chrono::milliseconds waited, std::string_view process, std::string_view step);

/// A Failed message as the Error it carries.
Error failureOf(const Packet &packet);
/// The body to send for `error`.
std::string encodeFailure(const Error &error);

} // namespace lxmgr::spec
