#include "cli/help.h"

#include "api/server.h"
#include "base/text.h"
#include "cli/handlers.h"
#include "cli/output.h"
#include "cli/parse.h"
#include "version.h"

#include <algorithm>

namespace lxmgr::cli
{

namespace
{

/// Two columns, the second wrapped.
std::string entry(std::string_view left, std::string_view right, std::size_t leftWidth)
{
    std::string text = "  " + std::string(left);
    if (left.size() > leftWidth)
        text.append("\n").append(leftWidth + 4, ' ');
    else
        text.append(leftWidth + 2 - left.size(), ' ');
    return text.append(trimmed(wrapped(right, leftWidth + 4))).append("\n");
}

std::string flagList(std::span<const Flag> flags)
{
    std::string text;
    for (const Flag &flag : flags)
        text.append(entry(flagUsage(flag),
                          std::string(flag.help) + (flag.repeat == Repeat::Yes ? " May be given again." : ""), 30));
    return text;
}

std::string columnList(const Command &command)
{
    std::string text;
    for (const ColumnSet &set : columnSets()) {
        if (set.command != command.path)
            continue;
        text.append("\nColumns (without -c: ").append(set.standard).append("):\n");
        for (const ColumnInfo &column : set.columns)
            text.append(entry(std::string(1, column.letter) + "  " + std::string(column.title), column.meaning, 20));
    }
    return text;
}

std::string commandHelp(const Command &command)
{
    std::string text = usageLine(command) + "\n\n" + std::string(command.summary) + ".\n";
    if (!command.description.empty())
        text.append("\n").append(wrapped(command.description, 0)).append("\n");
    if (!command.aliases.empty())
        text.append("\nAlso: ").append(join(split(command.aliases, ','), ", ")).append("\n");
    text.append("\nExamples:\n");
    for (const Example &example : examplesOf(command)) {
        text.append("  ").append(example.line).append("\n");
        if (!example.what.empty())
            text.append(wrapped(example.what, 6)).append("\n");
    }
    if (!flagsOf(command).empty())
        text.append("\nFlags:\n").append(flagList(flagsOf(command)));
    text.append(columnList(command));
    return text.append("\nFlags of every command:\n").append(flagList(globalFlags()));
}

std::string groupHelp(std::string_view path)
{
    std::string text;
    for (const CommandGroup &group : commandGroups())
        if (group.path == path)
            text.append("lxmgr ")
                .append(path)
                .append(" <command>\n\n")
                .append(group.summary)
                .append(".\n\nCommands:\n");
    for (const Command &command : commands())
        if (command.path.starts_with(std::string(path) + " "))
            text.append(entry(command.path, command.summary, 24));
    return text.append("\n'lxmgr ").append(path).append(" <command> --help' shows arguments and examples.\n");
}

/// One line a command, families as one line each.
std::string overview()
{
    std::string text = "lxmgr <command>\n\nWhole Linux systems in containers: launch, enter, limit and remove them.\n";
    std::string title;
    std::vector<std::string> families;
    for (const Command &command : commands()) {
        if (title != groupTitle(command.group)) {
            title = groupTitle(command.group);
            text.append("\n").append(title).append(":\n");
        }
        const std::string family(command.path.substr(0, command.path.find(' ')));
        if (family == command.path) {
            text.append(entry(command.path, command.summary, 14));
        } else if (std::ranges::find(families, family) == families.end()) {
            families.push_back(family);
            for (const CommandGroup &group : commandGroups())
                if (group.path == family)
                    text.append(entry(family + " ...", group.summary, 14));
        }
    }
    text.append("\nFlags of every command:\n").append(flagList(globalFlags()));
    return text.append("\nFirst steps:\n  lxmgr launch debian web1     a Debian of your own, in a moment\n"
                       "  lxmgr shell web1             go in\n  lxmgr list                   what there is\n"
                       "\n'lxmgr <command> --help' shows arguments and examples; lxmgr(1) is the manual.\n");
}

} // namespace

std::string wrapped(std::string_view text, std::size_t indent, std::size_t width)
{
    std::string out;
    for (const std::string &paragraph : split(text, '\n')) {
        std::string line;
        const auto finish = [&] {
            out.append(out.empty() ? "" : "\n").append(line.empty() ? 0 : indent, ' ').append(line);
            line.clear();
        };
        for (const std::string &word : words(paragraph)) {
            if (!line.empty() && indent + line.size() + 1 + word.size() > width)
                finish();
            line.append(line.empty() ? "" : " ").append(word);
        }
        finish();
    }
    return out;
}

std::string flagUsage(const Flag &flag)
{
    std::string text;
    const std::vector<std::string> names = split(flag.names, ',');
    text.append(names.size() == 1 ? "    " : "").append(join(names, ", "));
    if (!flag.value.empty())
        text.append(" <").append(flag.value).append(">");
    return text;
}

std::string usageLine(const Command &command)
{
    std::string text = "lxmgr " + std::string(command.path);
    if (!command.arguments.empty())
        text.append(" ").append(command.arguments);
    return flagsOf(command).empty() ? text : text + " [<flag>...]";
}

std::string helpText(std::string_view path)
{
    if (path.empty())
        return overview();
    for (const Command &command : commands())
        if (command.path == path)
            return commandHelp(command);
    return groupHelp(path);
}

Result<int> help(Context &context, const Arguments &arguments)
{
    const Resolved resolved = TRY(resolve(arguments.words));
    context.print(helpText(resolved.path));
    return 0;
}

Result<int> version(Context &context, const Arguments &)
{
    context.printLine("Client version: " LXMGR_VERSION);
    client::Client &client = context.client();
    client.setAutostart(client::Client::Autostart::No);
    const Result<api::Server> server = client.get<api::Server>("/1.0");
    if (server && server->environment)
        context.printLine("Server version: " + escaped(server->environment->serverVersion));
    else
        context.printLine("Server version: unreachable" + (server ? "" : " (" + server.error().message + ")"));
    return 0;
}

} // namespace lxmgr::cli
