// Snapshots of custom volumes: making, naming, deleting them, going back to one; by hand and by the clock.
#include "instances/volumes.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/journal.h"
#include "instances/volume_journal.h"
#include "instances/warnings.h"

#include <algorithm>

namespace lxmgr::instances
{

Result<std::vector<store::VolumeSnapshot>> Volumes::snapshots(const VolumeKey &key)
{
    auto rows = TRY(store::listVolumeSnapshots(m_db, TRY(find(key)).id));
    std::erase_if(rows, [](const store::VolumeSnapshot &row) { return row.status != store::VolumeStatus::Ready; });
    return rows;
}

Result<store::VolumeSnapshot> Volumes::snapshot(const VolumeKey &key, const std::string &name)
{
    auto row = store::findVolumeSnapshot(m_db, TRY(find(key)).id, name);
    if (!row && row.error().code == Code::NotFound)
        return Error(Code::NotFound, "Snapshot not found: " + quoted(name) + " of " + titleOf(key));
    if (row && row->status != store::VolumeStatus::Ready)
        return Error(Code::WrongState, "snapshot " + quoted(name) + " of " + titleOf(key) + " is being " +
                                           (row->status == store::VolumeStatus::Creating ? "made" : "deleted"));
    return row;
}

/// A name that was asked for, checked, or the one that the pattern gives.
Result<std::string> Volumes::snapshotName(const store::Volume &row, const config::VolumeConfig &config, const SnapshotRequest &request)
{
    if (!request.name.empty()) {
        TRY(checkObjectName("snapshot", request.name));
        if (store::findVolumeSnapshot(m_db, row.id, request.name))
            return Error(Code::AlreadyExists, "snapshot " + quoted(request.name) + " of " + titleOf(keyOfVolume(row)) +
                                                  " already exists (choose another name, or delete it first)");
        return request.name;
    }
    std::vector<std::string> taken;
    for (const store::VolumeSnapshot &each : TRY(store::listVolumeSnapshots(m_db, row.id)))
        taken.push_back(each.name);
    return TRY_IN("snapshots.pattern",
                  config.snapshotsPattern.value_or(config::SnapshotPattern{}).name(store::unixMillis() / 1000, taken));
}

Result<std::string> Volumes::createSnapshot(const VolumeKey &key, const SnapshotRequest &request, const std::string &description)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Volume row = TRY(find(key));
    const config::VolumeConfig config = TRY(config::parseVolumeConfig(row.config));
    const Pools::Use pool = TRY(m_pools.custom(key.pool));
    store::VolumeSnapshot wanted;
    wanted.volumeId = row.id;
    wanted.name = TRY(snapshotName(row, config, request));
    wanted.description = description;
    wanted.config = row.config;
    wanted.schedule = request.schedule;
    wanted.createdAt = store::unixMillis();
    wanted.expiresAt = expiryOf(request, config.snapshotsExpiry, config.snapshotsExpiryManual, wanted.createdAt);
    wanted.id = TRY(store::insertVolumeSnapshot(m_db, wanted));
    Undo undo;
    undo.add("snapshot record", makingRoom(m_db, [&] { return store::deleteVolumeSnapshot(m_db, wanted.id); }));
    TRY(failpoint("volume-snapshot.record"));
    undo.add("snapshot tree", makingRoom(m_db, [&] { return pool->deleteSnapshot(key.project, key.name, wanted.name); }));
    // Several guests may write to it: what they have not flushed is as after a power cut.
    TRY_IN(titleOf(key), m_undo.withRoom(key.pool, [&] {
               return pool->createSnapshot(key.project, key.name, wanted.name, storage::InUse::Yes);
           }));
    TRY(failpoint("volume-snapshot.tree"));
    TRY(store::setVolumeSnapshotStatus(m_db, wanted.id, store::VolumeStatus::Ready));
    undo.keep();
    TRY(failpoint("volume-snapshot.ready"));
    TRY(makingRoom(m_db, [&] { return writeDocument(row); })()); // the snapshot is there by now
    return wanted.name;
}

