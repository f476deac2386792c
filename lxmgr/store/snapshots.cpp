#include "store/snapshots.h"

#include "base/text.h"
#include "store/parts.h"

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelect = "SELECT id, instance_id, name, description, architecture, ephemeral, status, "
                                     "schedule, created_at, expires_at FROM snapshots ";
constexpr std::string_view kInsert = "INSERT INTO snapshots (instance_id, name, description, architecture, ephemeral, "
                                     "status, schedule, created_at, expires_at) "
                                     "SELECT id, ?, ?, ?, ?, ?, ?, ?, ? FROM instances WHERE id=?";
constexpr std::string_view kSelectProfiles =
    "SELECT snapshot_id, name FROM snapshot_profiles WHERE snapshot_id BETWEEN ? AND ? ORDER BY snapshot_id, position";

struct StringPart {
    PartTable table;
    StringMap Snapshot::*member;
};
struct DevicePart {
    PartTable table;
    DeviceMap Snapshot::*member;
};
constexpr StringPart kStringParts[] = {
    {{"snapshot_config", "snapshot_id"},          &Snapshot::config        },
    {{"snapshot_expanded_config", "snapshot_id"}, &Snapshot::expandedConfig},
};
constexpr DevicePart kDeviceParts[] = {
    {{"snapshot_devices", "snapshot_id"},          &Snapshot::devices        },
    {{"snapshot_expanded_devices", "snapshot_id"}, &Snapshot::expandedDevices},
};

constexpr std::pair<SnapshotStatus, std::string_view> kStatusNames[] = {
    {SnapshotStatus::Creating, "creating"},
    {SnapshotStatus::Ready,    "ready"   },
    {SnapshotStatus::Deleting, "deleting"},
};

std::string_view statusName(SnapshotStatus status)
{
    return std::ranges::find(kStatusNames, status, &std::pair<SnapshotStatus, std::string_view>::first)->second;
}
SnapshotStatus statusFrom(const std::string &name) // the column's CHECK lets no other name in
{
    return std::ranges::find(kStatusNames, name, &std::pair<SnapshotStatus, std::string_view>::second)->first;
}

std::string missing(std::int64_t id) { return "snapshot " + std::to_string(id) + " does not exist any more"; }

Snapshot readRow(const Statement &row)
{
    Snapshot snapshot;
    snapshot.id = row.integer(0);
    snapshot.instanceId = row.integer(1);
    snapshot.name = row.text(2);
    snapshot.description = row.text(3);
    snapshot.architecture = row.text(4);
    snapshot.ephemeral = row.flag(5);
    snapshot.status = statusFrom(row.text(6));
    snapshot.schedule = row.text(7);
    snapshot.createdAt = row.integer(8);
    snapshot.expiresAt = row.integer(9);
    return snapshot;
}

/// `snapshots` sorted by id.
Status readParts(Database &db, std::vector<Snapshot> &snapshots)
{
    const OwnerSpan owners = spanOf(snapshots);
    for (const StringPart &part : kStringParts) {
        Follower<Snapshot> follower(snapshots);
        TRY(readStrings(db, part.table, owners, [&](std::int64_t id) {
            Snapshot *snapshot = follower.find(id);
            return snapshot != nullptr ? &(snapshot->*part.member) : nullptr;
        }));
    }
    for (const DevicePart &part : kDeviceParts) {
        Follower<Snapshot> follower(snapshots);
        TRY(readDevices(db, part.table, owners, [&](std::int64_t id) {
            Snapshot *snapshot = follower.find(id);
            return snapshot != nullptr ? &(snapshot->*part.member) : nullptr;
        }));
    }
    Statement row = TRY(query(db, kSelectProfiles, owners.first, owners.last));
    Follower<Snapshot> follower(snapshots);
    while (TRY(row.next()))
        if (Snapshot *snapshot = follower.find(row.integer(0)))
            snapshot->profiles.push_back(row.text(1));
    return {};
}

template <class... Values>
Result<std::vector<Snapshot>> select(Database &db, std::string_view where, const Values &...values)
{
    const auto guard = db.lock();
    std::vector<Snapshot> snapshots;
    {
        Statement row = TRY(query(db, std::string(kSelect) + std::string(where) + " ORDER BY id", values...));
        while (TRY(row.next()))
            snapshots.push_back(readRow(row));
    }
    TRY(readParts(db, snapshots));
    std::ranges::stable_sort(snapshots, [](const Snapshot &a, const Snapshot &b) {
        return std::tie(a.instanceId, a.createdAt) < std::tie(b.instanceId, b.createdAt);
    });
    return snapshots;
}

