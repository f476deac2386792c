#include "cli/completion.h"

#include "base/text.h"
#include "cli/handlers.h"
#include "config/keys.h"
#include "cli/context.h"

#include <algorithm>
#include <map>
#include <set>

namespace lxmgr::cli
{

namespace
{

/// Where the words of a kind of argument come from: a command whose output is one name a line.
struct Names {
    std::string_view argument;
    std::string_view command;
};
constexpr Names kNames[] = {
    {"instance", "lxmgr list -c n -f csv --fast"},
    {"image", "lxmgr image alias list -c a -f csv"},
    {"alias", "lxmgr image alias list -c a -f csv"},
    {"profile", "lxmgr profile list -c n -f csv"},
    {"project", "lxmgr project list -c n -f csv"},
    {"network", "lxmgr network list -c n -f csv"},
    {"pool", "lxmgr storage list -c n -f csv"},
    {"operation", "lxmgr operation list -c i -f csv"},
    {"template", "lxmgr template list -f csv"},
    {"number", "lxmgr undo list -c i -f csv"},
    {"remote", "lxmgr remote list -c n -f csv"},
};

/// "<instance>..." → "instance", "<instance>/<path>" → "instance"
std::string argumentName(std::string_view word)
{
    const std::size_t from = word.find('<');
    return from == std::string_view::npos ? std::string()
                                          : std::string(word.substr(from + 1, word.find('>', from) - from - 1));
}

std::string flagWords(const Command &command)
{
    std::string text;
    for (const std::span<const Flag> list : {flagsOf(command), globalFlags()})
        for (const Flag &flag : list)
            for (const std::string &name : split(flag.names, ','))
                if (name.starts_with("--"))
                    text.append(text.empty() ? "" : " ").append(name);
    return text;
}

/// The first argument that can be listed; commands that take several take several of it.
std::string_view namesOf(const Command &command)
{
    for (const std::string &word : words(command.arguments))
        for (const Names &names : kNames)
            if (names.argument == argumentName(word) && word.find(">:") == std::string::npos)
                return names.command;
    return {};
}

/// Keys of the configuration, for the commands that take some.
std::string keysOf(const Command &command)
{
    std::string text;
    if (command.path != "config get" && command.path != "config set" && command.path != "config unset")
        return text;
    for (const config::KeyInfo &key : config::allKeys())
        if (key.group == "instance" && !key.name.ends_with('*'))
            text.append(text.empty() ? "" : " ").append(key.name);
    return text;
}

/// What may follow each path: "" → launch, config, ...; "config" → get, set, ...
std::map<std::string, std::set<std::string>> tree()
{
    std::map<std::string, std::set<std::string>> children;
    for (const Command &command : commands()) {
        std::string path;
        for (const std::string &word : split(command.path, ' ')) {
            children[path].insert(word);
            path.append(path.empty() ? "" : " ").append(word);
        }
    }
    return children;
}

std::string joined(const std::set<std::string> &items)
{
    const std::vector<std::string> list(items.begin(), items.end());
    return join(list, " ");
}

/// One `case` branch a path, for shells that read like sh.
std::string branches(std::string_view indent)
{
    std::string text;
    for (const auto &[path, children] : tree())
        text.append(indent)
            .append("'")
            .append(path)
            .append("') subcommands='")
            .append(joined(children))
            .append("' ;;\n");
    for (const Command &command : commands()) {
        text.append(indent)
            .append("'")
            .append(command.path)
            .append("') flags='")
            .append(flagWords(command))
            .append("'");
        if (const std::string_view names = namesOf(command); !names.empty())
            text.append(" names='").append(names).append("'");
        if (const std::string keys = keysOf(command); !keys.empty())
            text.append(" keys='").append(keys).append("'");
        text.append(" ;;\n");
    }
    return text;
}

// The path is grown word by word as long as the words are commands; what follows is completed by it.
std::string bash()
{
    std::string text = "# bash completion for lxmgr; made by 'lxmgr completion bash'\n"
                       "_lxmgr_of() {\n    subcommands='' flags='' names='' keys=''\n    case \"$1\" in\n";
    text.append(branches("        "));
    text.append("    esac\n}\n\n"
                "_lxmgr() {\n"
                "    local current=${COMP_WORDS[COMP_CWORD]} path='' subcommands flags names keys word i\n"
                "    _lxmgr_of ''\n"
                "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
                "        word=${COMP_WORDS[i]}\n"
                "        [[ $word == -- ]] && return\n"
                "        [[ $word == -* ]] && continue\n"
                "        [[ \" $subcommands \" == *\" $word \"* ]] || continue\n"
                "        path=\"${path:+$path }$word\"\n"
                "        _lxmgr_of \"$path\"\n"
                "    done\n"
                "    if [[ $current == -* ]]; then\n"
                "        COMPREPLY=($(compgen -W \"$flags\" -- \"$current\"))\n"
                "    elif [[ $subcommands ]]; then\n"
                "        COMPREPLY=($(compgen -W \"$subcommands\" -- \"$current\"))\n"
                "    elif [[ $names ]]; then\n"
                "        COMPREPLY=($(compgen -W \"$keys $(LXMGR_AUTOSTART=no $names 2>/dev/null | cut -d, -f1)\" -- "
                "\"$current\"))\n"
                "    fi\n"
                "}\n"
                "complete -o default -F _lxmgr lxmgr\n");
    return text;
}

std::string zsh()
{
    std::string text = "#compdef lxmgr\n# zsh completion for lxmgr; made by 'lxmgr completion zsh'\n"
                       "_lxmgr_of() {\n    subcommands='' flags='' names='' keys=''\n    case \"$1\" in\n";
    text.append(branches("        "));
    text.append(
        "    esac\n}\n\n"
        "_lxmgr() {\n"
        "    local way='' subcommands flags names keys word i\n"
        "    _lxmgr_of ''\n"
        "    for ((i = 2; i < CURRENT; i++)); do\n"
        "        word=${words[i]}\n"
        "        [[ $word == -- ]] && { _default; return; }\n"
        "        [[ $word == -* ]] && continue\n"
        "        [[ \" $subcommands \" == *\" $word \"* ]] || continue\n"
        "        way=\"${way:+$way }$word\"\n"
        "        _lxmgr_of \"$way\"\n"
        "    done\n"
        "    if [[ ${words[CURRENT]} == -* ]]; then\n"
        "        compadd -- ${=flags}\n"
        "    elif [[ -n $subcommands ]]; then\n"
        "        compadd -- ${=subcommands}\n"
        "    else\n"
        "        [[ -n $keys ]] && compadd -- ${=keys}\n"
        "        [[ -n $names ]] && compadd -- ${(f)\"$(LXMGR_AUTOSTART=no ${=names} 2>/dev/null | cut -d, -f1)\"}\n"
        "        _default\n"
        "    fi\n"
        "}\n\n"
        "# From a folder of $fpath this file is the function's body; sourced, it only defines the function.\n"
        "if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then\n"
        "    _lxmgr \"$@\"\n"
        "else\n"
        "    compdef _lxmgr lxmgr\n"
        "fi\n");
    return text;
}

std::string fishQuoted(std::string_view text)
{
    std::string out = "'";
    for (const char c : text)
        out.append(c == '\'' || c == '\\' ? "\\" : "").append(1, c);
    return out + "'";
}

std::string fish()
{
    std::string text = "# fish completion for lxmgr; made by 'lxmgr completion fish'\n"
                       "function __lxmgr_at\n"
                       "    set -l words (string match -v -- '-*' (commandline -opc)[2..])\n"
                       "    set -l count (count $argv)\n"
                       "    test \"$words[1..$count]\" = \"$argv\" 2>/dev/null\n"
                       "end\n"
                       "function __lxmgr_next\n"
                       "    set -l words (string match -v -- '-*' (commandline -opc)[2..])\n"
                       "    test \"$words\" = \"$argv\"\n"
                       "end\n"
                       "complete -c lxmgr -f\n";
    for (const auto &[path, children] : tree()) {
        for (const std::string &child : children) {
            const std::string full = path.empty() ? child : path + " " + child;
            std::string_view summary;
            for (const Command &command : commands())
                if (command.path == full)
                    summary = command.summary;
            for (const CommandGroup &group : commandGroups())
                if (group.path == full)
                    summary = group.summary;
            text.append("complete -c lxmgr -n ")
                .append(fishQuoted("__lxmgr_next " + path))
                .append(" -a ")
                .append(child)
                .append(" -d ")
                .append(fishQuoted(summary))
                .append("\n");
        }
    }
    for (const Command &command : commands()) {
        const std::string condition = fishQuoted("__lxmgr_at " + std::string(command.path));
        for (const Flag &flag : flagsOf(command)) {
            text.append("complete -c lxmgr -n ").append(condition).append(" -l ").append(longName(flag));
            for (const std::string &name : split(flag.names, ','))
                if (name.size() == 2)
                    text.append(" -s ").append(1, name[1]);
            text.append(flag.value.empty() ? "" : " -r").append(" -d ").append(fishQuoted(flag.help)).append("\n");
        }
        if (const std::string_view names = namesOf(command); !names.empty())
            text.append("complete -c lxmgr -n ")
                .append(condition)
                .append(" -a ")
                .append(fishQuoted("(env LXMGR_AUTOSTART=no " + std::string(names) + " 2>/dev/null | cut -d, -f1)"))
                .append("\n");
        if (const std::string keys = keysOf(command); !keys.empty())
            text.append("complete -c lxmgr -n ").append(condition).append(" -a ").append(fishQuoted(keys)).append("\n");
        if (command.path.starts_with("file ") || command.path == "image import")
            text.append("complete -c lxmgr -n ").append(condition).append(" -F\n");
    }
    return text;
}

} // namespace

Result<std::string> completionScript(std::string_view shell)
{
    if (shell == "bash")
        return bash();
    if (shell == "zsh")
        return zsh();
    if (shell == "fish")
        return fish();
    return Error(Code::Usage, "no completion for " + quoted(shell) + ": bash, zsh or fish");
}

Result<int> completion(Context &context, const Arguments &arguments)
{
    context.print(TRY(completionScript(arguments.word(0))));
    return 0;
}

} // namespace lxmgr::cli
