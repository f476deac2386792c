#include "cli/docs.h"

#include "api/warnings.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/handlers.h"
#include "cli/help.h"
#include "cli/output.h"
#include "config/keys.h"
#include "config/network_keys.h"
#include "version.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace lxmgr::cli
{

namespace
{

/// Text as roff takes it literally: backslashes, hyphens that must stay hyphens, control characters at a line's start.
std::string roff(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        if (c == '\\')
            out.append("\\e");
        else if (c == '-')
            out.append("\\-");
        else if (c == '\'')
            out.append("\\(aq");
        else if (c == '.' && (out.empty() || out.back() == '\n'))
            out.append("\\&.");
        else
            out.push_back(c);
    }
    return out;
}

/// A tagged paragraph: term and what it means.
std::string term(std::string_view name, std::string_view meaning)
{
    return ".TP\n.B " + roff(name) + "\n" + roff(meaning) + "\n";
}

std::string flagTerms(std::span<const Flag> flags)
{
    std::string text;
    for (const Flag &flag : flags)
        text.append(term(trimmed(flagUsage(flag)),
                         std::string(flag.help) + (flag.repeat == Repeat::Yes ? " May be given again." : "")));
    return text;
}

std::string commandSection(const Command &command)
{
    std::string text = ".SS " + roff(usageLine(command)) + "\n" + roff(command.summary) + ".\n";
    for (const std::string &paragraph : split(command.description, '\n'))
        if (!paragraph.empty())
            text.append(".PP\n").append(roff(paragraph)).append("\n");
    if (!command.aliases.empty())
        text.append(".PP\nAlso: ").append(roff(join(split(command.aliases, ','), ", "))).append("\n");
    text.append(flagTerms(flagsOf(command)));
    text.append(".PP\nExamples:\n");
    for (const Example &example : examplesOf(command)) {
        text.append(".PP\n.RS 4\n.nf\n").append(roff(example.line)).append("\n.fi\n.RE\n");
        if (!example.what.empty())
            text.append(".RS 8\n").append(roff(example.what)).append("\n.RE\n");
    }
    return text;
}

std::string commandTable()
{
    std::string text;
    for (const Command &command : commands())
        text.append(commandSection(command));
    return text;
}

std::string commandList()
{
    std::string text;
    for (const Command &command : commands())
        text.append(term(command.path, std::string(command.summary) + "."));
    return text;
}

std::string globalFlagTable() { return flagTerms(globalFlags()); }

std::string columnTable()
{
    std::string text;
    for (const ColumnSet &set : columnSets()) {
        text.append(".SS lxmgr ")
            .append(roff(set.command))
            .append("\nWithout \\-c: ")
            .append(roff(set.standard))
            .append("\n");
        for (const ColumnInfo &column : set.columns)
            text.append(term(std::string(1, column.letter) + "  " + std::string(column.title), column.meaning));
    }
    return text;
}

/// What a key takes, when a change acts, and its value without one.
std::string keyTerm(const config::KeyInfo &key)
{
    std::string meaning = std::string(key.summary) + " (" + std::string(key.type);
    if (!key.defaultText.empty())
        meaning.append("; without: ").append(key.defaultText);
    meaning.append(key.apply == config::Apply::Restart ? "; from the next start)" : ")");
    return term(key.name, meaning);
}

std::string deviceKeyTable()
{
    std::string text;
    std::string_view group;
    for (const config::KeyInfo &key : config::allKeys()) {
        if (key.group == "instance" || key.group == "pool" || key.group == "volume" || key.group == "server" || key.group == "project")
            continue;
        if (key.group != group)
            text.append(".SS ").append(roff(key.group)).append("\n");
        group = key.group;
        text.append(keyTerm(key));
    }
    return text;
}

std::string keyTable(std::string_view group)
{
    std::string text;
    for (const config::KeyInfo &key : config::allKeys())
        if (key.group == group)
            text.append(keyTerm(key));
    return text;
}
std::string networkKeyTable()
{
    std::string text;
    for (const config::NetworkKeyText &key : config::kNetworkKeys)
        text.append(term(key.name, std::string(key.summary) + (key.fallback.empty() ? "" : " (without: " + std::string(key.fallback) + ")")));
    text += term("tunnel.<name>.*", "A way to the same network on other hosts: protocol (gre or vxlan), local and remote (addresses of two hosts). With vxlan "
                                    "also id, group and interface (a multicast group, without: 239.0.0.1, in place of remote), port (without: 8472) and ttl (without: 1).");
    return text + term("user.*", "Free text for people and tools.");
}
std::string instanceKeyTable() { return keyTable("instance"); }
std::string poolKeyTable() { return keyTable("pool"); }
std::string projectKeyTable() { return keyTable("project"); }
std::string serverKeyTable() { return keyTable("server"); }
std::string volumeKeyTable() { return keyTable("volume"); }

std::string exitTable()
{
    std::string text = term("0", "Done.");
    std::vector<CodeInfo> codes(std::begin(kCodes), std::end(kCodes));
    std::ranges::sort(codes, {}, &CodeInfo::exitStatus);
    for (const CodeInfo &code : codes)
        text.append(term(std::to_string(code.exitStatus) + "  " + std::string(code.name), code.meaning));
    return text;
}

std::string warningTable()
{
    std::string text;
    for (const api::WarningInfo &warning : api::kWarningTypes)
        text.append(term(warning.name, std::string(warning.meaning) + " (" + std::string(warning.severity) + ")"));
    return text;
}

struct Variable {
    std::string_view name;
    std::string_view meaning;
};
constexpr Variable kVariables[] = {
    {"LXMGR_DIR", "Where state lies: database, pools, images, logs. Default /var/lib/lxmgr."},
    {"LXMGR_RUN_DIR", "Where sockets lie. Default /run/lxmgr, or run below LXMGR_DIR where that is set."},
    {"LXMGR_CONFIG_DIR", "Where the administrator's templates and profiles lie. Default /etc/lxmgr."},
    {"LXMGR_DATA_DIR", "Where shipped templates, keys and profiles lie."},
    {"LXMGR_CGROUP", "The control group that everything of lxmgr is below. Default lxmgr."},
    {"LXMGRD", "The daemon to start where none runs."},
    {"LXMGR_PROJECT", "The project that is worked in without --project; without it the one of 'lxmgr project switch'."},
    {"LXMGR_REMOTE", "The remote that is meant where none is named; without it the one of 'lxmgr remote switch'."},
    {"LXMGR_CONF", "The folder of the remotes and of this client's certificate. Default ~/.config/lxmgr."},
    {"LXMGR_AUTOSTART", "no: start no daemon, fail where none runs."},
    {"LXMGR_MONITOR", "The monitor program."},
    {"VISUAL, EDITOR", "The editor of the edit commands; vi without."},
};
constexpr Variable kFiles[] = {
    {"~/.config/lxmgr/config.yml", "The remotes, and which is the default; for the user alone."},
    {"~/.config/lxmgr/servercerts/", "The certificates of remotes that were agreed on: <remote>.crt."},
    {"~/.config/lxmgr/client.crt, client.key", "What this client shows to other hosts; made at its first use."},
    {"/run/lxmgr/unix.socket", "The daemon's socket. Whoever may write to it is root on this machine."},
    {"/var/lib/lxmgr/lxmgr.db", "What is wanted: instances, profiles, images, networks, pools."},
    {"/var/lib/lxmgr/lxmgr.db.day-<date>.bak", "Checked copies of it, one a day, of the last seven days."},
    {"/var/lib/lxmgr/clock", "The last time that was believed: a clock that is suddenly a day ahead of it lets nothing expire for an hour."},
    {"/var/lib/lxmgr/logs/lxmgrd.log", "What the daemon printed, where the client started it."},
    {"/var/lib/lxmgr/logs/<instance>/", "Log and console of an instance."},
    {"/var/lib/lxmgr/storage-pools/", "Root disks and images."},
    {"/var/lib/lxmgr/disks/<pool>.img", "The file system of a pool that is in a file."},
    {"/etc/lxmgr/templates.d/*.yaml", "Templates of your own, and mirrors for the shipped ones."},
};

std::string variables(std::span<const Variable> rows)
{
    std::string text;
    for (const Variable &row : rows)
        text.append(term(row.name, row.meaning));
    return text;
}
std::string environmentTable() { return variables(kVariables); }
std::string fileTable() { return variables(kFiles); }

struct DocTable {
    std::string_view name;
    std::string (*make)();
};
constexpr DocTable kTables[] = {
    {"commands",      &commandTable    },
    {"command-list",  &commandList     },
    {"global-flags",  &globalFlagTable },
    {"columns",       &columnTable     },
    {"instance-keys", &instanceKeyTable},
    {"device-keys",   &deviceKeyTable  },
    {"network-keys",  &networkKeyTable },
    {"pool-keys",     &poolKeyTable    },
    {"volume-keys",   &volumeKeyTable  },
    {"project-keys",  &projectKeyTable },
    {"server-keys",   &serverKeyTable  },
    {"exit-statuses", &exitTable       },
    {"warnings",      &warningTable    },
    {"environment",   &environmentTable},
    {"files",         &fileTable       },
};

std::string replaced(std::string text, std::string_view from, std::string_view to)
{
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
    return text;
}

} // namespace

