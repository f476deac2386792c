// Files of an earlier state of the guest put back into it, with nothing but the rights of the guest's own root.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <functional>
#include <string>

namespace lxmgr::monitor
{

/// Makes `path` below `root` what it is below `source`, a mount of the earlier state: a file with everything it has, or a
/// folder with all below it, where what has come since goes. Folders that are there stay the same ones and are brought up
/// to date entry by entry; any other entry is swapped in one step, and not touched where it has not changed. Missing folders
/// above it are made as they were. `root`: a mount of the root file system alone, so that what the guest has mounted is left
/// alone. `cancelled` is asked between entries.
/// NotFound: `source` has no such path.
Status putBack(const Fd &root, const Fd &source, const std::string &path, const std::function<bool()> &cancelled);

/// Removes what a putBack() of `path` left that was cut off.
Status dropHalfPutBack(const Fd &root, const std::string &path);

} // namespace lxmgr::monitor
