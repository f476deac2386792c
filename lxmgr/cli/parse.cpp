// GNU conventions, by CLI11: --name=value, --name value, -xvalue, -xyz, "--" ends the flags; flags and words in any
// order, except that a command with a tail (exec) leaves everything from its tail on to the other program.
#include "cli/parse.h"

#include "base/text.h"

#include <CLI/CLI.hpp>
#include <algorithm>

namespace lxmgr::cli
{

namespace
{

bool hasWord(std::string_view list, std::string_view word)
{
    return std::ranges::any_of(split(list, ','), [&](const std::string &one) { return one == word; });
}

/// Whether `path` is `prefix` and one more word, `word` or an alias of it.
bool isChild(std::string_view path, std::string_view aliases, const std::string &prefix, const std::string &word)
{
    const std::string_view last = lastWord(path);
    const std::string_view parent =
        path.size() == last.size() ? std::string_view() : path.substr(0, path.size() - last.size() - 1);
    return parent == prefix && (last == word || hasWord(aliases, word));
}

std::vector<std::string_view> childrenOf(const std::string &prefix)
{
    std::vector<std::string_view> names;
    const auto add = [&](std::string_view path) {
        if (isChild(path, {}, prefix, std::string(lastWord(path))))
            names.push_back(lastWord(path));
    };
    for (const Command &command : commands())
        add(command.path);
    for (const CommandGroup &group : commandGroups())
        add(group.path);
    return names;
}

Error unknownCommand(const std::string &prefix, const std::string &word)
{
    const std::string where = prefix.empty() ? "lxmgr" : "lxmgr " + prefix;
    const auto meant = nearest(word, childrenOf(prefix));
    return Error(Code::Usage, where + " has no command " + quoted(word))
        .hint(meant ? "did you mean '" + where + " " + *meant + "'?" : "'" + where + " --help' lists them");
}

bool isFlag(const CLI::Option *option) { return !option->get_lnames().empty(); }

Error unknownFlag(const CLI::App &app, const std::string &name)
{
    std::vector<std::string> known;
    for (const CLI::Option *option : app.get_options(isFlag))
        known.push_back("--" + option->get_lnames().front());
    const std::vector<std::string_view> views(known.begin(), known.end());
    const auto meant = name.starts_with("--") ? nearest(name, views) : std::nullopt;
    return Error(Code::Usage, app.get_name() + " has no flag " + quoted(name))
        .hint(meant ? "did you mean '" + *meant + "'?" : "'" + app.get_name() + " --help' lists them");
}

/// `last` is the argument that a flag's value should have followed.
Error missingValue(const CLI::App &app, const std::string &last)
{
    const std::string name = last.starts_with("--") ? last : std::string{'-', last.back()};
    const CLI::Option *flag = app.get_option_no_throw(name);
    return Error(Code::Usage,
                 "'" + name + "' needs a value: " + name + " <" + (flag ? flag->get_type_name() : "value") + ">");
}

/// CLI11 takes the next argument for the value of "--name=" and keeps the "=" of "-x=value". A NUL, which no argument
/// can hold, stands behind the one and before the other until CLI11 is done.
std::string marked(std::string text)
{
    const std::size_t equals = text.find('=');
    if (text.starts_with("--") && equals == text.size() - 1)
        text.push_back('\0');
    else if (text.starts_with('-') && equals == 2)
        text.insert(equals, 1, '\0');
    return text;
}

std::string unmarked(std::string text)
{
    if (text.starts_with(std::string_view("\0=", 2)))
        return text.substr(2);
    std::erase(text, '\0');
    return text;
}

void addFlags(CLI::App &app, std::span<const Flag> flags)
{
    for (const Flag &flag : flags)
        if (const std::string names(flag.names); flag.value.empty())
            app.add_flag(names);
        else
            app.add_option(names)->type_name(std::string(flag.value))->take_all()->expected(1);
}

Status takeFlags(const CLI::App &app, Arguments &arguments)
{
    for (const CLI::Option *option : app.get_options(isFlag))
        for (const std::string &value : option->results()) {
            const std::string &name = option->get_lnames().front();
            const bool isSwitch = option->get_items_expected_max() == 0;
            if (isSwitch && value != "true")
                return Error(Code::Usage, "'--" + name + "' takes no value");
            arguments.flags[name].push_back(isSwitch ? "" : unmarked(value));
        }
    return {};
}

/// The words before a tail, and what CLI11 has no place for: words, the first "--", unknown flags, a tail as it stands.
Status takeWords(const CLI::App &app, Arguments &arguments)
{
    if (const CLI::Option *before = app.get_option_no_throw("words"))
        std::ranges::transform(before->results(), std::back_inserter(arguments.words), unmarked);
    bool mayBeFlag = true;
    for (const std::string &text : app.remaining()) {
        const bool dash = mayBeFlag && text.size() > 1 && text[0] == '-';
        if (dash && text != "--")
            return unknownFlag(app, text.substr(0, text[1] == '-' ? text.find('=') : 2));
        if (!dash)
            arguments.words.push_back(unmarked(text));
        mayBeFlag = mayBeFlag && !dash && !app.get_prefix_command();
    }
    return {};
}

Result<Arguments> readArguments(const std::string &where, const Command *command, std::span<const std::string> given)
{
    CLI::App app("", where);
    app.set_help_flag(); // ours is a row like others
    app.allow_extras();
    // Only one command's flags: building the whole tree would cost every start.
    addFlags(app, command ? flagsOf(*command) : std::span<const Flag>());
    addFlags(app, globalFlags());
    if (const auto tail = command ? wordCount(command->arguments).tailFrom : std::nullopt) {
        app.add_option("words")->take_all()->expected(static_cast<int>(*tail));
        app.prefix_command();
    }
    std::vector<std::string> backwards;
    std::ranges::transform(given.rbegin(), given.rend(), std::back_inserter(backwards), marked);
    try {
        app.parse(std::move(backwards));
    } catch (const CLI::ArgumentMismatch &) {
        return missingValue(app, given.back());
    } catch (const CLI::Error &error) {
        return Error(Code::Usage, where + ": " + error.what());
    }
    Arguments arguments;
    TRY(takeWords(app, arguments));
    TRY(takeFlags(app, arguments));
    return arguments;
}

Globals takeGlobals(Arguments &arguments)
{
    Globals globals;
    globals.quiet = arguments.has("quiet");
    globals.debug = arguments.has("debug");
    globals.help = arguments.has("help");
    globals.project = arguments.value("project", "");
    for (const Flag &flag : globalFlags())
        arguments.flags.erase(std::string(longName(flag)));
    return globals;
}

Status checkCount(const Command &command, const Arguments &arguments)
{
    const WordCount count = wordCount(command.arguments);
    const std::string usage = "lxmgr " + std::string(command.path) + " " + std::string(command.arguments);
    // "--all" stands for the names it replaces.
    const bool all = arguments.has("all");
    if (arguments.words.size() < count.least && !all)
        return Error(Code::Usage, "something is missing: " + usage)
            .hint("'lxmgr " + std::string(command.path) + " --help' has examples");
    if (arguments.words.size() > count.most)
        return Error(
            Code::Usage,
            quoted(arguments.words[count.most]) + " is too much: " +
                (command.arguments.empty() ? "lxmgr " + std::string(command.path) + " takes no arguments" : usage));
    // "start --all b:" is every instance of another host.
    if (all && !std::ranges::all_of(arguments.words, [](const std::string &word) { return word.ends_with(':'); }))
        return Error(Code::Usage, "either names or --all, not both");
    return {};
}

/// Global flags may come before the command; "--version" is a command by another name.
std::vector<std::string> commandFirst(const std::vector<std::string> &arguments)
{
    std::vector<std::string> before;
    std::size_t at = 0;
    while (at < arguments.size() && arguments[at].starts_with('-')) {
        if (arguments[at] == "--version")
            return {"version"};
        before.push_back(arguments[at]);
        if (arguments[at++] == "--project" && at < arguments.size())
            before.push_back(arguments[at++]);
    }
    std::vector<std::string> sorted(arguments.begin() + static_cast<std::ptrdiff_t>(at), arguments.end());
    const std::size_t pathWords = [&] {
        const Result<Resolved> resolved = resolve(sorted);
        return resolved ? resolved->words : sorted.size();
    }();
    sorted.insert(sorted.begin() + static_cast<std::ptrdiff_t>(pathWords), before.begin(), before.end());
    return sorted;
}

} // namespace

Result<Resolved> resolve(const std::vector<std::string> &words)
{
    Resolved found;
    std::string_view otherwise;
    for (const std::string &word : words) {
        if (word.starts_with('-')) {
            // "export --instance-only web1": flags of the command that is meant, unless help or another one follows.
            const bool named = std::ranges::any_of(words, [&](const std::string &other) {
                return other == "-h" || other == "--help" || std::ranges::any_of(commands(), [&](const Command &one) {
                           return isChild(one.path, one.aliases, found.path, other);
                       });
            });
            if (!otherwise.empty() && !named) {
                found.path += " " + std::string(otherwise);
                found.command = &*std::ranges::find(commands(), found.path, &Command::path);
            }
            return found;
        }
        for (const Command &command : commands()) {
            if (isChild(command.path, command.aliases, found.path, word)) {
                found.command = &command;
                found.path = command.path;
                ++found.words;
                return found;
            }
        }
        const auto group = std::ranges::find_if(
            commandGroups(), [&](const CommandGroup &one) { return isChild(one.path, one.aliases, found.path, word); });
        if (group == commandGroups().end() && !otherwise.empty()) {
            found.path += " " + std::string(otherwise);
            found.command = &*std::ranges::find(commands(), found.path, &Command::path);
            return found;
        }
        if (group == commandGroups().end())
            return unknownCommand(found.path, word);
        otherwise = group->otherwise;
        found.path = group->path;
        ++found.words;
    }
    return found;
}

Result<Invocation> parseCommandLine(const std::vector<std::string> &given)
{
    const std::vector<std::string> arguments = commandFirst(given);
    const Resolved resolved = TRY(resolve(arguments));
    const std::string where = resolved.path.empty() ? "lxmgr" : "lxmgr " + resolved.path;
    Invocation invocation;
    invocation.arguments = TRY(readArguments(where, resolved.command, std::span(arguments).subspan(resolved.words)));
    invocation.globals = takeGlobals(invocation.arguments);
    if (!resolved.command || invocation.globals.help) {
        if (!resolved.command && !invocation.globals.help && !resolved.path.empty()) {
            std::vector<std::string> names;
            for (const std::string_view name : childrenOf(resolved.path))
                names.emplace_back(name);
            return Error(Code::Usage, where + " needs one of: " + join(names, ", "));
        }
        invocation.globals.help = true;
        invocation.topic = resolved.path;
        return invocation;
    }
    invocation.command = resolved.command;
    TRY(checkCount(*resolved.command, invocation.arguments));
    return invocation;
}

} // namespace lxmgr::cli
