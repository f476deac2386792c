// Whole small files: read with a bound, write, and replace so that a crash leaves the old or the new one.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace lxmgr::files
{

/// All of `fd` from where it stands; Invalid when it is longer than `most`.
Result<std::string> readAll(const Fd &fd, std::size_t most = 16U << 20);
Status writeAll(const Fd &fd, std::string_view data);

/// `path` may be absolute (our own files on the host) or below `dir`.
Result<std::string> read(const std::string &path, std::size_t most = 16U << 20);
Result<std::string> read(const Fd &dir, const std::string &path, std::size_t most = 16U << 20);
/// One write(2) to an existing file: for /proc, /sys and cgroup files, where each write is a command.
Status put(const std::string &path, std::string_view value);
Status put(const Fd &dir, const std::string &path, std::string_view value);
/// Temporary file, fsync, rename, fsync of the folder.
Status replace(const Fd &dir, const std::string &name, std::string_view content, mode_t mode = 0600);
Status replace(const std::string &path, std::string_view content, mode_t mode = 0600);
/// The same without waiting for the disk: for what dies with a boot.
Status replaceVolatile(const Fd &dir, const std::string &name, std::string_view content, mode_t mode = 0600);

} // namespace lxmgr::files
