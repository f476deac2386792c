// Copies of custom volumes, new or in place of an older copy, and moving them to another pool or project.
#include "instances/volumes.h"

#include "base/failpoint.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/journal.h"
#include "instances/project_limits.h"
#include "instances/transfer.h"
#include "instances/volume_journal.h"
#include "kernel/sys.h"

#include <algorithm>
#include <sys/stat.h>

namespace lxmgr::instances
{

namespace
{

constexpr const char *kOnlyFiles = "files";
constexpr const char *kRowsStep = "rows"; ///< From here on a renewal goes forward.

bool wantsAll(const Volumes::Source &from) { return !from.snapshot && from.with == storage::WithSnapshots::Yes; }

/// Tells one folder of a volume from another that has its name later.
Result<std::string> identityOf(storage::Driver &pool, const std::string &project, const std::string &name)
{
    const struct stat info = TRY(sys::fstat(TRY(pool.openVolume(project, name))));
    return std::to_string(info.st_ino);
}

} // namespace

/// Makes the files of `target`: within a pool the driver shares what it can, and what `like` has already is not copied.
Status Volumes::makeFiles(const Source &from, storage::Driver &to, const VolumeKey &target, const std::optional<store::Volume> &like,
                          Progress &progress)
{
    const VolumeKey &key = from.key;
    const Pools::Use source = TRY(m_pools.custom(key.pool));
    if (key.pool == target.pool && !like) {
        progress.report("copy: " + key.name);
        return to.copyVolume({key.project, key.name, from.snapshot, storage::InUse::Yes}, target.project, target.name,
                             wantsAll(from) ? storage::WithSnapshots::Yes : storage::WithSnapshots::No);
    }
    Departure departure{*source, key.project, key.name, from.snapshot, {}};
    Destination destination{to, target.project, target.name};
    if (like)
        destination.like = like->name;
    if (wantsAll(from)) {
        const auto there = like ? TRY(snapshots(keyOfVolume(*like))) : std::vector<store::VolumeSnapshot>();
        for (const store::VolumeSnapshot &snapshot : TRY(snapshots(key))) {
            departure.snapshots.push_back(snapshot.name);
            if (std::ranges::any_of(there, [&](const store::VolumeSnapshot &other) { return isSame(snapshot, other); }))
                departure.known.push_back(snapshot.name);
        }
    } else if (like) {
        destination.withSnapshotsOfLike = storage::WithSnapshots::Yes;
    }
    return receive(departure, destination, std::nullopt, {}, progress);
}

/// The snapshots of the source that came along are now those of the copy.
Status Volumes::takeSnapshotRows(const store::Volume &row, const VolumeKey &source)
{
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    std::vector<store::VolumeSnapshot> taken = TRY(snapshots(source));
    return m_db.transaction([&]() -> Status {
        for (const store::VolumeSnapshot &old : TRY(store::listVolumeSnapshots(m_db, row.id)))
            TRY(store::deleteVolumeSnapshot(m_db, old.id));
        for (store::VolumeSnapshot &snapshot : taken) {
            if (!pool->hasSnapshot(row.project, row.name, snapshot.name))
                continue; // made since
            snapshot.volumeId = row.id;
            TRY(store::insertVolumeSnapshot(m_db, snapshot));
        }
        return {};
    });
}

Status Volumes::copy(const Source &from, store::Volume row, Progress &progress)
{
    const VolumeKey target = keyOfVolume(row);
    if (from.key == target)
        return Error(Code::Invalid, titleOf(from.key) + " cannot be copied onto itself");
    const auto lock = lockFor(target), sourceLock = lockFor(from.key);
    const std::scoped_lock guard(*lock, *sourceLock);
    const store::Volume source = TRY(find(from.key));
    if (from.snapshot)
        TRY(snapshot(from.key, *from.snapshot));
    if (from.refresh && store::findVolume(m_db, row.pool, row.project, row.name))
        return refresh(from, TRY(find(target)), progress);
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    for (const auto &[key, value] : source.config)
        row.config.emplace(key, value);
    if (row.description.empty())
        row.description = source.description;
    TRY(checkFree(target, *pool));
    TRY(insert(row));
    Undo undo;
    undo.add("volume record", makingRoom(m_db, [&] { return store::deleteVolume(m_db, row.id); }));
    TRY(failpoint("volume-copy.record"));
    undo.add("volume tree", makingRoom(m_db, [&] { return pool->deleteVolume(row.project, row.name); }));
    TRY_IN("copy of " + titleOf(from.key), m_undo.withRoom(row.pool, [&] { return makeFiles(from, *pool, target, std::nullopt, progress); }));
    TRY(failpoint("volume-copy.tree"));
    TRY(limitNew(row, target, *pool));
    if (wantsAll(from))
        TRY(takeSnapshotRows(row, from.key));
    TRY(writeDocument(row));
    TRY(store::setVolumeStatus(m_db, row.id, store::VolumeStatus::Ready));
    undo.keep();
    return failpoint("volume-copy.ready");
}

// --- refreshing

/// The new files are received beside the old ones and change places with them at once, so that the copy is whole whoever
/// dies when. Its definition stays.
Status Volumes::refresh(const Source &from, const store::Volume &row, Progress &progress)
{
    const VolumeKey target = keyOfVolume(row), beside{row.pool, row.project, "refresh-" + newUuid().substr(0, 8)};
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    const store::Operation journal =
        newJournal(kVolumeRefresh, row.project, row.name,
                   join(std::vector<std::string>{row.pool, beside.name, from.key.pool, from.key.project, from.key.name}, "/") +
                       (wantsAll(from) ? std::string() : std::string("/") + kOnlyFiles));
    TRY(store::beginOperation(m_db, journal));
    Undo undo;
    undo.add("refresh journal", makingRoom(m_db, [&] { return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure); }));
    undo.add("refresh tree", makingRoom(m_db, [&] { return pool->deleteVolume(beside.project, beside.name); }));
    TRY(failpoint("volume-refresh.record"));
    TRY_IN("refresh of " + titleOf(target), m_undo.withRoom(row.pool, [&] { return makeFiles(from, *pool, beside, row, progress); }));
    TRY(limitNew(row, beside, *pool));
    TRY(failpoint("volume-refresh.copied"));
    TRY(store::addOperationStep(m_db, journal.id, {"swap", TRY(identityOf(*pool, beside.project, beside.name))}));
    TRY_IN("refresh of " + titleOf(target), pool->swapVolumes(row.project, row.name, beside.name));
    undo.keep(); // from here on it goes forward
    TRY(failpoint("volume-refresh.swapped"));
    return finishRefresh(row, journal);
}

