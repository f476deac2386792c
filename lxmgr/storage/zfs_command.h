// The programs zfs and zpool: how they are run, what they list, what their words mean.
// Source: zfs(8), zpool(8) of OpenZFS 2.2 and later.
#pragma once

#include "base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::storage::zfs
{

/// A property and its value, as in "-o name=value".
struct Property {
    std::string name, value;
};

/// Runs "zfs …" or "zpool …" to its end and gives what it printed. What it says on failure is the error: NotFound,
/// AlreadyExists, WrongState (busy), NoSpace, Invalid, Unsupported (no such program or no module).
Result<std::string> run(std::string_view program, const std::vector<std::string> &words);
/// The same for what prints nothing.
Status command(std::string_view program, const std::vector<std::string> &words);

/// What one of them said when it failed, on one line, with the code that it means.
Error errorOf(std::string_view program, std::string_view said);

/// The lines that "-H" prints, of `columns` each; of any number for 0. Corrupt: a line has another number.
Result<std::vector<std::vector<std::string>>> parseRows(std::string_view text, std::size_t columns);
/// A number as "-p" prints it; "-" and "none" are 0.
Result<std::uint64_t> parseNumber(std::string_view text);

/// Whether the text can be the name of a dataset: a pool and what is below it, by "/". Invalid.
Status checkDatasetName(std::string_view name);

} // namespace lxmgr::storage::zfs
