// Modules of the host's kernel that guests need and cannot load themselves.
#pragma once

#include "base/result.h"

#include <string>

namespace lxmgr::modules
{

/// Whether it is there: loaded, or built in as far as /sys/module and modules.builtin tell. `root`: of a fake tree (tests).
bool isPresent(const std::string &name, const std::string &root = {});
/// Has modprobe(8) load it where it is not there. Unsupported with modprobe's own words.
Status load(const std::string &name);

} // namespace lxmgr::modules
