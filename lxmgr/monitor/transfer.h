// Whole files between a guest and a pipe, without the bytes coming through this program.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <vector>

namespace lxmgr::monitor
{

/// Where in the file the first byte goes.
enum class Place { Start, End };

/// Writes what comes from `pipe` to `file` until the pipe ends. Cancelled once one of `until` hangs up or has ended (a socket, a
/// pidfd; -1 is none).
Status takeBytes(const Fd &pipe, const Fd &file, Place place, const std::vector<int> &until);
/// Writes the first `size` bytes of `file` to `pipe`, or up to its end; of size 0, as the kernel says of files it makes up, to the end.
Status giveBytes(const Fd &file, std::uint64_t size, const Fd &pipe, const std::vector<int> &until);

} // namespace lxmgr::monitor
