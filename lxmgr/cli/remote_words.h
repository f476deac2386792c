// "remote:" in front of names: taken off here, in one place, so that no command has to know of it.
#pragma once

#include "cli/command.h"
#include "cli/remotes.h"

#include <string>
#include <vector>

namespace lxmgr::cli
{

/// What one word of the command line stands for, as the command's row says: "instance", "image", "key", …; "" behind them.
struct WordKind {
    std::string name;
    std::size_t place = 0; ///< Which of the row's arguments it is: words of a repeated one share it.
    bool optional = false;
};
std::vector<WordKind> wordKinds(const Command &command, const Arguments &arguments);

/// Takes the remotes off the words that name objects and notes them in `arguments`; the one that the command is for comes back.
/// NotFound: no such remote. Unsupported: two hosts in a command that works on one.
Result<std::string> takeRemotes(const Command &command, Arguments &arguments, const Remotes &remotes);
/// Whether the command asks a server at all.
bool asksServer(const Command &command);

} // namespace lxmgr::cli
