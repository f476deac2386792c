// Snapshots of instances: making, naming, expiring, deleting them, and going back to one.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/backup_rows.h"
#include "instances/journal.h"
#include "instances/names.h"
#include "instances/policy.h"
#include "instances/project_limits.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

Error notThere(const InstanceKey &key, const std::string &snapshot)
{
    return Error(Code::NotFound, "Snapshot not found: " + quoted(snapshot) + " of " + quoted(key.name));
}

} // namespace

Result<std::vector<store::Snapshot>> Manager::snapshots(const InstanceKey &key)
{
    auto all = TRY(store::listSnapshots(m_s.db, TRY(find(key)).id));
    std::erase_if(all, [](const store::Snapshot &one) { return one.status != store::SnapshotStatus::Ready; });
    return all;
}

Result<SnapshotsByInstance> Manager::snapshotsOfAll()
{
    SnapshotsByInstance all;
    for (store::Snapshot &snapshot : TRY(store::listSnapshots(m_s.db)))
        if (snapshot.status == store::SnapshotStatus::Ready)
            all[snapshot.instanceId].push_back(std::move(snapshot));
    return all;
}

Result<store::Snapshot> Manager::readySnapshot(const InstanceKey &key, std::int64_t instanceId, const std::string &name)
{
    auto snapshot = store::findSnapshot(m_s.db, instanceId, name);
    if (!snapshot && snapshot.error().code == Code::NotFound)
        return notThere(key, name);
    if (snapshot && snapshot->status != store::SnapshotStatus::Ready)
        return Error(Code::WrongState, "snapshot " + quoted(name) + " of " + quoted(key.name) + " is being " +
                                           (snapshot->status == store::SnapshotStatus::Creating ? "made" : "deleted"));
    return snapshot;
}

Result<store::Snapshot> Manager::snapshot(const InstanceKey &key, const std::string &name)
{
    return readySnapshot(key, TRY(find(key)).id, name);
}

/// A name that was asked for, checked, or the one that the pattern gives.
Result<std::string> Manager::snapshotName(const store::Instance &row, const config::InstanceConfig &config,
                                          const SnapshotRequest &request)
{
    if (!request.name.empty()) {
        TRY(checkObjectName("snapshot", request.name));
        if (store::findSnapshot(m_s.db, row.id, request.name))
            return Error(Code::AlreadyExists, "snapshot " + quoted(request.name) + " of " + quoted(row.name) +
                                                  " already exists (choose another name, or delete it first)");
        return request.name;
    }
    std::vector<std::string> taken;
    for (const store::Snapshot &snapshot : TRY(store::listSnapshots(m_s.db, row.id)))
        taken.push_back(snapshot.name);
    return TRY_IN("snapshots.pattern", config.snapshotsPattern.value_or(config::SnapshotPattern{}).name(store::unixMillis() / 1000, taken));
}

Result<std::string> Manager::createSnapshot(const InstanceKey &key, const SnapshotRequest &request)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Instance row = TRY(readyRow(key));
    TRY(checkProjectAllows(m_s.db, key.project, "snapshots"));
    const config::Expanded all = TRY(expanded(row));
    const config::Effective now = TRY(config::parseEffective(all));
    const Pools::Use held = TRY(m_s.pools.get(row.pool));
    storage::Driver &pool = *held;

    store::Snapshot snapshot;
    snapshot.instanceId = row.id;
    snapshot.name = TRY(snapshotName(row, now.config, request));
    snapshot.description = row.description;
    snapshot.architecture = row.architecture;
    snapshot.ephemeral = row.ephemeral;
    snapshot.config = row.config;
    snapshot.devices = row.devices;
    snapshot.expandedConfig = all.config;
    snapshot.expandedDevices = all.devices;
    snapshot.profiles = row.profiles;
    snapshot.schedule = request.schedule;
    snapshot.createdAt = store::unixMillis();
    snapshot.expiresAt = expiryOf(request, now.config.snapshotsExpiry, now.config.snapshotsExpiryManual, snapshot.createdAt);

    snapshot.id = TRY(store::insertSnapshot(m_s.db, snapshot));
    Undo undo;
    undo.add("snapshot record", makingRoom(m_s.db, [&] { return store::deleteSnapshot(m_s.db, snapshot.id); }));
    TRY(failpoint("snapshot.record"));
    undo.add("snapshot volume", makingRoom(m_s.db, [&] { return pool.deleteSnapshot(key.project, key.name, snapshot.name); }));
    TRY_IN("snapshot " + quoted(key.name), m_s.undo.withRoom(row.pool, [&] {
               return whilePaused(key, [&](storage::InUse inUse) {
                   return pool.createSnapshot(key.project, key.name, snapshot.name, inUse);
               });
           }));
    TRY(failpoint("snapshot.volume"));
    TRY(store::setSnapshotStatus(m_s.db, snapshot.id, store::SnapshotStatus::Ready));
    undo.keep();
    TRY(failpoint("snapshot.ready"));
    TRY(makingRoom(m_s.db, [&] { return writeBackup(key); })()); // the snapshot is there by now
    m_s.emit({"instance-snapshot-created", key, {{"snapshot", snapshot.name}}});
    return snapshot.name;
}