/// Each step may be repeated: recovery calls this again.
Status Volumes::finishRefresh(const store::Volume &row, const store::Operation &journal)
{
    const store::FreeingSpace freeing(m_db); // once the files are there the rows must follow, on a full disk too
    const std::vector<std::string> arguments = split(journal.arguments, '/');
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    if (arguments.size() < 6)
        TRY(takeSnapshotRows(row, {arguments.at(2), arguments.at(3), arguments.at(4)}));
    TRY(failpoint("volume-refresh.rows"));
    TRY(pool->deleteVolume(row.project, arguments.at(1)));
    TRY(makingRoom(m_db, [&] { return writeDocument(row); })());
    TRY(failpoint("volume-refresh.document"));
    TRY(store::finishOperation(m_db, journal.id, store::OperationStatus::Success));
    return failpoint("volume-refresh.done");
}

/// What was received is thrown away, unless the old files had made place for it already.
Status Volumes::recoverRefresh(const store::Operation &journal)
{
    const std::vector<std::string> arguments = split(journal.arguments, '/');
    const std::string &beside = arguments.at(1);
    const auto row = find({arguments.at(0), journal.project, journal.object});
    if (row) {
        const Pools::Use pool = TRY(m_pools.custom(row->pool));
        const auto identity = identityOf(*pool, row->project, row->name);
        const bool swapped = !journal.steps.empty() && identity && *identity == journal.steps.back().undo;
        if (swapped && find({arguments.at(2), arguments.at(3), arguments.at(4)}))
            return finishRefresh(*row, journal);
        if (swapped)
            TRY(pool->swapVolumes(row->project, row->name, beside));
        TRY(pool->deleteVolume(row->project, beside));
    }
    return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

// --- the same of what comes from elsewhere

Status Volumes::renew(const VolumeKey &key, const std::optional<std::vector<store::VolumeSnapshot>> &snapshots, const MakeTrees &makeTrees)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Volume row = TRY(find(key));
    store::Volume beside = row;
    beside.name = "refresh-" + newUuid().substr(0, 8);
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    const store::Operation journal = newJournal(kVolumeRenew, row.project, row.name, row.pool + "/" + beside.name);
    TRY(store::beginOperation(m_db, journal));
    Undo undo;
    undo.add("renewal journal", makingRoom(m_db, [&] { return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure); }));
    undo.add("renewal tree", makingRoom(m_db, [&] { return pool->deleteVolume(beside.project, beside.name); }));
    TRY(failpoint("volume-renew.record"));
    TRY_IN("refresh of " + titleOf(key), m_undo.withRoom(row.pool, [&] { return makeTrees(*pool, beside); }));
    TRY(limitNew(row, keyOfVolume(beside), *pool));
    TRY(failpoint("volume-renew.made"));
    TRY(store::addOperationStep(m_db, journal.id, {"swap", TRY(identityOf(*pool, beside.project, beside.name))}));
    TRY_IN("refresh of " + titleOf(key), pool->swapVolumes(row.project, row.name, beside.name));
    undo.add("renewal swap", makingRoom(m_db, [&] { return pool->swapVolumes(row.project, row.name, beside.name); }));
    TRY(failpoint("volume-renew.swapped"));
    {
        const store::FreeingSpace freeing(m_db);
        TRY(m_db.transaction([&]() -> Status {
            for (const store::VolumeSnapshot &old : snapshots ? TRY(store::listVolumeSnapshots(m_db, row.id)) : std::vector<store::VolumeSnapshot>())
                TRY(store::deleteVolumeSnapshot(m_db, old.id));
            for (store::VolumeSnapshot snapshot : snapshots.value_or(std::vector<store::VolumeSnapshot>())) {
                snapshot.volumeId = row.id;
                snapshot.status = store::VolumeStatus::Ready;
                TRY(store::insertVolumeSnapshot(m_db, snapshot));
            }
            return store::addOperationStep(m_db, journal.id, {kRowsStep, ""});
        }));
    }
    undo.keep(); // from here on it goes forward
    TRY(failpoint("volume-renew.rows"));
    return finishRenew(row, journal);
}

