// Small text files that the user names, read and replaced.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <string>

namespace lxmgr::cli
{

/// Invalid: it is longer than `most` bytes, or no regular file.
Result<std::string> readTextFile(const std::string &path, std::size_t most);
/// `name` in `folder` holds `text`, all of it or what it held before.
Status replaceTextFile(const Fd &folder, const std::string &name, const std::string &text);

} // namespace lxmgr::cli