Status Manager::deleteSnapshot(const InstanceKey &key, const std::string &name, Keep keep)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Instance row = TRY(readyRow(key));
    TRY(checkNotKept(key));
    return finishDeleteSnapshot(row, TRY(readySnapshot(key, row.id, name)),
                                keep == Keep::Yes ? undoOf(store::UndoKind::Snapshot, row, name) : std::nullopt);
}

/// Each step may be repeated: recovery calls this again for a row that says `deleting`. `undo`: its files are kept.
Status Manager::finishDeleteSnapshot(const store::Instance &row, const store::Snapshot &snapshot,
                                     std::optional<store::UndoEntry> undo)
{
    const InstanceKey key{row.project, row.name};
    store::FreeingSpace freeing(m_s.db);
    TRY(m_s.db.transaction([&]() -> Status {
        if (undo && undo->id == 0)
            undo->id = TRY(store::insertUndo(m_s.db, *undo));
        return store::setSnapshotStatus(m_s.db, snapshot.id, store::SnapshotStatus::Deleting);
    }));
    TRY(failpoint("snapshot-delete.record"));
    const Pools::Use held = TRY(m_s.pools.get(row.pool));
    storage::Driver &pool = *held;
    TRY_IN("delete " + quoted(key.name + "/" + snapshot.name), freeing.attempt([&]() -> Status {
        if (!undo)
            return pool.deleteSnapshot(key.project, key.name, snapshot.name);
        Status aside = pool.setSnapshotAside(key.project, key.name, snapshot.name, undo->aside);
        return !aside && aside.error().code == Code::NotFound ? Status() : aside; // it was lost before
    }));
    TRY(failpoint("snapshot-delete.volume"));
    TRY(m_s.db.transaction([&]() -> Status {
        if (undo)
            TRY(pool.hasAside(undo->aside) ? store::setUndoStatus(m_s.db, undo->id, store::UndoStatus::Kept)
                                           : store::deleteUndo(m_s.db, undo->id));
        return store::deleteSnapshot(m_s.db, snapshot.id);
    }));
    TRY(failpoint("snapshot-delete.done"));
    TRY(freeing.attempt([&] { return writeBackup(key); }));
    m_s.emit({"instance-snapshot-deleted", key, {{"snapshot", snapshot.name}}});
    return {};
}

Status Manager::renameSnapshot(const InstanceKey &key, const std::string &from, const std::string &to)
{
    TRY(checkObjectName("snapshot", to));
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Instance row = TRY(readyRow(key));
    const store::Snapshot snapshot = TRY(readySnapshot(key, row.id, from));
    TRY(checkNotKept(key));
    if (store::findSnapshot(m_s.db, row.id, to))
        return Error(Code::AlreadyExists,
                     "snapshot " + quoted(to) + " of " + quoted(key.name) + " already exists (choose another name)");
    const Pools::Use held = TRY(m_s.pools.get(row.pool));
    storage::Driver &pool = *held;
    // The journal says which of two names is right if we die between the pool and the database.
    const store::Operation journal = newJournal(kSnapshotRenameOperation, key.project, key.name, from + "/" + to);
    TRY(store::beginOperation(m_s.db, journal));
    Undo undo;
    undo.add("snapshot rename journal", makingRoom(m_s.db, [&] { return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure); }));
    TRY(failpoint("snapshot-rename.record"));
    TRY(pool.renameSnapshot(key.project, key.name, from, to));
    undo.add("snapshot rename", makingRoom(m_s.db, [&] { return pool.renameSnapshot(key.project, key.name, to, from); }));
    TRY(failpoint("snapshot-rename.volume"));
    TRY(m_s.db.transaction([&]() -> Status {
        TRY(store::renameSnapshot(m_s.db, snapshot.id, to));
        return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Success);
    }));
    undo.keep();
    TRY(failpoint("snapshot-rename.done"));
    TRY(makingRoom(m_s.db, [&] { return writeBackup(key); })()); // all else has the new name by now
    m_s.emit({"instance-snapshot-renamed", key, {{"old_name", from}, {"snapshot", to}}});
    return {};
}

