// Completion scripts made of the command table.
#pragma once

#include "base/result.h"

#include <string>
#include <string_view>

namespace lxmgr::cli
{

/// For "bash", "zsh" or "fish"; Usage otherwise.
Result<std::string> completionScript(std::string_view shell);

} // namespace lxmgr::cli
