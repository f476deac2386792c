#include "store/volumes.h"

#include "base/text.h"
#include "store/parts.h"

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelect =
    "SELECT v.id, p.name, s.name, v.name, v.description, v.status, v.created_at, v.uuid FROM volumes v "
    "JOIN projects p ON p.id = v.project_id JOIN storage_pools s ON s.id = v.pool_id ";
constexpr std::string_view kInsert = "INSERT INTO volumes (project_id, pool_id, name, description, status, created_at, uuid) "
                                     "VALUES (?, ?, ?, ?, ?, ?, ?)";
constexpr std::string_view kSelectSnapshots =
    "SELECT id, volume_id, name, description, status, created_at, expires_at, schedule FROM volume_snapshots ";
constexpr std::string_view kInsertSnapshot =
    "INSERT INTO volume_snapshots (volume_id, name, description, status, created_at, expires_at, schedule) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)";
constexpr PartTable kConfig = {"volume_config", "volume_id"};
constexpr PartTable kSnapshotConfig = {"volume_snapshot_config", "snapshot_id"};

struct StatusName {
    VolumeStatus status;
    std::string_view name;
};
constexpr StatusName kStatuses[] = {
    {VolumeStatus::Creating, "creating"},
    {VolumeStatus::Ready,    "ready"   },
    {VolumeStatus::Deleting, "deleting"},
};

std::string statusName(VolumeStatus status)
{
    for (const StatusName &row : kStatuses)
        if (row.status == status)
            return std::string(row.name);
    return {};
}

VolumeStatus statusOf(std::string_view name)
{
    for (const StatusName &row : kStatuses)
        if (row.name == name)
            return row.status;
    return VolumeStatus::Creating; // the table's CHECK lets no other in
}

std::string missing(std::int64_t id) { return "storage volume " + std::to_string(id) + " does not exist any more"; }
std::string missingSnapshot(std::int64_t id)
{
    return "snapshot " + std::to_string(id) + " of a storage volume does not exist any more";
}
std::string taken(const std::string &name) { return "storage volume " + quoted(name) + " already exists"; }
std::string takenSnapshot(const std::string &name) { return "snapshot " + quoted(name) + " already exists"; }

Result<std::int64_t> poolId(Database &db, const std::string &name)
{
    Statement row = TRY(query(db, "SELECT id FROM storage_pools WHERE name=?", name));
    if (!TRY(row.next()))
        return Error(Code::NotFound, "storage pool " + quoted(name) + " does not exist");
    return row.integer(0);
}

template <class Row> Status readConfig(Database &db, const PartTable &table, std::vector<Row> &rows)
{
    Follower<Row> follower(rows);
    return readStrings(db, table, spanOf(rows), [&](std::int64_t id) {
        Row *row = follower.find(id);
        return row != nullptr ? &row->config : nullptr;
    });
}

template <class... Values>
Result<std::vector<Volume>> select(Database &db, std::string_view where, const Values &...values)
{
    const auto guard = db.lock();
    std::vector<Volume> volumes;
    {
        Statement row = TRY(query(db, std::string(kSelect) + std::string(where) + " ORDER BY v.id", values...));
        while (TRY(row.next()))
            volumes.push_back({row.integer(0),
                               row.text(1),
                               row.text(2),
                               row.text(3),
                               row.text(4),
                               statusOf(row.text(5)),
                               row.integer(6),
                               {},
                               row.text(7)});
    }
    TRY(readConfig(db, kConfig, volumes));
    sortByName(volumes);
    return volumes;
}

template <class... Values>
Result<std::vector<VolumeSnapshot>> selectSnapshots(Database &db, std::string_view where, const Values &...values)
{
    const auto guard = db.lock();
    std::vector<VolumeSnapshot> snapshots;
    {
        Statement row = TRY(query(db, std::string(kSelectSnapshots) + std::string(where) + " ORDER BY id", values...));
        while (TRY(row.next()))
            snapshots.push_back({row.integer(0),
                                 row.integer(1),
                                 row.text(2),
                                 row.text(3),
                                 statusOf(row.text(4)),
                                 row.integer(5),
                                 row.integer(6),
                                 {},
                                 row.text(7)});
    }
    TRY(readConfig(db, kSnapshotConfig, snapshots));
    std::ranges::stable_sort(snapshots, {}, &VolumeSnapshot::createdAt); // one that came back is the last in the table
    return snapshots;
}

} // namespace

Result<std::int64_t> insertVolume(Database &db, const Volume &volume)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        const std::int64_t project = TRY(projectId(db, volume.project));
        const std::int64_t pool = TRY(poolId(db, volume.pool));
        TRY(named(run(db, kInsert, project, pool, volume.name, volume.description, statusName(volume.status),
                      volume.createdAt == 0 ? unixMillis() : volume.createdAt, volume.uuid),
                  taken(volume.name)));
        const std::int64_t id = db.lastInsertId();
        TRY(writeStrings(db, kConfig, id, volume.config));
        return id;
    });
}