Status Manager::setSnapshotExpiry(const InstanceKey &key, const std::string &name, std::int64_t at)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Instance row = TRY(readyRow(key));
    const store::Snapshot snapshot = TRY(readySnapshot(key, row.id, name));
    const store::Operation journal = newJournal(kBackupFileOperation, key.project, key.name);
    TRY(m_s.db.transaction([&]() -> Status {
        TRY(store::setSnapshotExpiry(m_s.db, snapshot.id, at));
        return store::beginOperation(m_s.db, journal);
    }));
    TRY(failpoint("snapshot-expiry.record"));
    TRY(makingRoom(m_s.db, [&]() -> Status { // the row is changed by now
        TRY(writeBackup(key));
        return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Success);
    })());
    TRY(failpoint("snapshot-expiry.done"));
    m_s.emit({"instance-snapshot-updated", key, {{"snapshot", name}}});
    return {};
}

/// `row` with the definition that the snapshot holds, checked.
Result<store::Instance> Manager::restoredRow(store::Instance row, const store::Snapshot &snapshot)
{
    row = TRY(rowAsIn(m_s.db, std::move(row), snapshot));
    if (!config::rootDisk(TRY(effective(row)).devices))
        return Error(Code::Invalid, "its profiles give it no root disk any more");
    return row;
}

Status Manager::restoreStopped(const InstanceKey &key, const std::string &name, bool wasRunning)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Instance row = TRY(readyRow(key));
    const store::Snapshot snapshot = TRY(readySnapshot(key, row.id, name));
    if (m_running->find(key))
        return Error(Code::WrongState, "Instance is running: " + quoted(key.name) + " (it was started meanwhile)");
    const store::Operation journal =
        newJournal(kRestoreOperation, key.project, key.name, name + (wasRunning ? "/running" : ""));
    auto kept = undoOf(store::UndoKind::Restore, row);
    // From here on the limits of the project count what it is and what it will be.
    TRY_IN("restore " + quoted(key.name), withinLimits(m_s.db, {key.project}, [&]() -> Status {
               if (kept)
                   kept->id = TRY(store::insertUndo(m_s.db, *kept));
               return store::beginOperation(m_s.db, journal);
           }));
    Undo undo;
    undo.add("restore journal", makingRoom(m_s.db, [&] { return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure); }));
    // What is aside already is kept though the rest failed.
    undo.add("what the restore keeps", [&] { return kept ? m_s.undo.settle(*kept) : Status(); });
    TRY(failpoint("restore.record"));
    TRY(finishRestore(row, snapshot, journal, kept));
    undo.keep();
    return {};
}

Status Manager::restore(const InstanceKey &key, const std::string &name, const Progress &progress)
{
    // What can be wrong is found while the guest still runs.
    const store::Instance then = TRY_IN("restore " + quoted(key.name), restoredRow(TRY(readyRow(key)), TRY(snapshot(key, name))));
    TRY_IN("restore " + quoted(key.name), checkLimits(m_s.db, {key.project}, [&] { return store::updateInstance(m_s.db, then); }));
    return whileStopped(key, progress, [&](bool wasRunning) -> Status {
        TRY_IN("restore " + quoted(key.name), restoreStopped(key, name, wasRunning));
        m_s.emit({"instance-restored", key, {{"snapshot", name}}});
        return {};
    });
}

/// A running guest is stopped for `work` and started again afterwards.
Status Manager::whileStopped(const InstanceKey &key, const Progress &progress, const std::function<Status(bool wasRunning)> &work)
{
    const bool running = m_running->find(key).has_value();
    if (running) {
        StopRequest request;
        request.force = true; // what it has in memory is about to be undone anyway
        if (Status stopped = stop(key, request, progress); !stopped && stopped.error().code != Code::WrongState)
            return stopped;
    }
    Status done = work(running);
    if (running) {
        Status started = start(key);
        if (!started && done)
            return std::move(started.error()).in("restored, but not started again");
        if (!started)
            log::error("instance '" + key.name + "' does not start again: " + started.error().message);
    }
    return done;
}