Status Volumes::updateSnapshot(const VolumeKey &key, const store::VolumeSnapshot &wanted)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    store::VolumeSnapshot now = TRY(snapshot(key, wanted.name));
    now.description = wanted.description;
    now.expiresAt = wanted.expiresAt;
    TRY(store::updateVolumeSnapshot(m_db, now));
    TRY(failpoint("volume-snapshot-update.record"));
    return makingRoom(m_db, [&]() -> Status { return writeDocument(TRY(find(key))); })();
}

Status Volumes::renameSnapshot(const VolumeKey &key, const std::string &from, const std::string &to)
{
    TRY(checkObjectName("snapshot", to));
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Volume row = TRY(find(key));
    const store::VolumeSnapshot now = TRY(snapshot(key, from));
    if (store::findVolumeSnapshot(m_db, row.id, to))
        return Error(Code::AlreadyExists, "snapshot " + quoted(to) + " of " + titleOf(key) + " already exists");
    const Pools::Use pool = TRY(m_pools.custom(key.pool));
    const store::Operation journal = newJournal(kVolumeRename, key.project, key.name, key.pool + "/" + from + "/" + to);
    TRY(store::beginOperation(m_db, journal));
    Undo undo;
    undo.add("rename journal", makingRoom(m_db, [&] { return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure); }));
    TRY(failpoint("volume-snapshot-rename.record"));
    TRY(pool->renameSnapshot(key.project, key.name, from, to));
    undo.add("rename tree", makingRoom(m_db, [&] { return pool->renameSnapshot(key.project, key.name, to, from); }));
    TRY(failpoint("volume-snapshot-rename.tree"));
    TRY(m_db.transaction([&]() -> Status {
        TRY(store::renameVolumeSnapshot(m_db, now.id, to));
        return store::finishOperation(m_db, journal.id, store::OperationStatus::Success);
    }));
    undo.keep();
    TRY(failpoint("volume-snapshot-rename.done"));
    return makingRoom(m_db, [&] { return writeDocument(row); })();
}

/// Each step may be repeated: recovery calls this again for a row that says `deleting`. `undo`: its files are kept.
Status Volumes::finishDeleteSnapshot(const store::Volume &row, const store::VolumeSnapshot &snapshot,
                                     std::optional<store::UndoEntry> undo)
{
    store::FreeingSpace freeing(m_db);
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    TRY(m_db.transaction([&]() -> Status {
        if (undo && undo->id == 0)
            undo->id = TRY(store::insertUndo(m_db, *undo));
        return store::setVolumeSnapshotStatus(m_db, snapshot.id, store::VolumeStatus::Deleting);
    }));
    TRY(failpoint("volume-snapshot-delete.record"));
    TRY(freeing.attempt([&]() -> Status {
        if (!undo)
            return pool->deleteSnapshot(row.project, row.name, snapshot.name);
        Status aside = pool->setSnapshotAside(row.project, row.name, snapshot.name, undo->aside);
        return !aside && aside.error().code == Code::NotFound ? Status() : aside; // it was lost before
    }));
    TRY(failpoint("volume-snapshot-delete.tree"));
    TRY(m_db.transaction([&]() -> Status {
        if (undo)
            TRY(pool->hasAside(undo->aside) ? store::setUndoStatus(m_db, undo->id, store::UndoStatus::Kept)
                                            : store::deleteUndo(m_db, undo->id));
        return store::deleteVolumeSnapshot(m_db, snapshot.id);
    }));
    TRY(failpoint("volume-snapshot-delete.done"));
    return freeing.attempt([&] { return writeDocument(row); });
}

Status Volumes::deleteSnapshot(const VolumeKey &key, const std::string &name, Keep keep)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Volume row = TRY(find(key));
    return finishDeleteSnapshot(row, TRY(snapshot(key, name)),
                                keep == Keep::Yes ? undoOf(store::UndoKind::VolumeSnapshot, row, name) : std::nullopt);
}

