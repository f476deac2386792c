// Help made of the command table.
#pragma once

#include "cli/command.h"

#include <string>
#include <string_view>

namespace lxmgr::cli
{

/// Help of the command or group at `path`; everything for "".
std::string helpText(std::string_view path);
/// "-c, --columns <columns>"
std::string flagUsage(const Flag &flag);
/// "lxmgr launch <image> [<name>] [<flag>...]"
std::string usageLine(const Command &command);
/// `text` in lines of at most `width` columns, each after `indent` blanks; empty lines stay.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t width = 96);

} // namespace lxmgr::cli