/// Each step may be repeated: recovery completes a restore that was cut off. `kept`: what the volume held is kept.
Status Manager::finishRestore(const store::Instance &before, const store::Snapshot &snapshot, const store::Operation &journal,
                              const std::optional<store::UndoEntry> &kept)
{
    const InstanceKey key{before.project, before.name};
    const store::Instance row = TRY(restoredRow(before, snapshot));
    const Pools::Use held = TRY(m_s.pools.get(row.pool));
    storage::Driver &pool = *held;
    const store::FreeingSpace freeing(m_s.db); // once the files are back the rows must follow, on a full disk too
    TRY(whileResized(before, row, pool, [&] {
        return m_s.undo.withRoom(row.pool, [&] {
            return pool.restoreSnapshot(key.project, key.name, snapshot.name, kept ? std::optional(kept->aside) : std::nullopt);
        });
    }));
    TRY(failpoint("restore.volume"));
    TRY(m_s.db.transaction([&]() -> Status {
        TRY(store::updateInstance(m_s.db, row));
        if (kept)
            TRY(store::setUndoStatus(m_s.db, kept->id, store::UndoStatus::Kept));
        return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Success);
    }));
    TRY(failpoint("restore.done"));
    return writeBackup(key);
}

// --- recovery

Status Manager::recoverSnapshotRename(const store::Operation &journal)
{
    const std::size_t slash = journal.arguments.find('/');
    const std::string from = journal.arguments.substr(0, slash), to = journal.arguments.substr(slash + 1);
    // The row still has the old name, or the transaction would have ended the journal too.
    if (const auto row = find({journal.project, journal.object})) {
        const Pools::Use held = TRY(m_s.pools.get(row->pool));
        storage::Driver &pool = *held;
        if (!pool.hasSnapshot(row->project, row->name, from) && pool.hasSnapshot(row->project, row->name, to))
            TRY(pool.renameSnapshot(row->project, row->name, to, from));
    }
    return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

Status Manager::recoverRestore(const store::Operation &journal)
{
    const InstanceKey key{journal.project, journal.object};
    const std::size_t slash = journal.arguments.find('/');
    const auto row = find(key);
    const auto snapshot = row ? store::findSnapshot(m_s.db, row->id, journal.arguments.substr(0, slash))
                              : Result<store::Snapshot>(row.error());
    if (!snapshot)
        return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure, snapshot.error().message);
    log::info("instance '" + key.name + "': its restore from '" + snapshot->name + "' was cut off; completing it");
    const auto kept = TRY(m_s.undo.unfinished(store::UndoKind::Restore, uuidOf(*row)));
    if (Status done = finishRestore(*row, *snapshot, journal, kept); !done) {
        TRY(store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure, done.error().message));
        return done;
    }
    if (slash != std::string::npos) // it ran before: autostart brings it back
        return store::setInstanceConfig(m_s.db, row->id, {{kPowerKey, "RUNNING"}});
    return {};
}

/// What a crash left half made is taken back, half deleted is deleted.
Status Manager::recoverSnapshots(const store::Instance &row)
{
    const InstanceKey key{row.project, row.name};
    for (const store::Snapshot &snapshot : TRY(store::listSnapshots(m_s.db, row.id))) {
        if (snapshot.status == store::SnapshotStatus::Ready)
            continue;
        if (snapshot.status == store::SnapshotStatus::Deleting) {
            auto undo = TRY(m_s.undo.unfinished(store::UndoKind::Snapshot, uuidOf(row)));
            if (undo && undo->object != key.name + "/" + snapshot.name)
                undo.reset();
            TRY(finishDeleteSnapshot(row, snapshot, std::move(undo)));
            continue;
        }
        log::info("snapshot '" + snapshot.name + "' of '" + key.name + "' was cut off; taking it back");
        const Pools::Use held = TRY(m_s.pools.get(row.pool));
        storage::Driver &pool = *held;
        TRY(pool.deleteSnapshot(key.project, key.name, snapshot.name));
        TRY(store::deleteSnapshot(m_s.db, snapshot.id));
    }
    return {};
}

} // namespace lxmgr::instances
