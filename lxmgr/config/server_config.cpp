#include "config/server_config.h"

#include "base/text.h"
#include "config/findings.h"
#include "config/key_parse.h"
#include "config/server_keys.h"

#include <algorithm>
#include <cctype>

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

Result<ImageServers> Codec<ImageServers>::parse(std::string_view text)
{
    ImageServers servers;
    if (text == "none")
        return servers;
    std::string spaced(text);
    std::ranges::replace(spaced, ',', ' ');
    for (const std::string &word : words(spaced)) {
        const std::size_t equals = word.find('=');
        const std::string name = word.substr(0, equals);
        const std::string url = equals == std::string::npos ? "" : word.substr(equals + 1);
        const bool named = !name.empty() && name.size() <= 63 &&
                           std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; });
        const bool placed = url.starts_with("https://") || url.starts_with("http://127.0.0.1") || url.starts_with("http://localhost");
        if (!named || !placed)
            return Error(Code::Invalid, quoted(word) + " is no image server (<name>=https://<host>[/<folder>], or none)");
        if (std::ranges::find(servers.list, name, &ImageServerName::name) != servers.list.end())
            return Error(Code::Invalid, "image server " + quoted(name) + " is given twice");
        servers.list.push_back({name, url});
    }
    if (servers.list.empty() || servers.list.size() > 16)
        return Error(Code::Invalid, "1 to 16 image servers, or none");
    return servers;
}

std::string Codec<ImageServers>::format(const ImageServers &value)
{
    std::string text;
    for (const ImageServerName &server : value.list)
        text.append(text.empty() ? "" : " ").append(server.name).append("=").append(server.url);
    return text.empty() ? "none" : text;
}

Result<PasswordHash> Codec<PasswordHash>::parse(std::string_view text)
{
    if (!text.starts_with("$scrypt$"))
        return Error(Code::Invalid, "the password is not kept as a hash"); // never with the text: it may be the password
    return PasswordHash{std::string(text)};
}

std::string Codec<PasswordHash>::format(const PasswordHash &value) { return value.text; }

std::vector<ImageServerName> ServerConfig::imageServerList() const
{
    // The usual ones are a constant, which parses (tst_server_config).
    return (imageServers ? *imageServers : Codec<ImageServers>::parse(kUsualImageServers).value_or(ImageServers{})).list;
}

std::optional<std::time_t> ServerConfig::keptUntil(std::time_t now) const
{
    const KeepFor keep = trashExpiry.value_or(KeepFor{SnapshotExpiry{{kDefault}}});
    return keep.span ? std::optional(keep.span->after(now)) : std::nullopt;
}

Result<ServerConfig> parseServerConfig(const StringMap &config)
{
    Findings findings;
    ServerConfig typed = TRY(parseKeys<ServerConfig>(config, findings, &parseKey));
    TRY(findings.status());
    return typed;
}

} // namespace lxmgr::config