/// The driver mends what is cut off between its renames, so there is nothing to record but what is kept.
Status Volumes::restore(const VolumeKey &key, const std::string &name)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Volume row = TRY(find(key));
    TRY(snapshot(key, name));
    const Pools::Use pool = TRY(m_pools.custom(key.pool));
    auto kept = undoOf(store::UndoKind::VolumeRestore, row);
    if (kept)
        kept->id = TRY(store::insertUndo(m_db, *kept));
    Undo undo;
    undo.add("what the restore keeps", makingRoom(m_db, [&] { return kept ? m_undo.settle(*kept) : Status(); }));
    TRY(failpoint("volume-restore.record"));
    TRY_IN(titleOf(key), m_undo.withRoom(key.pool, [&] {
               return pool->restoreSnapshot(key.project, key.name, name, kept ? std::optional(kept->aside) : std::nullopt);
           }));
    TRY(failpoint("volume-restore.tree"));
    undo.keep();
    return kept ? makingRoom(m_db, [&] { return m_undo.settle(*kept); })() : Status();
}

// --- by the clock

std::optional<std::time_t> Volumes::nextScheduled(std::time_t now)
{
    std::optional<std::time_t> next;
    const auto earlier = [&](std::time_t at) { next = std::min(next.value_or(at), at); };
    if (const auto expiry = store::nextVolumeSnapshotExpiry(m_db); expiry && *expiry > 0)
        earlier(static_cast<std::time_t>(*expiry / 1000) + 1);
    for (const store::Volume &row : store::listScheduledVolumes(m_db).value_or(std::vector<store::Volume>{}))
        for (const config::Schedule &schedule : schedulesOf(row.config).schedules)
            if (const auto at = schedule.next(now, static_cast<std::uint64_t>(row.id)))
                earlier(*at);
    return next;
}

void Volumes::runScheduled(std::time_t since, std::time_t now)
{
    for (const store::VolumeSnapshot &snapshot :
         store::listExpiredVolumeSnapshots(m_db, std::int64_t{now} * 1000).value_or(std::vector<store::VolumeSnapshot>{}))
        if (const auto row = store::findVolume(m_db, snapshot.volumeId)) {
            const Status gone = deleteSnapshot(keyOfVolume(*row), snapshot.name, Keep::No);
            if (!gone && gone.error().code != Code::NotFound) // deleted meanwhile
                log::error(titleOf(keyOfVolume(*row)) + ": deleting expired snapshot '" + snapshot.name + "': " + gone.error().message + ", ignoring");
            if (gone)
                emit("storage-volume-snapshot-deleted", keyOfVolume(*row), snapshot.name);
        }
    for (const store::Volume &row : store::listScheduledVolumes(m_db).value_or(std::vector<store::Volume>{}))
        for (const config::Schedule &schedule : schedulesOf(row.config).schedules) {
            const auto at = schedule.next(since, static_cast<std::uint64_t>(row.id));
            if (row.status == store::VolumeStatus::Ready && at && *at <= now)
                followSchedule(row, schedule);
        }
}

void Volumes::followSchedule(const store::Volume &row, const config::Schedule &schedule)
{
    if (const Status done = runSchedule(row, schedule); !done && done.error().code != Code::NotFound) // deleted meanwhile
        warn(m_db, WarningType::ScheduledSnapshotFailure, about(row),
             titleOf(keyOfVolume(row)) + ": snapshot of schedule " + quoted(schedule.name) + ": " + done.error().message);
}

Status Volumes::runSchedule(const store::Volume &row, const config::Schedule &schedule)
{
    const VolumeKey key = keyOfVolume(row);
    SnapshotRequest request;
    request.schedule = schedule.name;
    request.expiry = schedule.expiry;
    emit("storage-volume-snapshot-created", key, TRY(createSnapshot(key, request)));
    resolve(m_db, WarningType::ScheduledSnapshotFailure, about(row));
    if (!schedule.keep)
        return {};
    for (const std::string &name : namesBeyond(TRY(snapshots(key)), schedule.name, *schedule.keep)) {
        TRY(deleteSnapshot(key, name, Keep::No));
        emit("storage-volume-snapshot-deleted", key, name);
    }
    return {};
}

} // namespace lxmgr::instances
