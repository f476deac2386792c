#include "config/project_config.h"

#include "base/host_path.h"
#include "base/text.h"
#include "config/findings.h"
#include "config/key_parse.h"
#include "config/project_keys.h"

namespace lxmgr::config
{

namespace
{

/// "1000" or "1000-1999".
Result<IdList::Span> parseSpan(std::string_view text)
{
    constexpr std::uint32_t kLast = 0xfffffffe; // (uid_t)-1 is nobody at all
    const std::size_t dash = text.find('-');
    const auto first = TRY(parseUnsigned(text.substr(0, dash), 1, kLast)); // 0 is the host's root
    const auto last = dash == std::string_view::npos ? first : TRY(parseUnsigned(text.substr(dash + 1), first, kLast));
    return IdList::Span{static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last - first + 1)};
}

std::string formatSpan(const IdList::Span &span)
{
    const std::string first = std::to_string(span.first);
    return span.count == 1 ? first : first + "-" + std::to_string(std::uint64_t{span.first} + span.count - 1);
}

} // namespace

Result<IdList> Codec<IdList>::parse(std::string_view text)
{
    IdList list;
    for (const std::string &part : split(text, ',')) {
        const auto ids = parseSpan(trimmed(part));
        if (!ids)
            return Error(Code::Invalid, quoted(part) + " is not an id of the host other than 0, or a range of them (1000,2000-2999)");
        list.spans.push_back(*ids);
    }
    return list.spans.size() <= 100 ? Result<IdList>(std::move(list)) : Error(Code::Invalid, quoted(text) + " has more than 100 ranges");
}
std::string Codec<IdList>::format(const IdList &value)
{
    std::vector<std::string> parts;
    for (const IdList::Span &span : value.spans)
        parts.push_back(formatSpan(span));
    return join(parts, ",");
}

bool IdList::contains(std::uint32_t first, std::uint32_t count) const
{
    return std::ranges::any_of(spans, [&](const Span &span) {
        return first >= span.first && std::uint64_t{first} + count <= std::uint64_t{span.first} + span.count;
    });
}

Result<PathList> Codec<PathList>::parse(std::string_view text)
{
    PathList list;
    for (const std::string &part : split(text, ','))
        list.paths.push_back(TRY(Codec<AbsolutePath>::parse(trimmed(part))).text);
    return list.paths.size() <= 100 ? Result<PathList>(std::move(list)) : Error(Code::Invalid, quoted(text) + " has more than 100 paths");
}
std::string Codec<PathList>::format(const PathList &value) { return join(value.paths, ","); }

namespace
{

/// Of restricted.*: what no instance can have here.
constexpr std::string_view kAbsent[] = {"restricted.cluster.target",   "restricted.devices.pci",   "restricted.networks.subnets",
                                        "restricted.networks.zones", "restricted.virtual-machines.lowlevel"};
/// Of restricted.*: what is no word.
constexpr std::string_view kLists[] = {"restricted.devices.disk.paths", "restricted.idmap.gid", "restricted.idmap.uid", "restricted.images.servers",
                                       "restricted.networks.access"};

/// What a key of restricted.* may say beside "block" and "allow".
Status checkWord(std::string_view name, const std::string &value)
{
    if (value.empty() || !name.starts_with("restricted.") || std::ranges::find(kLists, name) != std::end(kLists))
        return {};
    if (std::ranges::find(kAbsent, name) != std::end(kAbsent))
        return value == "block" ? Status() : Error(Code::Unsupported, std::string(name) + "=" + value + " is not supported by this version (block)");
    std::vector<std::string> words = {"block", "allow"};
    if (name == "restricted.devices.disk" || name == "restricted.devices.nic")
        words = {"block", "managed", "allow"};
    if (name == "restricted.containers.privilege")
        words = {"unprivileged", "isolated", "allow"};
    if (std::ranges::find(words, value) == words.end())
        return Error(Code::Invalid, std::string(name) + ": " + quoted(value) + " is none of " + join(words, ", "));
    return {};
}

Status parseKey(ProjectConfig &config, const std::string &name, const std::string &value)
{
    TRY(parseKeyOf<ProjectConfig>(config, kProjectKeys, "project key", kUnsupportedProjectKeys, name, value));
    if (name == "features.networks.zones" && !value.empty() && TRY_IN(name, parseBool(value)))
        return Error(Code::Unsupported, name + "=" + value + " is not supported by this version (false): there are no network zones");
    return checkWord(name, value);
}

} // namespace

Result<std::string> folderAbove(const ProjectConfig &project, const std::string &source)
{
    if (!project.restricted.value_or(false) || !project.diskPaths)
        return std::string();
    const std::string path = TRY(Codec<AbsolutePath>::parse(source)).text;
    std::string best;
    for (const std::string &folder : project.diskPaths->paths)
        if (isAtOrBelow(path, folder) && folder.size() > best.size())
            best = folder;
    if (best.empty())
        return Error(Code::Forbidden, "source " + quoted(source) + " is below none of " + Codec<PathList>::format(*project.diskPaths));
    return best;
}

Result<ProjectConfig> parseProjectConfig(const StringMap &config)
{
    Findings findings;
    ProjectConfig typed = TRY(parseKeys<ProjectConfig>(config, findings, &parseKey));
    TRY(findings.status());
    return typed;
}

} // namespace lxmgr::config
