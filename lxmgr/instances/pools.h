// Pools: the storage drivers in use, by name, opened when first needed.
#pragma once

#include "base/paths.h"
#include "storage/driver.h"
#include "store/storage_pools.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace lxmgr::instances
{

class Pools
{
public:
    Pools(const Paths &paths, store::Database &db) : m_paths(paths), m_db(db) {}

    /// The row of pool "default" is made where there is none: driver overlay, or dir where the file system carries no overlay.
    Status ensureDefault();
    /// Opened and prepared. NotFound: no such pool.
    Result<storage::Driver *> get(const std::string &name);
    /// All that are recorded, prepared; a pool that cannot be opened is logged and left out.
    std::vector<storage::Driver *> all();

private:
    Result<storage::Driver *> openLocked(const store::StoragePool &row);
    const Paths &m_paths;
    store::Database &m_db;
    std::mutex m_mutex;
    std::map<std::string, std::unique_ptr<storage::Driver>> m_open;
};

} // namespace lxmgr::instances
