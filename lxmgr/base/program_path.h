// Where a program of ours lies.
#pragma once

#include <string>

namespace lxmgr
{

/// What the environment's `variable` says, else `name` beside this program, else in `folder`.
std::string programPath(const char *variable, const std::string &name, const std::string &folder);
/// lxmgr-tunnel: LXMGR_TUNNEL, else beside this program or in libexec.
std::string tunnelProgram();

} // namespace lxmgr
