// From argv to a row of the command table and what was said to it.
#pragma once

#include "cli/command.h"
#include "cli/context.h"

#include <string>
#include <vector>

namespace lxmgr::cli
{

struct Invocation {
    const Command *command = nullptr; ///< Null: help about `topic`.
    std::string topic;                ///< Path of a group, empty for everything.
    Arguments arguments;
    Globals globals;
};

/// Usage with what was not understood and what might have been meant.
Result<Invocation> parseCommandLine(const std::vector<std::string> &arguments);

/// The command or group that `words` begin with: how many words its path took, and its row.
struct Resolved {
    const Command *command = nullptr;
    std::string path; ///< As in the table, aliases replaced.
    std::size_t words = 0;
};
Result<Resolved> resolve(const std::vector<std::string> &words);

} // namespace lxmgr::cli