Status writeParts(Database &db, std::int64_t id, const Snapshot &snapshot)
{
    for (const StringPart &part : kStringParts)
        TRY(writeStrings(db, part.table, id, snapshot.*part.member));
    for (const DevicePart &part : kDeviceParts)
        TRY(writeDevices(db, part.table, id, snapshot.*part.member));
    for (std::size_t i = 0; i < snapshot.profiles.size(); ++i)
        TRY(run(db, "INSERT INTO snapshot_profiles (snapshot_id, position, name) VALUES (?, ?, ?)", id,
                static_cast<std::int64_t>(i), snapshot.profiles[i]));
    return {};
}

} // namespace

Result<std::int64_t> insertSnapshot(Database &db, const Snapshot &snapshot)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        const std::int64_t created = snapshot.createdAt != 0 ? snapshot.createdAt : unixMillis();
        TRY(named(change(db, "instance " + std::to_string(snapshot.instanceId) + " does not exist any more", kInsert,
                         snapshot.name, snapshot.description, snapshot.architecture, snapshot.ephemeral,
                         statusName(snapshot.status), snapshot.schedule, created, snapshot.expiresAt,
                         snapshot.instanceId),
                  "snapshot " + quoted(snapshot.name) + " already exists"));
        const std::int64_t id = db.lastInsertId();
        TRY(writeParts(db, id, snapshot));
        return id;
    });
}

Result<Snapshot> findSnapshot(Database &db, std::int64_t instanceId, const std::string &name)
{
    return onlyRow(select(db, "WHERE instance_id=? AND name=?", instanceId, name),
                   "snapshot " + quoted(name) + " does not exist");
}

Result<std::vector<Snapshot>> listSnapshots(Database &db, std::int64_t instanceId)
{
    return select(db, "WHERE instance_id=?", instanceId);
}

Result<std::vector<Snapshot>> listSnapshots(Database &db) { return select(db, ""); }

Result<std::vector<Snapshot>> listSnapshotsIn(Database &db, SnapshotStatus status)
{
    return select(db, "WHERE status=?", statusName(status));
}

Result<std::vector<Snapshot>> listExpiredSnapshots(Database &db, std::int64_t now)
{
    return select(db, "WHERE expires_at > 0 AND expires_at <= ? AND status='ready'", now);
}

Result<std::int64_t> nextSnapshotExpiry(Database &db)
{
    Statement row =
        TRY(query(db, "SELECT coalesce(min(expires_at), 0) FROM snapshots WHERE expires_at > 0 AND status='ready'"));
    return TRY(row.next()) ? row.integer(0) : 0;
}

Result<bool> anySnapshotSchedule(Database &db)
{
    Statement row = TRY(query(db, "SELECT EXISTS (SELECT 1 FROM instance_config WHERE key='snapshots.schedule') "
                                  "OR EXISTS (SELECT 1 FROM profile_config WHERE key='snapshots.schedule')"));
    return TRY(row.next()) && row.flag(0);
}

Status setSnapshotStatus(Database &db, std::int64_t id, SnapshotStatus status)
{
    return db.transaction([&] {
        return change(db, missing(id), "UPDATE snapshots SET status=? WHERE id=?", statusName(status), id);
    });
}

Status setSnapshotExpiry(Database &db, std::int64_t id, std::int64_t at)
{
    return db.transaction(
        [&] { return change(db, missing(id), "UPDATE snapshots SET expires_at=? WHERE id=?", at, id); });
}

Status renameSnapshot(Database &db, std::int64_t id, const std::string &name)
{
    return db.transaction([&] {
        return named(change(db, missing(id), "UPDATE snapshots SET name=? WHERE id=?", name, id),
                     "snapshot " + quoted(name) + " already exists");
    });
}

Status deleteSnapshot(Database &db, std::int64_t id)
{
    return db.transaction([&] { return change(db, missing(id), "DELETE FROM snapshots WHERE id=?", id); });
}

} // namespace lxmgr::store
