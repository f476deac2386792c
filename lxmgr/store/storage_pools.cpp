#include "store/storage_pools.h"

#include "base/text.h"
#include "store/parts.h"

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelect =
    "SELECT s.id, p.name, s.name, s.driver, s.description FROM storage_pools s JOIN projects p ON p.id = s.project_id ";
constexpr std::string_view kInsert =
    "INSERT INTO storage_pools (project_id, name, driver, description) VALUES (?, ?, ?, ?)";
constexpr PartTable kConfig = {"storage_pool_config", "pool_id"};

std::string missing(std::int64_t id) { return "storage pool " + std::to_string(id) + " does not exist any more"; }

template <class... Values>
Result<std::vector<StoragePool>> select(Database &db, std::string_view where, const Values &...values)
{
    const auto guard = db.lock();
    std::vector<StoragePool> pools;
    {
        Statement row = TRY(query(db, std::string(kSelect) + std::string(where) + " ORDER BY s.id", values...));
        while (TRY(row.next()))
            pools.push_back({row.integer(0), row.text(1), row.text(2), row.text(3), row.text(4), {}});
    }
    Follower<StoragePool> config(pools);
    TRY(readStrings(db, kConfig, spanOf(pools), [&](std::int64_t id) {
        StoragePool *pool = config.find(id);
        return pool != nullptr ? &pool->config : nullptr;
    }));
    sortByName(pools);
    return pools;
}

Status refuseUsed(Database &db, const std::string &pool)
{
    Statement row = TRY(query(db, "SELECT name FROM instances WHERE pool=? ORDER BY name LIMIT 1", pool));
    if (TRY(row.next()))
        return Error(Code::WrongState,
                     "storage pool " + quoted(pool) + " holds instances, such as " + quoted(row.text(0)));
    Statement volume = TRY(query(db,
                                 "SELECT v.name FROM volumes v JOIN storage_pools s ON s.id = v.pool_id "
                                 "WHERE s.name=? ORDER BY v.name LIMIT 1",
                                 pool));
    if (TRY(volume.next()))
        return Error(Code::WrongState,
                     "storage pool " + quoted(pool) + " holds storage volumes, such as " + quoted(volume.text(0)));
    return {};
}

} // namespace

Result<StoragePool> findPool(Database &db, const std::string &name)
{
    return onlyRow(select(db, "WHERE s.name=?", name), "storage pool " + quoted(name) + " does not exist");
}

Result<std::vector<StoragePool>> listPools(Database &db) { return select(db, ""); }

Result<std::int64_t> insertPool(Database &db, const StoragePool &pool)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        const std::int64_t project = TRY(projectId(db, pool.project));
        TRY(named(run(db, kInsert, project, pool.name, pool.driver, pool.description),
                  "storage pool " + quoted(pool.name) + " already exists"));
        const std::int64_t id = db.lastInsertId();
        TRY(writeStrings(db, kConfig, id, pool.config));
        return id;
    });
}

Status updatePool(Database &db, const StoragePool &pool)
{
    return db.transaction([&]() -> Status {
        TRY(change(db, missing(pool.id), "UPDATE storage_pools SET description=? WHERE id=?", pool.description,
                   pool.id));
        return writeStrings(db, kConfig, pool.id, pool.config);
    });
}

Status deletePool(Database &db, std::int64_t id)
{
    return db.transaction([&]() -> Status {
        const StoragePool pool = TRY(onlyRow(select(db, "WHERE s.id=?", id), missing(id)));
        TRY(refuseUsed(db, pool.name));
        return change(db, missing(id), "DELETE FROM storage_pools WHERE id=?", id);
    });
}

} // namespace lxmgr::store
