// What the server's own keys say, typed; the table is in server_keys.h.
#pragma once

#include "config/keys.h"

namespace lxmgr::config
{

struct ServerConfig {
    std::optional<AbsolutePath> backupsPassphraseFile;
    std::optional<AbsolutePath> backupsRepository;
    std::optional<std::string> backupsRetention; ///< Read by backup::parseRetention().
    std::map<std::string, std::string> user;
    bool operator==(const ServerConfig &) const = default;
};

/// Checks and types every key. Invalid or Unsupported with all that is wrong, each by its name, with the nearest key where
/// it is unknown.
Result<ServerConfig> parseServerConfig(const StringMap &config);

} // namespace lxmgr::config
