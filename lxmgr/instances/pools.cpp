#include "instances/pools.h"

#include "base/log.h"
#include "base/text.h"

namespace lxmgr::instances
{

namespace
{
const std::string kDefaultPool = "default";

std::string sourceOf(const store::StoragePool &row)
{
    const auto found = row.config.find("source");
    return found == row.config.end() ? std::string() : found->second;
}
} // namespace

Status Pools::ensureDefault()
{
    if (const auto row = store::findPool(m_db, kDefaultPool))
        return {};
    store::StoragePool row;
    row.name = kDefaultPool;
    row.description = "Made on first use";
    for (const char *driver : {"overlay", "dir"}) {
        row.driver = driver;
        const auto pool = TRY(storage::Driver::open({row.name, row.driver, {}}, m_paths.stateDir));
        const Status prepared = pool->prepare();
        if (prepared) {
            TRY(store::insertPool(m_db, row));
            return {};
        }
        if (prepared.error().code != Code::Unsupported)
            return prepared.error();
        log::warning("default pool: driver '" + row.driver + "': " + prepared.error().message + ", trying the next");
    }
    return Error(Code::Unsupported, "no storage driver works below " + quoted(m_paths.stateDir) + " (LXMGR_DIR names another folder)");
}

Result<storage::Driver *> Pools::openLocked(const store::StoragePool &row)
{
    auto driver = TRY(storage::Driver::open({row.name, row.driver, sourceOf(row)}, m_paths.stateDir));
    TRY_IN("storage pool " + quoted(row.name), driver->prepare());
    storage::Driver *open = driver.get();
    m_open.emplace(row.name, std::move(driver));
    return open;
}

Result<storage::Driver *> Pools::get(const std::string &name)
{
    const std::lock_guard lock(m_mutex);
    if (const auto found = m_open.find(name); found != m_open.end())
        return found->second.get();
    const auto row = store::findPool(m_db, name);
    if (!row && row.error().code == Code::NotFound)
        return Error(Code::NotFound, "Storage pool not found: " + quoted(name));
    if (!row)
        return row.error();
    return openLocked(*row);
}

std::vector<storage::Driver *> Pools::all()
{
    std::vector<storage::Driver *> pools;
    const auto rows = store::listPools(m_db);
    if (!rows) {
        log::error("storage pools: " + rows.error().message);
        return pools;
    }
    for (const store::StoragePool &row : *rows) {
        if (const auto pool = get(row.name))
            pools.push_back(*pool);
        else
            log::error(pool.error().message + ", ignoring");
    }
    return pools;
}

} // namespace lxmgr::instances
