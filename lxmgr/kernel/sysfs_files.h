// Files and links of /sys, for those who read what the kernel tells of devices there.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lxmgr::sysfs
{

/// The content of a file without white space at its ends; absent where it cannot be read.
std::optional<std::string> attribute(const Fd &folder, const std::string &name);
/// The same as a number; absent where it is none that fits.
std::optional<std::uint32_t> number(const std::optional<std::string> &text);
std::optional<std::uint64_t> largeNumber(const std::optional<std::string> &text);
/// "0x8086" as it is written elsewhere: "8086".
std::optional<std::string> pciId(const Fd &folder, const std::string &name);

std::string lastPart(const std::string &path);
/// Of a link, the last part of what it leads to; "" where there is none.
std::string linkName(const Fd &folder, const std::string &name);
/// Folders in `path`, links to them followed, sorted by name; none where the host has no such thing.
Result<std::vector<std::pair<std::string, Fd>>> foldersIn(const std::string &path);

} // namespace lxmgr::sysfs
