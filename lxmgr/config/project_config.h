// What the keys of a project say, typed; the table is in project_keys.h.
#pragma once

#include "config/keys.h"

namespace lxmgr::config
{

struct ProjectConfig {
    std::optional<bool> ownImages, ownNetworks, ownProfiles, ownVolumes; ///< features.*
    std::optional<std::uint32_t> limitsContainers, limitsInstances;
    std::optional<bool> restricted;
    std::optional<std::string> backups, snapshots;
    std::optional<std::string> interception, lowlevel, nesting, privilege; ///< restricted.containers.*
    std::optional<std::string> disk, gpu, nic, proxy, unixBlock, unixChar, unixHotplug, usb; ///< restricted.devices.*
    std::optional<std::string> imageServers; ///< restricted.images.servers
    std::optional<std::string> networks; ///< restricted.networks.access
    std::map<std::string, std::string> user;
    bool operator==(const ProjectConfig &) const = default;
};

/// Checks and types every key; Invalid or Unsupported with all that is wrong, each by its name.
Result<ProjectConfig> parseProjectConfig(const StringMap &config);

} // namespace lxmgr::config
