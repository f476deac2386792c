// Tables storage_pools and storage_pool_config. Pools serve all projects; their rows live in "default".
#pragma once

#include "store/projects.h"

namespace lxmgr::store
{

struct StoragePool {
    std::int64_t id = 0;
    std::string project = kDefaultProject;
    std::string name;
    std::string driver;
    std::string description;
    StringMap config; ///< "source" and what the driver knows.
};

Result<StoragePool> findPool(Database &db, const std::string &name);
Result<std::vector<StoragePool>> listPools(Database &db);
Result<std::int64_t> insertPool(Database &db, const StoragePool &pool);
Status updatePool(Database &db, const StoragePool &pool);
/// WrongState while instances or volumes lie in it.
Status deletePool(Database &db, std::int64_t id);

} // namespace lxmgr::store
