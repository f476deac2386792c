// The files of /proc and /sys that show a guest its own limits instead of the host's figures: lxcfs(1), where it runs.
#pragma once

#include "spec/launch.h"

#include <string>
#include <vector>

namespace lxmgr::instances
{

/// What to mount over /proc and /sys inside: nothing where lxcfs does not run at `lxcfs` or no longer answers.
std::vector<spec::Mount> ownView(const std::string &lxcfs);

} // namespace lxmgr::instances
