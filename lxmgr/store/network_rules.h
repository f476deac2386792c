// Tables of network forwards and access control lists.
#pragma once

#include "store/networks.h"

#include <vector>

namespace lxmgr::store
{

struct NetworkForward {
    std::int64_t id = 0;
    std::int64_t networkId = 0;
    std::string listenAddress;
    std::string description;
    StringMap config;
    std::vector<StringMap> ports; ///< In their order, with the fields of the API.
};

Result<std::vector<NetworkForward>> listForwards(Database &db, std::int64_t networkId);
Result<NetworkForward> findForward(Database &db, std::int64_t networkId, const std::string &listenAddress);
/// AlreadyExists: a forward of some network listens there.
Result<std::int64_t> insertForward(Database &db, const NetworkForward &forward);
/// Replaces all but the address of `forward.id`.
Status updateForward(Database &db, const NetworkForward &forward);
Status deleteForward(Database &db, std::int64_t id);

struct NetworkAcl {
    std::int64_t id = 0;
    std::string project = kDefaultProject;
    std::string name;
    std::string description;
    StringMap config;
    std::vector<StringMap> ingress, egress; ///< In their order, with the fields of the API.
};

Result<std::vector<NetworkAcl>> listAcls(Database &db, const std::string &project);
Result<NetworkAcl> findAcl(Database &db, const std::string &project, const std::string &name);
Result<std::int64_t> insertAcl(Database &db, const NetworkAcl &acl);
/// Replaces all but the name of `acl.id`.
Status updateAcl(Database &db, const NetworkAcl &acl);
Status renameAcl(Database &db, std::int64_t id, const std::string &name);
Status deleteAcl(Database &db, std::int64_t id);

} // namespace lxmgr::store
