#include "kernel/mount_call.h"

#include "base/text.h"

#include <algorithm>
#include <cerrno>
#include <linux/mount.h>
#include <sys/mount.h>

namespace lxmgr::mount
{

namespace
{

struct Flag {
    std::uint64_t bit; ///< MS_* of mount(2)
    std::string_view option;
    bool isSuperblocks;  ///< Also for fsconfig(2).
    unsigned attribute;  ///< MOUNT_ATTR_*
};
// clang-format off
constexpr Flag kFlags[] = {
    {MS_RDONLY,      "ro",         true,  MOUNT_ATTR_RDONLY},
    {MS_NOSUID,      "nosuid",     false, MOUNT_ATTR_NOSUID},
    {MS_NODEV,       "nodev",      false, MOUNT_ATTR_NODEV},
    {MS_NOEXEC,      "noexec",     false, MOUNT_ATTR_NOEXEC},
    {MS_SYNCHRONOUS, "sync",       true,  0},
    {MS_DIRSYNC,     "dirsync",    true,  0},
    {MS_NOATIME,     "noatime",    false, 0},
    {MS_NODIRATIME,  "nodiratime", false, MOUNT_ATTR_NODIRATIME},
    {MS_STRICTATIME, "strictatime", false, 0},
    {MS_LAZYTIME,    "lazytime",   true,  0},
};

/// "*" ends a prefix; a value of "" is any.
struct Refused {
    std::string_view type, key, value;
};
constexpr Refused kRefused[] = {
    {"*",        "source",       ""},
    {"*",        "context",      ""}, // labels of SELinux
    {"*",        "fscontext",    ""},
    {"*",        "defcontext",   ""},
    {"*",        "rootcontext",  ""},
    {"*",        "seclabel",     ""},
    {"*",        "smackfs*",     ""},
    {"*",        "errors",       "panic"},
    {"ext*",     "journal_dev",  ""}, // another device, by its number
    {"ext*",     "journal_path", ""},
    {"xfs",      "logdev",       ""},
    {"xfs",      "rtdev",        ""},
};
// clang-format on

/// What the superblock of an image may say otherwise, and what reaches the whole host then.
struct Forced {
    std::string_view type, key, value;
};
constexpr Forced kForced[] = {
    {"ext*", "errors", "remount-ro"},
    {"xfs",  "nouuid", ""          },
};

bool matches(std::string_view pattern, std::string_view text)
{
    return pattern.ends_with('*') ? text.starts_with(pattern.substr(0, pattern.size() - 1)) : text == pattern;
}

} // namespace

Result<CallPlan> planCall(std::string_view type, std::uint64_t flags, const std::string &data)
{
    if (std::ranges::find(kCallTypes, type) == kCallTypes.end())
        return Error(Code::Unsupported, "file system " + quoted(std::string(type)), ENODEV);
    flags = withoutMagic(flags);
    CallPlan plan;
    for (const Flag &flag : kFlags) {
        if (!(flags & flag.bit))
            continue;
        plan.attributes |= flag.attribute;
        if (flag.isSuperblocks)
            plan.options.emplace_back(flag.option, "");
    }
    plan.readOnly = (flags & MS_RDONLY) != 0;
    plan.attributes |= MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    plan.attributes |= flags & MS_STRICTATIME ? MOUNT_ATTR_STRICTATIME : flags & MS_NOATIME ? MOUNT_ATTR_NOATIME : MOUNT_ATTR_RELATIME;
    const Options given = parseOptions(data);
    for (const auto &[key, value] : given) {
        for (const Refused &row : kRefused)
            if (matches(row.type, type) && matches(row.key, key) && (row.value.empty() || row.value == value))
                return Error(Code::Forbidden, "option " + quoted(key), EPERM);
        if (key == "ro" || key == "rw") // the last one counts, also against the flag
            plan.readOnly = key == "ro";
        plan.options.emplace_back(key, value);
    }
    for (const Forced &row : kForced)
        if (matches(row.type, type) && std::ranges::none_of(given, [&](const auto &option) { return option.first == row.key; }))
            plan.options.emplace_back(row.key, row.value);
    return plan;
}

std::string optionText(std::uint64_t flags, const std::string &data)
{
    std::vector<std::string> parts;
    for (const Flag &flag : kFlags)
        if (withoutMagic(flags) & flag.bit)
            parts.emplace_back(flag.option);
    if (!data.empty())
        parts.push_back(data);
    return join(parts, ",");
}

} // namespace lxmgr::mount
