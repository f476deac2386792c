// What the server's own keys say, typed; the table is in server_keys.h.
#pragma once

#include "config/keys.h"
#include "config/snapshots.h"

namespace lxmgr::config
{

/// trash.expiry: how long something is kept, or "0" for not at all.
struct KeepFor {
    std::optional<SnapshotExpiry> span;
    bool operator==(const KeepFor &) const = default;
};
template <> struct Codec<KeepFor> {
    static constexpr std::string_view kType = "time span";
    static Result<KeepFor> parse(std::string_view text);
    static std::string format(const KeepFor &value);
};

struct ServerConfig {
    std::optional<std::string> backupsCompression; ///< Read by images::parseExportCompression().
    std::optional<AbsolutePath> backupsPassphraseFile;
    std::optional<AbsolutePath> backupsRepository;
    std::optional<std::string> backupsRetention; ///< Read by backup::parseRetention().
    std::optional<std::string> httpsAddress; ///< Read by daemon::parseHttpsAddress().
    std::optional<SnapshotExpiry> remoteTokenExpiry;
    std::optional<bool> trustCaCertificates;
    std::optional<KeepFor> trashExpiry;
    std::map<std::string, std::string> user;
    bool operator==(const ServerConfig &) const = default;

    /// When something that is kept from `now` on expires, in Unix seconds; nullopt: it is not kept.
    std::optional<std::time_t> keptUntil(std::time_t now) const;
};

/// Checks and types every key. Invalid or Unsupported with all that is wrong, each by its name, with the nearest key where
/// it is unknown.
Result<ServerConfig> parseServerConfig(const StringMap &config);

} // namespace lxmgr::config
