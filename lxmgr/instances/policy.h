// Policy: what a restricted project lets its instances be. It looks at the final configuration, whichever way it came about.
#pragma once

#include "config/expand.h"
#include "config/project_config.h"
#include "store/projects.h"

#include <string>

namespace lxmgr::instances
{

/// checkPolicy() with what the project's row says.
Status checkProjectPolicy(store::Database &db, const std::string &project, const config::Expanded &expanded, const config::Effective &effective);
/// features.networks: then the project has none at all. A managed network is a bridge of the host, and those are in project default.
Result<bool> hasOwnNetworks(store::Database &db, const std::string &project);
/// Invalid where the project has networks of its own and a NIC names one.
Status checkNetworks(store::Database &db, const std::string &project, const DeviceMap &devices);
/// Forbidden where the project is restricted and allows no `what`: "snapshots" or "backups".
Status checkProjectAllows(store::Database &db, const std::string &project, std::string_view what);
/// Forbidden where the project is restricted and may not fetch images from there; before anything is sent.
Status checkImageServer(store::Database &db, const std::string &project, const std::string &url);

/// Forbidden with the key or device and the project's key that would have to allow it. Says yes where `project` is not restricted.
Status checkPolicy(const std::string &projectName, const config::ProjectConfig &project, const config::Expanded &expanded, const config::Effective &effective);

} // namespace lxmgr::instances
