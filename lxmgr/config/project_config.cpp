#include "config/project_config.h"

#include "base/text.h"
#include "config/findings.h"
#include "config/key_names.h"
#include "config/project_keys.h"

namespace lxmgr::config
{

namespace
{

/// What a key of restricted.* may say beside "block" and "allow".
Status checkWord(std::string_view name, const std::string &value)
{
    static constexpr std::string_view kLists[] = {"restricted", "restricted.devices.disk.paths", "restricted.networks.access"};
    if (!name.starts_with("restricted") || std::ranges::find(kLists, name) != std::end(kLists))
        return {};
    std::vector<std::string> words = {"block", "allow"};
    if (name == "restricted.devices.disk" || name == "restricted.devices.nic")
        words = {"block", "managed", "allow"};
    if (name == "restricted.containers.privilege")
        words = {"unprivileged", "isolated", "allow"};
    if (std::ranges::find(words, value) == words.end())
        return Error(Code::Invalid, std::string(name) + ": " + quoted(value) + " is none of " + join(words, ", "));
    return {};
}

/// Only one value of these is carried out.
Status checkFeature(std::string_view name, const std::string &value)
{
    const bool wanted = name != "features.networks";
    const Result<bool> flag = name.starts_with("features.") ? parseBool(value) : Result<bool>(wanted);
    if (flag && *flag != wanted)
        return Error(Code::Unsupported, std::string(name) + "=" + value + " is not supported by this version (" + (wanted ? "true" : "false") + ")");
    return {};
}

Status parseKey(ProjectConfig &config, const std::string &name, const std::string &value)
{
    const auto row = std::ranges::find_if(kProjectKeys, [&](const Key<ProjectConfig> &each) { return matchesKey(each.name, name); });
    if (row == std::end(kProjectKeys)) {
        std::vector<std::string_view> known;
        for (const Key<ProjectConfig> &each : kProjectKeys)
            known.push_back(each.name);
        return unknownKey("project key", name, known, kUnsupportedProjectKeys);
    }
    if (value.empty())
        return {};
    TRY(checkWord(name, value));
    TRY(checkFeature(name, value));
    const std::string_view suffix = row->isPrefix() ? std::string_view(name).substr(row->prefix().size()) : std::string_view();
    TRY_IN(name, row->field.parse(config, suffix, value));
    return {};
}

} // namespace

Result<ProjectConfig> parseProjectConfig(const StringMap &config)
{
    if (config.size() > 1024)
        return Error(Code::Invalid, "more than 1024 keys");
    ProjectConfig typed;
    Findings findings;
    for (const auto &[name, value] : config)
        findings.add(parseKey(typed, name, value));
    TRY(findings.status());
    return typed;
}

} // namespace lxmgr::config
