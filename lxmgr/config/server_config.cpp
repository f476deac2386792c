#include "config/server_config.h"

#include "config/findings.h"
#include "config/key_names.h"
#include "config/server_keys.h"

namespace lxmgr::config
{

namespace
{

constexpr SnapshotExpiry::Part kDefault{7, 'd'};

Status parseKey(ServerConfig &config, const std::string &name, const std::string &value)
{
    const auto row =
        std::ranges::find_if(kServerKeys, [&](const Key<ServerConfig> &each) { return matchesKey(each.name, name); });
    if (row == std::end(kServerKeys)) {
        std::vector<std::string_view> known;
        for (const Key<ServerConfig> &each : kServerKeys)
            known.push_back(each.name);
        return unknownKey("server key", name, known, kUnsupportedServerKeys);
    }
    const std::string_view suffix =
        row->isPrefix() ? std::string_view(name).substr(row->prefix().size()) : std::string_view();
    if (!value.empty())
        TRY_IN(name, row->field.parse(config, suffix, value));
    return {};
}

} // namespace

Result<KeepFor> Codec<KeepFor>::parse(std::string_view text)
{
    if (text == "0")
        return KeepFor{};
    return KeepFor{TRY(Codec<SnapshotExpiry>::parse(text))};
}

std::string Codec<KeepFor>::format(const KeepFor &value)
{
    return value.span ? Codec<SnapshotExpiry>::format(*value.span) : "0";
}

std::optional<std::time_t> ServerConfig::keptUntil(std::time_t now) const
{
    const KeepFor keep = trashExpiry.value_or(KeepFor{SnapshotExpiry{{kDefault}}});
    return keep.span ? std::optional(keep.span->after(now)) : std::nullopt;
}

Result<ServerConfig> parseServerConfig(const StringMap &config)
{
    if (config.size() > 1024)
        return Error(Code::Invalid, "more than 1024 keys");
    ServerConfig typed;
    Findings findings;
    for (const auto &[name, value] : config)
        findings.add(parseKey(typed, name, value));
    TRY(findings.status());
    return typed;
}

} // namespace lxmgr::config
