#include "storage/zfs_command.h"

#include "base/text.h"
#include "kernel/program.h"
#include "storage/program_meaning.h"

#include <algorithm>

namespace lxmgr::storage::zfs
{

namespace
{

/// The first that is found counts.
constexpr Meaning kMeanings[] = {
    {"modules cannot be auto-loaded",       Code::Unsupported,   "install zfs-dkms, or the kernel's own package of the module"},
    {"modules are not loaded",              Code::Unsupported,   "modprobe zfs"                                               },
    {"/dev/zfs",                            Code::Unsupported,   "modprobe zfs"                                               },
    {"already exists",                      Code::AlreadyExists, ""                                                           },
    {"does not exist",                      Code::NotFound,      ""                                                           },
    {"could not find any snapshots",        Code::NotFound,      ""                                                           },
    {"no such pool",                        Code::NotFound,      ""                                                           },
    {"no such device",                      Code::NotFound,      ""                                                           },
    {"out of space",                        Code::NoSpace,       ""                                                           },
    {"quota exceeded",                      Code::NoSpace,       ""                                                           },
    {"size is less than current used",      Code::WrongState,    "more is stored than that"                                   },
    {"size is greater than available",      Code::NoSpace,       ""                                                           },
    {"is busy",                             Code::WrongState,    ""                                                           },
    {"has dependent clones",                Code::WrongState,    ""                                                           },
    {"has children",                        Code::WrongState,    ""                                                           },
    {"name is reserved",                    Code::Invalid,       "zfs.pool_name=… is another name"                            },
    {"previously in use from another",      Code::WrongState,    "is it in use there? else: zpool import -f, then zpool export"},
    {"use '-f' to override",                Code::WrongState,    ""                                                           },
    {"is part of",                          Code::WrongState,    ""                                                           },
    {"permission denied",                   Code::Forbidden,     ""                                                           },
    {"invalid",                             Code::Invalid,       ""                                                           },
    {"too small",                           Code::Invalid,       ""                                                           },
};

/// All on one line, without what it says about its own options.
std::string onOneLine(std::string_view said)
{
    std::string text;
    for (const std::string &line : split(said, '\n')) {
        const std::string_view words = trimmed(line);
        if (words.empty() || words.starts_with("use '-") || words.starts_with("Try running"))
            continue;
        text.append(text.empty() ? "" : "; ").append(words);
    }
    return escaped(text);
}

} // namespace

Error errorOf(std::string_view program, std::string_view said)
{
    return meant(std::string(program) + ": " + onOneLine(said), said, kMeanings);
}

Result<std::string> run(std::string_view program, const std::vector<std::string> &words)
{
    auto path = program::find(std::string(program));
    if (!path)
        return std::move(path.error()).as(Code::Unsupported).hint("install zfsutils-linux");
    std::vector<std::string> command{std::move(*path)};
    command.insert(command.end(), words.begin(), words.end());
    program::Output output = TRY(program::run(command, {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, program::Errors::Apart));
    if (output.status == 0)
        return std::move(output.text);
    return errorOf(program, output.errors.empty() ? output.text : output.errors);
}

Status command(std::string_view program, const std::vector<std::string> &words)
{
    (void)TRY(run(program, words));
    return {};
}

Result<std::vector<std::vector<std::string>>> parseRows(std::string_view text, std::size_t columns)
{
    std::vector<std::vector<std::string>> rows;
    for (const std::string &line : split(text, '\n')) {
        if (line.empty())
            continue;
        rows.push_back(split(line, '\t'));
        if (columns != 0 && rows.back().size() != columns)
            return Error(Code::Corrupt, "zfs lists " + quoted(line) + " where " + std::to_string(columns) +
                                            " columns were asked for");
    }
    return rows;
}

Result<std::uint64_t> parseNumber(std::string_view text)
{
    if (text == "-" || text == "none")
        return 0;
    return parseUnsigned(text);
}

Status checkDatasetName(std::string_view name)
{
    // zfs(8): at most 255 bytes; components of letters, digits and "-_.: "; what has a blank would need care in a shell.
    const auto isGood = [](const std::string &part) {
        const auto fits = [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   std::string_view("-_.:").find(c) != std::string_view::npos;
        };
        return !part.empty() && part != "." && part != ".." && std::ranges::all_of(part, fits);
    };
    const std::vector<std::string> parts = split(name, '/');
    const char first = name.empty() ? '\0' : name.front();
    const bool letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
    // The longest that we put below it is "/trees/custom/" and two ids with an "@" between.
    if (letter && name.size() <= 180 && std::ranges::all_of(parts, isGood))
        return {};
    return Error(Code::Invalid, quoted(name) + " is not the name of a zfs dataset (pool/name/…: a letter first, then "
                                               "letters, digits, '-', '_', '.' and ':', at most 180 bytes)");
}

} // namespace lxmgr::storage::zfs