Result<Volume> findVolume(Database &db, const std::string &pool, const std::string &project, const std::string &name)
{
    return onlyRow(select(db, "WHERE s.name=? AND p.name=? AND v.name=?", pool, project, name),
                   titled("storage volume", project, name) + " does not exist in pool " + quoted(pool));
}

Result<Volume> findVolume(Database &db, std::int64_t id) { return onlyRow(select(db, "WHERE v.id=?", id), missing(id)); }

Result<std::vector<Volume>> listScheduledVolumes(Database &db)
{
    return select(db, "WHERE v.id IN (SELECT volume_id FROM volume_config WHERE key='snapshots.schedule')");
}

Result<std::vector<Volume>> listVolumes(Database &db, const std::string &pool, const std::string &project)
{
    return select(db, "WHERE (?='' OR s.name=?) AND (?='' OR p.name=?)", pool, pool, project, project);
}

Status updateVolume(Database &db, const Volume &volume)
{
    return db.transaction([&]() -> Status {
        TRY(change(db, missing(volume.id), "UPDATE volumes SET description=? WHERE id=?", volume.description,
                   volume.id));
        return writeStrings(db, kConfig, volume.id, volume.config);
    });
}

Status setVolumeStatus(Database &db, std::int64_t id, VolumeStatus status)
{
    return db.transaction(
        [&] { return change(db, missing(id), "UPDATE volumes SET status=? WHERE id=?", statusName(status), id); });
}

Status renameVolume(Database &db, std::int64_t id, const std::string &name)
{
    return db.transaction(
        [&] { return named(change(db, missing(id), "UPDATE volumes SET name=? WHERE id=?", name, id), taken(name)); });
}

Status moveVolume(Database &db, std::int64_t id, const std::string &pool, const std::string &project, const std::string &name)
{
    return db.transaction([&]() -> Status {
        const std::int64_t to = TRY(poolId(db, pool)), in = TRY(projectId(db, project));
        return named(change(db, missing(id), "UPDATE volumes SET pool_id=?, project_id=?, name=? WHERE id=?", to, in, name, id),
                     taken(name));
    });
}

Status deleteVolume(Database &db, std::int64_t id)
{
    return db.transaction([&] { return change(db, missing(id), "DELETE FROM volumes WHERE id=?", id); });
}

Result<std::int64_t> insertVolumeSnapshot(Database &db, const VolumeSnapshot &snapshot)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        TRY(named(run(db, kInsertSnapshot, snapshot.volumeId, snapshot.name, snapshot.description,
                      statusName(snapshot.status), snapshot.createdAt == 0 ? unixMillis() : snapshot.createdAt,
                      snapshot.expiresAt, snapshot.schedule),
                  takenSnapshot(snapshot.name)));
        const std::int64_t id = db.lastInsertId();
        TRY(writeStrings(db, kSnapshotConfig, id, snapshot.config));
        return id;
    });
}

Result<VolumeSnapshot> findVolumeSnapshot(Database &db, std::int64_t volumeId, const std::string &name)
{
    return onlyRow(selectSnapshots(db, "WHERE volume_id=? AND name=?", volumeId, name),
                   "snapshot " + quoted(name) + " does not exist");
}

Result<std::vector<VolumeSnapshot>> listVolumeSnapshots(Database &db, std::int64_t volumeId)
{
    return selectSnapshots(db, "WHERE volume_id=?", volumeId);
}

Result<std::vector<VolumeSnapshot>> listExpiredVolumeSnapshots(Database &db, std::int64_t now)
{
    return selectSnapshots(db, "WHERE expires_at > 0 AND expires_at <= ? AND status='ready'", now);
}

Result<std::int64_t> nextVolumeSnapshotExpiry(Database &db)
{
    Statement row =
        TRY(query(db, "SELECT coalesce(min(expires_at), 0) FROM volume_snapshots WHERE expires_at > 0 AND status='ready'"));
    return TRY(row.next()) ? row.integer(0) : 0;
}

Status updateVolumeSnapshot(Database &db, const VolumeSnapshot &snapshot)
{
    return db.transaction([&] {
        return change(db, missingSnapshot(snapshot.id),
                      "UPDATE volume_snapshots SET description=?, expires_at=? WHERE id=?", snapshot.description,
                      snapshot.expiresAt, snapshot.id);
    });
}

Status setVolumeSnapshotStatus(Database &db, std::int64_t id, VolumeStatus status)
{
    return db.transaction([&] {
        return change(db, missingSnapshot(id), "UPDATE volume_snapshots SET status=? WHERE id=?", statusName(status),
                      id);
    });
}

Status renameVolumeSnapshot(Database &db, std::int64_t id, const std::string &name)
{
    return db.transaction([&] {
        return named(change(db, missingSnapshot(id), "UPDATE volume_snapshots SET name=? WHERE id=?", name, id),
                     takenSnapshot(name));
    });
}

Status deleteVolumeSnapshot(Database &db, std::int64_t id)
{
    return db.transaction(
        [&] { return change(db, missingSnapshot(id), "DELETE FROM volume_snapshots WHERE id=?", id); });
}

} // namespace lxmgr::store
