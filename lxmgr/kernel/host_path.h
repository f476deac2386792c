// Paths of the host that may not lead out of a folder.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <string>

namespace lxmgr::path
{

/// Anything on the host, O_PATH, by absolute path. `beneath`: a folder above it that it may not lead out of, "" for none.
/// Forbidden: a link on the way does.
Result<Fd> openOnHost(const std::string &hostPath, const std::string &beneath);

} // namespace lxmgr::path
