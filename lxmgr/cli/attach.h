// What several commands do to a running instance.
#pragma once

#include "cli/context.h"

namespace lxmgr::cli
{

/// The console on this terminal until it is left or ends; the exit status.
Result<int> attachConsole(Context &context, const std::string &name);
/// As --wait and --timeout say.
Status waitUntilBooted(Context &context, const Arguments &arguments, const std::string &name);

} // namespace lxmgr::cli
