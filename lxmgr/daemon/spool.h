// Uploads that are larger than memory is given for: a file without a name in the state folder.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace lxmgr::daemon
{

/// `expected`: how much is to come, where the client says so. NoSpace, with what is missing, where that is more than there is.
Result<Fd> openSpool(const std::string &folder, std::optional<std::uint64_t> expected);
/// All of it, waiting for the disk.
Status writeAll(int fd, std::string_view bytes);
/// A full disk's error with what was missing, as far as that is known. What was stored goes.
Error withMissing(Error error, const Fd &file, const std::string &folder, std::optional<std::uint64_t> expected);

} // namespace lxmgr::daemon
