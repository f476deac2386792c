#include "store/exports.h"

#include "base/text.h"
#include "store/parts.h"

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelect =
    "SELECT id, coalesce(instance_id, 0), coalesce(volume_id, 0), uuid, name, status, file, without_snapshots, "
    "optimized, compression, size, created_at, expires_at FROM exports ";
constexpr std::string_view kInsert =
    "INSERT INTO exports (instance_id, volume_id, uuid, name, status, file, without_snapshots, optimized, compression, "
    "size, created_at, expires_at) VALUES (nullif(?, 0), nullif(?, 0), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr std::string_view kOfOwner =
    "WHERE (instance_id=? OR volume_id=?) AND status<>'deleting' "; // no row has both, and no id is 0

constexpr std::pair<ExportStatus, std::string_view> kStatusNames[] = {
    {ExportStatus::Creating, "creating"},
    {ExportStatus::Ready,    "ready"   },
    {ExportStatus::Deleting, "deleting"},
};
std::string_view statusName(ExportStatus status)
{
    return std::ranges::find(kStatusNames, status, &std::pair<ExportStatus, std::string_view>::first)->second;
}
ExportStatus statusFrom(const std::string &name) // the column's CHECK lets no other name in
{
    return std::ranges::find(kStatusNames, name, &std::pair<ExportStatus, std::string_view>::second)->first;
}

std::string missing(std::int64_t id) { return "kept export " + std::to_string(id) + " does not exist any more"; }
std::string taken(const std::string &name)
{
    return "backup " + quoted(name) + " already exists (choose another name, or delete it first)";
}

struct OwnerIds {
    std::int64_t instance, volume;
};
OwnerIds idsOf(const ExportOwner &owner)
{
    const bool isInstance = owner.kind == ExportOwner::Kind::Instance;
    return {isInstance ? owner.id : 0, isInstance ? 0 : owner.id};
}

Export readRow(const Statement &row)
{
    Export one;
    one.id = row.integer(0);
    const std::int64_t volume = row.integer(2);
    one.uuid = row.text(3);
    one.owner = {one.uuid.empty() ? ExportOwner::Kind::Volume : ExportOwner::Kind::Instance,
                 volume != 0 ? volume : row.integer(1)};
    one.name = row.text(4);
    one.status = statusFrom(row.text(5));
    one.file = row.text(6);
    one.withoutSnapshots = row.flag(7);
    one.optimized = row.flag(8);
    one.compression = row.text(9);
    one.size = row.integer(10);
    one.createdAt = row.integer(11);
    one.expiresAt = row.integer(12);
    return one;
}

template <class... Values>
Result<std::vector<Export>> select(Database &db, std::string_view where, const Values &...values)
{
    Statement row =
        TRY(query(db, std::string(kSelect) + std::string(where) + " ORDER BY created_at, id", values...));
    std::vector<Export> all;
    while (TRY(row.next()))
        all.push_back(readRow(row));
    return all;
}

} // namespace

Result<std::int64_t> insertExport(Database &db, const Export &row)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        const OwnerIds ids = idsOf(row.owner);
        TRY(named(run(db, kInsert, ids.instance, ids.volume, row.uuid, row.name, statusName(row.status), row.file,
                      row.withoutSnapshots, row.optimized, row.compression, row.size,
                      row.createdAt != 0 ? row.createdAt : unixMillis(), row.expiresAt),
                  taken(row.name)));
        return db.lastInsertId();
    });
}

Result<Export> findExport(Database &db, const ExportOwner &owner, const std::string &name)
{
    const OwnerIds ids = idsOf(owner);
    return onlyRow(select(db, std::string(kOfOwner) + "AND name=?", ids.instance, ids.volume, name),
                   "backup " + quoted(name) + " does not exist");
}

Result<std::vector<Export>> listExports(Database &db, const ExportOwner &owner)
{
    const OwnerIds ids = idsOf(owner);
    return select(db, kOfOwner, ids.instance, ids.volume);
}

Result<std::vector<Export>> listExports(Database &db) { return select(db, ""); }

Result<std::vector<Export>> listExportsIn(Database &db, ExportStatus status)
{
    return select(db, "WHERE status=?", statusName(status));
}

Result<std::vector<Export>> listExpiredExports(Database &db, std::int64_t now)
{
    return select(db, "WHERE expires_at > 0 AND expires_at <= ? AND status='ready'", now);
}

Result<std::int64_t> nextExportExpiry(Database &db)
{
    Statement row =
        TRY(query(db, "SELECT coalesce(min(expires_at), 0) FROM exports WHERE expires_at > 0 AND status='ready'"));
    return TRY(row.next()) ? row.integer(0) : 0;
}

Status finishExport(Database &db, std::int64_t id, std::int64_t size)
{
    return db.transaction(
        [&] { return change(db, missing(id), "UPDATE exports SET status='ready', size=? WHERE id=?", size, id); });
}

Status dropExport(Database &db, std::int64_t id)
{
    return db.transaction([&] { return change(db, missing(id), "UPDATE exports SET status='deleting' WHERE id=?", id); });
}

Status dropExportsOf(Database &db, const ExportOwner &owner)
{
    return db.transaction([&] {
        const OwnerIds ids = idsOf(owner);
        return run(db, "UPDATE exports SET status='deleting' WHERE instance_id=? OR volume_id=?", ids.instance,
                   ids.volume);
    });
}

Status dropExportsOfGone(Database &db, const std::string &uuid)
{
    return db.transaction([&] {
        return run(db, "UPDATE exports SET status='deleting' WHERE uuid=? AND uuid<>'' AND instance_id IS NULL", uuid);
    });
}

Status adoptExports(Database &db, const std::string &uuid, std::int64_t instanceId)
{
    return db.transaction([&] {
        return run(db,
                   "UPDATE exports SET instance_id=? WHERE uuid=? AND uuid<>'' AND instance_id IS NULL "
                   "AND status<>'deleting'",
                   instanceId, uuid);
    });
}

Status renameExport(Database &db, std::int64_t id, const std::string &name)
{
    return db.transaction([&] {
        return named(change(db, missing(id), "UPDATE exports SET name=? WHERE id=?", name, id), taken(name));
    });
}

Status deleteExport(Database &db, std::int64_t id)
{
    return db.transaction([&] { return change(db, missing(id), "DELETE FROM exports WHERE id=?", id); });
}

} // namespace lxmgr::store