std::vector<std::string_view> docTables()
{
    std::vector<std::string_view> names;
    for (const DocTable &table : kTables)
        names.push_back(table.name);
    return names;
}

Result<std::string> docTable(std::string_view name)
{
    for (const DocTable &table : kTables)
        if (table.name == name)
            return table.make();
    std::vector<std::string> names;
    for (const std::string_view known : docTables())
        names.emplace_back(known);
    return Error(Code::Usage, "no table is called " + quoted(name) + ": " + join(names, ", "));
}

Result<std::string> fillPage(std::string_view page)
{
    std::string out;
    std::size_t number = 0;
    std::vector<std::string> lines = split(page, '\n');
    if (!lines.empty() && lines.back().empty())
        lines.pop_back();
    for (const std::string &line : lines) {
        ++number;
        if (line.starts_with("@TABLE ") && line.ends_with('@'))
            out.append(TRY_IN("line " + std::to_string(number), docTable(line.substr(7, line.size() - 8))));
        else
            out.append(replaced(line, "@VERSION@", LXMGR_VERSION)).append("\n");
    }
    return out;
}

Result<int> docs(Context &context, const Arguments &arguments)
{
    const std::string path = arguments.word(0);
    if (path == "openapi") {
        context.print(openApi());
        return 0;
    }
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file)
        return Error::fromErrno(errno, "open", path).as(errno == ENOENT ? Code::NotFound : Code::Internal);
    std::string text;
    char buffer[65536];
    for (ssize_t got = 0; (got = ::read(file.get(), buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<std::size_t>(got));
    context.print(TRY_IN(path, fillPage(text)));
    return 0;
}

} // namespace lxmgr::cli
