#include "config/server_config.h"

#include "config/findings.h"
#include "config/key_parse.h"
#include "config/server_keys.h"

namespace lxmgr::config
{

namespace
{

constexpr SnapshotExpiry::Part kDefault{7, 'd'};

Status parseKey(ServerConfig &config, const std::string &name, const std::string &value)
{
    return parseKeyOf<ServerConfig>(config, kServerKeys, "server key", kUnsupportedServerKeys, name, value);
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
