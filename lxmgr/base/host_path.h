// Paths of the host by their names alone.
#pragma once

#include <string>

namespace lxmgr
{

/// Whether `path` is `folder` or lies below it. Both are absolute, without "." and "..", and with no slash too many.
inline bool isAtOrBelow(const std::string &path, const std::string &folder)
{
    return folder == "/" || path == folder || path.starts_with(folder + "/");
}

} // namespace lxmgr
