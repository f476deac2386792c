#include "config/project_config.h"

#include "base/text.h"
#include "config/findings.h"
#include "config/key_parse.h"
#include "config/project_keys.h"

namespace lxmgr::config
{

namespace
{

/// What a key of restricted.* may say beside "block" and "allow".
Status checkWord(std::string_view name, const std::string &value)
{
    if (value.empty() || !name.starts_with("restricted.") || name == "restricted.networks.access" || name == "restricted.images.servers")
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

/// Of some only one value is carried out.
Status checkFeature(std::string_view name, const std::string &value)
{
    if (name == "features.images" || name == "features.profiles")
        return {};
    const bool wanted = name != "features.networks";
    const Result<bool> flag = name.starts_with("features.") ? parseBool(value) : Result<bool>(wanted);
    if (flag && *flag != wanted)
        return Error(Code::Unsupported, std::string(name) + "=" + value + " is not supported by this version (" + (wanted ? "true" : "false") + ")");
    return {};
}

Status parseKey(ProjectConfig &config, const std::string &name, const std::string &value)
{
    TRY(checkWord(name, value));
    TRY(checkFeature(name, value));
    return parseKeyOf<ProjectConfig>(config, kProjectKeys, "project key", kUnsupportedProjectKeys, name, value);
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
