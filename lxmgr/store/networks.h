// Tables networks and network_config.
#pragma once

#include "store/projects.h"

namespace lxmgr::store
{

struct Network {
    std::int64_t id = 0;
    std::string project = kDefaultProject;
    std::string name;
    std::string type = "bridge";
    std::string description;
    StringMap config;
};

Result<Network> findNetwork(Database &db, const std::string &project, const std::string &name);
Result<std::vector<Network>> listNetworks(Database &db, const std::string &project);
Result<std::int64_t> insertNetwork(Database &db, const Network &network);
/// Replaces description and config of `network.id`.
Status updateNetwork(Database &db, const Network &network);
Status renameNetwork(Database &db, std::int64_t id, const std::string &name);
Status deleteNetwork(Database &db, std::int64_t id);

} // namespace lxmgr::store
