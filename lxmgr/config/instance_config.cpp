#include "config/instance_config.h"

#include "base/text.h"
#include "config/findings.h"
#include "config/instance_keys.h"

namespace lxmgr::config
{

namespace
{

constexpr std::size_t kMaxKeys = 4096;
constexpr std::size_t kMaxKeyName = 255;

bool matches(std::string_view pattern, std::string_view name)
{
    if (!pattern.ends_with('*'))
        return pattern == name;
    const std::string_view prefix = pattern.substr(0, pattern.size() - 1);
    return name.size() > prefix.size() && name.starts_with(prefix);
}

const Key<C> *findRow(std::string_view name)
{
    const auto exact = std::ranges::lower_bound(kInstanceKeys, name, {}, &Key<C>::name);
    if (exact != std::end(kInstanceKeys) && exact->name == name && !exact->isPrefix())
        return &*exact;
    const auto prefix = std::ranges::find_if(
        kInstanceKeys, [&](const Key<C> &key) { return key.isPrefix() && matches(key.name, name); });
    return prefix == std::end(kInstanceKeys) ? nullptr : &*prefix;
}

bool allOf(std::string_view text, std::string_view allowed)
{
    return text.find_first_not_of(allowed) == std::string_view::npos;
}

constexpr std::string_view kWordCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
constexpr std::string_view kNameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:";

Status checkVariable(std::string_view name)
{
    if (!allOf(name, kWordCharacters) || (name.front() >= '0' && name.front() <= '9'))
        return Error(Code::Invalid,
                     quoted(name) + " is not a variable's name (letters, digits and _, not starting with a digit)");
    return {};
}

Status checkKernelLimit(std::string_view name)
{
    static constexpr std::string_view kNames[] = {"as",      "core", "cpu",    "data",  "fsize",  "locks",
                                                  "memlock", "nice", "nofile", "nproc", "rtprio", "sigpending"};
    if (std::ranges::find(kNames, name) != std::end(kNames))
        return {};
    std::string known;
    for (const std::string_view each : kNames)
        known.append(known.empty() ? "" : ", ").append(each);
    return Error(Code::Invalid, quoted(name) + " is not a limit (" + known + ")");
}

// Everything else under /proc/sys is the whole host's, and a privileged guest's value would change it there
// (namespaces(7): network, ipc, uts, user).
Status checkSysctl(std::string_view name)
{
    static constexpr std::string_view kOwn[] = {
        "fs.mqueue.*",        "kernel.auto_msgmni", "kernel.domainname",  "kernel.hostname",
        "kernel.msg_next_id", "kernel.msgmax",      "kernel.msgmnb",      "kernel.msgmni",
        "kernel.sem",         "kernel.sem_next_id", "kernel.shm_next_id", "kernel.shm_rmid_forced",
        "kernel.shmall",      "kernel.shmmax",      "kernel.shmmni",      "net.*",
        "user.max_*"};
    if (!allOf(name, kNameCharacters) || name.find("..") != std::string_view::npos ||
        name.find("//") != std::string_view::npos || name.front() == '/' || name.back() == '.')
        return Error(Code::Invalid, quoted(name) + " is not the name of a sysctl");
    if (std::ranges::none_of(kOwn, [&](std::string_view pattern) { return matches(pattern, name); }))
        return Error(Code::Invalid,
                     quoted(name) +
                         " is a sysctl of the whole host; a guest has its own of net.*, kernel.shm*, kernel.msg*, "
                         "kernel.sem, fs.mqueue.* and user.max_*");
    return {};
}

Status checkFreeName(std::string_view name)
{
    if (!allOf(name, kNameCharacters))
        return Error(Code::Invalid, quoted(name) + " has characters outside letters, digits and _-./:");
    return {};
}

struct PrefixRule {
    std::string_view key;
    Status (*check)(std::string_view suffix);
};
constexpr PrefixRule kPrefixRules[] = {
    {"environment.*",   &checkVariable   },
    {"image.*",         &checkFreeName   },
    {"limits.kernel.*", &checkKernelLimit},
    {"linux.sysctl.*",  &checkSysctl     },
    {"user.*",          &checkFreeName   },
    {"volatile.*",      &checkFreeName   },
};

Error unknownKey(const std::string &name)
{
    for (const RenamedKey &key : kRenamedInstanceKeys)
        if (key.old == name)
            return {Code::Invalid,
                    "configuration key " + quoted(name) + " is an old name; use '" + std::string(key.now) + "'"};
    for (const std::string_view pattern : kUnsupportedInstanceKeys)
        if (matches(pattern, name))
            return {Code::Unsupported, "configuration key " + quoted(name) + " is not supported yet by this version"};
    std::vector<std::string_view> candidates;
    for (const Key<C> &key : kInstanceKeys)
        if (!key.isPrefix())
            candidates.push_back(key.name);
    const auto near = nearest(name, candidates);
    return {Code::Invalid,
            "unknown configuration key " + quoted(name) + (near ? " (did you mean '" + *near + "'?)" : "")};
}

Status checkHolder(const std::string &name, Holder holder)
{
    if (holder == Holder::Profile && (name.starts_with("image.") || name.starts_with("volatile.")))
        return Error(Code::Invalid, "configuration key " + quoted(name) + " belongs to instances, not to profiles");
    return {};
}

Status parseKey(InstanceConfig &config, const std::string &name, const std::string &value, Holder holder)
{
    if (name.size() > kMaxKeyName)
        return Error(Code::Invalid, "configuration key " + quoted(name.substr(0, 40)) + "… is longer than 255 bytes");
    const Key<C> *row = findRow(name);
    if (row == nullptr)
        return unknownKey(name);
    TRY(checkHolder(name, holder));
    const std::string_view suffix =
        row->isPrefix() ? std::string_view(name).substr(row->prefix().size()) : std::string_view{};
    for (const PrefixRule &rule : kPrefixRules)
        if (rule.key == row->name)
            TRY_IN(escaped(name), rule.check(suffix));
    if (!value.empty())
        TRY_IN(name, row->field.parse(config, suffix, value));
    return {};
}

/// What single values cannot show: keys that must not meet, and ranges that depend on the key.
void checkTogether(const InstanceConfig &config, Findings &findings)
{
    const auto invalid = [&](const char *text) { findings.add(Error(Code::Invalid, text)); };
    if (config.syscallsAllow && (config.syscallsDeny || config.syscallsDenyCompat || config.syscallsDenyDefault))
        invalid(
            "security.syscalls.allow does not go together with security.syscalls.deny, deny_compat and deny_default");
    if (config.privileged.value_or(false) && (config.idmapBase || config.idmapSize || config.idmapIsolated || config.rawIdmap))
        invalid("security.idmap.* and raw.idmap do not go together with security.privileged=true: there is no id map then");
    for (const std::optional<bool> *own : {&config.interceptMknod, &config.interceptMount, &config.interceptScheduler, &config.interceptSetxattr})
        if (config.privileged.value_or(false) && own->value_or(false)) {
            invalid("security.syscalls.intercept.mknod, .mount, .sched_setscheduler and .setxattr do not go together with security.privileged=true: "
                    "it may do these itself");
            break;
        }
    for (const std::string &type : config.mountAllowed.value_or(FileSystemList{}).names)
        for (const auto &[other, program] : config.mountFuse.value_or(FuseList{}).programs)
            if (type == other)
                findings.add(Error(Code::Invalid,
                                   quoted(type) + " is in both security.syscalls.intercept.mount.allowed and .mount.fuse: it can go one way only"));
    if (config.swapPriority && config.memorySwap && !config.memorySwap->allowed)
        invalid("limits.memory.swap.priority does not go together with limits.memory.swap=false: nothing is swapped then");
}

void checkRanges(const InstanceConfig &config, Findings &findings)
{
    const auto invalid = [&](const std::string &text) { findings.add(Error(Code::Invalid, text)); };
    if (config.processes && *config.processes == 0)
        invalid("limits.processes: '0' leaves no room for its init");
    const auto upToTen = [&](const char *key, const std::optional<std::uint32_t> &value) {
        if (value && *value > 10)
            invalid(std::string(key) + ": " + quoted(std::to_string(*value)) + " is not from 0 to 10");
    };
    upToTen("limits.cpu.priority", config.cpuPriority);
    upToTen("limits.memory.swap.priority", config.swapPriority);
    upToTen("limits.disk.priority", config.diskPriority);
    upToTen("limits.network.priority", config.networkPriority);
    if (config.oomPriority && (*config.oomPriority < -1000 || *config.oomPriority > 1000))
        invalid("limits.memory.oom_priority: " + quoted(std::to_string(*config.oomPriority)) + " is not from -1000 to 1000");
    if (config.idmapSize && (*config.idmapSize < 65536 || *config.idmapSize > 0x10000000))
        invalid("security.idmap.size: " + quoted(std::to_string(*config.idmapSize)) +
                " is not from 65536 to 268435456");
    if (config.idmapBase && *config.idmapBase < 65536)
        invalid("security.idmap.base: " + quoted(std::to_string(*config.idmapBase)) +
                " is below 65536, where the host's own ids are");
    if (config.idmapIsolated && !*config.idmapIsolated)
        findings.add(Error(
            Code::Unsupported,
            "security.idmap.isolated: 'false' is not offered: every instance has a range of host ids of its own"));
}

void addCrossChecks(const InstanceConfig &config, Findings &findings)
{
    checkTogether(config, findings);
    checkRanges(config, findings);
}

} // namespace

Result<InstanceConfig> parseInstanceConfig(const StringMap &config, Holder holder)
{
    if (config.size() > kMaxKeys)
        return Error(Code::Invalid, "more than 4096 configuration keys");
    InstanceConfig typed;
    Findings findings;
    for (const auto &[name, value] : config)
        findings.add(parseKey(typed, name, value, holder));
    addCrossChecks(typed, findings);
    TRY(findings.status());
    return typed;
}

Status checkInstanceKey(const std::string &name, const std::string &value, Holder holder)
{
    InstanceConfig typed;
    TRY(parseKey(typed, name, value, holder));
    Findings findings;
    checkRanges(typed, findings);
    return findings.status();
}

StringMap formatInstanceConfig(const InstanceConfig &config)
{
    StringMap out;
    for (const Key<C> &key : kInstanceKeys)
        key.field.format(config, key.name, out);
    return out;
}

Status checkVolatileKept(const StringMap &before, const StringMap &after)
{
    Findings findings;
    for (const auto &[name, value] : after) {
        if (!name.starts_with("volatile.") || value.empty())
            continue;
        const auto was = before.find(name);
        if (was == before.end() || was->second != value)
            findings.add(Error(Code::Invalid, "configuration key " + quoted(name) +
                                                  " is kept by the daemon and cannot be set to " + quoted(value)));
    }
    return findings.status();
}

StringMap withoutVolatile(const StringMap &config)
{
    StringMap out;
    for (const auto &[name, value] : config)
        if (!name.starts_with("volatile.") || name == "volatile.base_image")
            out.emplace_hint(out.end(), name, value);
    return out;
}

const KeyInfo *findInstanceKey(std::string_view name)
{
    const Key<C> *row = findRow(name);
    if (row == nullptr)
        return nullptr;
    for (const KeyInfo &info : allKeys())
        if (info.group == "instance" && info.name == row->name)
            return &info;
    return nullptr;
}

bool appliesLive(std::string_view name)
{
    const Key<C> *row = findRow(name);
    return row != nullptr && row->apply != Apply::Restart;
}

} // namespace lxmgr::config