/// Each step may be repeated: recovery calls this again.
Status Volumes::finishRenew(const store::Volume &row, const store::Operation &journal)
{
    const store::FreeingSpace freeing(m_db);
    TRY(TRY(m_pools.custom(row.pool))->deleteVolume(row.project, split(journal.arguments, '/').at(1)));
    TRY(makingRoom(m_db, [&] { return writeDocument(row); })());
    TRY(store::finishOperation(m_db, journal.id, store::OperationStatus::Success));
    return failpoint("volume-renew.done");
}

/// As with a refresh; once the rows say so, the new files are it.
Status Volumes::recoverRenew(const store::Operation &journal)
{
    const std::vector<std::string> arguments = split(journal.arguments, '/');
    const std::string &beside = arguments.at(1);
    if (const auto row = find({arguments.at(0), journal.project, journal.object})) {
        if (std::ranges::find(journal.steps, kRowsStep, &store::OperationStep::name) != journal.steps.end())
            return finishRenew(*row, journal);
        const Pools::Use pool = TRY(m_pools.custom(row->pool));
        const auto identity = identityOf(*pool, row->project, row->name);
        if (!journal.steps.empty() && identity && *identity == journal.steps.back().undo)
            TRY(pool->swapVolumes(row->project, row->name, beside));
        TRY(pool->deleteVolume(row->project, beside));
    }
    return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

// --- moving

Status Volumes::move(const VolumeKey &key, const VolumeKey &to, Progress &progress)
{
    const auto lock = lockFor(key), targetLock = lockFor(to);
    const std::scoped_lock guard(*lock, *targetLock);
    const store::Volume row = TRY(find(key));
    const Pools::Use pool = TRY(m_pools.custom(to.pool));
    TRY(checkFree(to, *pool));
    // Before anything is copied; again when it is recorded.
    TRY(checkLimits(m_db, {to.project}, [&] { return store::moveVolume(m_db, row.id, to.pool, to.project, to.name); }));
    const store::Operation journal =
        newJournal(kVolumeMove, key.project, key.name, join(std::vector<std::string>{key.pool, to.pool, to.project, to.name}, "/"));
    TRY(store::beginOperation(m_db, journal));
    Undo undo;
    undo.add("move journal", makingRoom(m_db, [&] { return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure); }));
    undo.add("move tree", makingRoom(m_db, [&] { return pool->deleteVolume(to.project, to.name); }));
    TRY(failpoint("volume-move.record"));
    TRY_IN("move of " + titleOf(key), m_undo.withRoom(to.pool, [&] { return makeFiles({key, {}}, *pool, to, std::nullopt, progress); }));
    TRY_IN("move of " + titleOf(key), limitNew(row, to, *pool));
    TRY(failpoint("volume-move.copied"));
    TRY(withinLimits(m_db, {to.project}, [&] { return store::moveVolume(m_db, row.id, to.pool, to.project, to.name); }));
    undo.keep(); // from here on it goes forward
    TRY(failpoint("volume-move.recorded"));
    return finishMove(journal, key, to);
}

/// Each step may be repeated: recovery calls this again.
Status Volumes::finishMove(const store::Operation &journal, const VolumeKey &from, const VolumeKey &to)
{
    const store::FreeingSpace freeing(m_db);
    TRY(makingRoom(m_db, [&]() -> Status { return writeDocument(TRY(find(to))); })());
    TRY(failpoint("volume-move.document"));
    TRY(TRY(m_pools.custom(from.pool))->deleteVolume(from.project, from.name));
    TRY(failpoint("volume-move.deleted"));
    TRY(store::finishOperation(m_db, journal.id, store::OperationStatus::Success));
    return failpoint("volume-move.done");
}

/// What was copied is thrown away, unless the volume lies there already.
Status Volumes::recoverMove(const store::Operation &journal)
{
    const std::vector<std::string> arguments = split(journal.arguments, '/');
    const VolumeKey from{arguments.at(0), journal.project, journal.object}, to{arguments.at(1), arguments.at(2), arguments.at(3)};
    if (!store::findVolume(m_db, from.pool, from.project, from.name) && store::findVolume(m_db, to.pool, to.project, to.name))
        return finishMove(journal, from, to);
    TRY(TRY(m_pools.custom(to.pool))->deleteVolume(to.project, to.name));
    return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

} // namespace lxmgr::instances
