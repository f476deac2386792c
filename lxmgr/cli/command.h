// What a command is: one row gives its parser, help, man page, completion and handler.
#pragma once

#include "base/result.h"
#include "cli/arguments.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::cli
{

class Context;

struct Flag {
    std::string_view names; ///< "-c,--columns"
    std::string_view value; ///< what its value is called; empty for a switch
    std::string_view help;
    Repeat repeat = Repeat::No;
};

struct Example {
    std::string_view line;
    std::string_view what;
};

enum class Group { Instances, Inside, Configuration, Images, Objects, Client };

/// A handler gives the exit status, 0 almost always; `exec` passes on the guest's.
using Handler = Result<int> (*)(Context &context, const Arguments &arguments);

inline constexpr std::size_t kMostFlags = 14;
inline constexpr std::size_t kMostExamples = 6;

struct Command {
    std::string_view path;      ///< "config device add"
    std::string_view aliases;   ///< other words for the last one: "rm,cancel"
    std::string_view arguments; ///< "<instance> [<name>]", "<source>...", "[--] <command>..." for all that follows
    Group group;
    Handler run;
    std::string_view summary;     ///< one line, no full stop
    std::string_view description; ///< what the summary does not say; paragraphs between empty lines
    Example examples[kMostExamples]{};
    Flag flags[kMostFlags]{};
};

struct CommandGroup {
    std::string_view path;
    std::string_view aliases;
    std::string_view summary;
    std::string_view otherwise{}; ///< The command meant where the next word is none of the group's.
};

std::span<const Command> commands();
std::span<const CommandGroup> commandGroups();
/// Flags that every command takes.
std::span<const Flag> globalFlags();

std::span<const Flag> flagsOf(const Command &command);
std::span<const Example> examplesOf(const Command &command);
std::string_view groupTitle(Group group);

/// The long name without dashes ("columns"), which is how arguments are asked for.
std::string_view longName(const Flag &flag);
/// The last word of a path.
std::string_view lastWord(std::string_view path);

/// How many words a command takes; `tailFrom` is where everything that follows belongs to another program.
struct WordCount {
    std::size_t least = 0;
    std::size_t most = 0;
    std::optional<std::size_t> tailFrom;
};
WordCount wordCount(std::string_view arguments);

} // namespace lxmgr::cli
