// GNU conventions: --name=value, --name value, -xvalue, -xyz, "--" ends the flags; flags and words in any order, except
// that a command with a tail (exec) leaves everything from its tail on to the other program.
#include "cli/parse.h"

#include "base/text.h"

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

/// Reads the flags and words of one command.
class Reader
{
public:
    Reader(std::string where, std::span<const Flag> own, WordCount count)
        : m_where(std::move(where)), m_own(own), m_count(count)
    {
    }

    Status read(const std::vector<std::string> &arguments, std::size_t from)
    {
        for (m_at = from; m_at < arguments.size();) {
            const std::string &text = arguments[m_at++];
            const bool flag = text.size() > 1 && text[0] == '-';
            if (text == "--")
                return takeRest(arguments);
            if (!flag && m_count.tailFrom && m_words.size() >= *m_count.tailFrom) {
                --m_at;
                return takeRest(arguments);
            }
            if (!flag)
                m_words.push_back(text);
            else if (text[1] == '-')
                TRY(readLong(arguments, text));
            else
                TRY(readShort(arguments, text));
        }
        return {};
    }

    Arguments take() { return {std::move(m_words), std::move(m_flags)}; }

private:
    Status takeRest(const std::vector<std::string> &arguments)
    {
        m_words.insert(m_words.end(), arguments.begin() + static_cast<std::ptrdiff_t>(m_at), arguments.end());
        m_at = arguments.size();
        return {};
    }

    const Flag *find(std::string_view name) const
    {
        for (const std::span<const Flag> list : {m_own, globalFlags()})
            for (const Flag &flag : list)
                if (hasWord(flag.names, name))
                    return &flag;
        return nullptr;
    }

    Error unknown(const std::string &name) const
    {
        std::vector<std::string> known;
        for (const std::span<const Flag> list : {m_own, globalFlags()})
            for (const Flag &flag : list)
                known.push_back("--" + std::string(longName(flag)));
        const std::vector<std::string_view> views(known.begin(), known.end());
        const auto meant = name.starts_with("--") ? nearest(name, views) : std::nullopt;
        return Error(Code::Usage, m_where + " has no flag " + quoted(name))
            .hint(meant ? "did you mean '" + *meant + "'?" : "'" + m_where + " --help' lists them");
    }

    Status readLong(const std::vector<std::string> &arguments, const std::string &text)
    {
        const std::size_t equals = text.find('=');
        const std::string name = text.substr(0, equals);
        const Flag *flag = find(name);
        if (!flag)
            return unknown(name);
        if (flag->value.empty() && equals != std::string::npos)
            return Error(Code::Usage, "'" + name + "' takes no value");
        if (flag->value.empty())
            return add(*flag, {});
        return equals != std::string::npos ? add(*flag, text.substr(equals + 1)) : addNext(*flag, name, arguments);
    }

    Status readShort(const std::vector<std::string> &arguments, const std::string &text)
    {
        for (std::size_t i = 1; i < text.size(); ++i) {
            const std::string name = {'-', text[i]};
            const Flag *flag = find(name);
            if (!flag)
                return unknown(name);
            if (flag->value.empty()) {
                TRY(add(*flag, {}));
                continue;
            }
            if (i + 1 == text.size())
                return addNext(*flag, name, arguments);
            return add(*flag, text.substr(text[i + 1] == '=' ? i + 2 : i + 1));
        }
        return {};
    }

    Status addNext(const Flag &flag, const std::string &name, const std::vector<std::string> &arguments)
    {
        if (m_at == arguments.size())
            return Error(Code::Usage, "'" + name + "' needs a value: " + name + " <" + std::string(flag.value) + ">");
        return add(flag, arguments[m_at++]);
    }

    Status add(const Flag &flag, std::string value)
    {
        m_flags[std::string(longName(flag))].push_back(std::move(value));
        return {};
    }

    std::string m_where;
    std::span<const Flag> m_own;
    WordCount m_count;
    std::size_t m_at = 0;
    std::vector<std::string> m_words;
    std::map<std::string, std::vector<std::string>, std::less<>> m_flags;
};

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
    if (all && !arguments.words.empty())
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
    for (const std::string &word : words) {
        if (word.starts_with('-'))
            break;
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
        if (group == commandGroups().end())
            return unknownCommand(found.path, word);
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
    Reader reader(where, resolved.command ? flagsOf(*resolved.command) : std::span<const Flag>(),
                  resolved.command ? wordCount(resolved.command->arguments) : WordCount{});
    TRY(reader.read(arguments, resolved.words));
    invocation.arguments = reader.take();
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
