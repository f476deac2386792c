// Copies of instances and of snapshots, new or in place of an older copy.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/journal.h"
#include "instances/root_disk.h"
#include "instances/transfer.h"
#include "kernel/sys.h"

#include <algorithm>
#include <sys/stat.h>

namespace lxmgr::instances
{

namespace
{

/// What the copy is asked to be, with what it takes over from where the request is silent.
CreateRequest completed(CreateRequest target, const StringMap &config, const DeviceMap &devices,
                        const std::vector<std::string> &profiles)
{
    target.config = config::withoutVolatile(target.config);
    target.config.erase("volatile.base_image"); // follows from the files
    for (const auto &[key, value] : config)
        if (!key.starts_with("volatile."))
            target.config.emplace(key, value);
    for (const auto &[name, device] : devices)
        target.devices.emplace(name, device);
    if (!target.profiles)
        target.profiles = profiles;
    return target;
}

/// Whether all of the source is wanted, or only the files of one state of it.
bool wantsAll(const CopyRequest &request) { return request.withSnapshots && request.snapshot.empty(); }

/// In the journal of a refresh, after the name of the volume beside and the source as "<project>:<name>".
constexpr const char *kOnlyFiles = "files";

} // namespace

Result<std::string> volumeIdentity(storage::Driver &pool, const InstanceKey &key)
{
    const struct stat info = TRY(sys::fstat(TRY(pool.openVolume(key.project, key.name))));
    return std::to_string(info.st_ino);
}

Status Manager::copyInstance(const CopyRequest &request, Progress &progress)
{
    const InstanceKey target{request.target.project, request.target.name};
    TRY(checkInstanceName(target.name));
    if (target == request.source)
        return Error(Code::Invalid, "instance " + quoted(target.name) + " cannot be copied onto itself");
    const auto sourceLock = lockFor(request.source), targetLock = lockFor(target);
    const std::scoped_lock both(*sourceLock, *targetLock);
    const store::Instance source = TRY(readyRow(request.source));
    TRY(checkComplete(source));
    if (request.refresh && find(target))
        return refresh(request, source, progress);

    std::vector<store::Snapshot> snapshots;
    NewInstance created;
    if (request.snapshot.empty()) {
        created = TRY(planNew(completed(request.target, source.config, source.devices, source.profiles)));
        if (request.withSnapshots)
            snapshots = TRY(this->snapshots(request.source));
    } else {
        const store::Snapshot from = TRY(readySnapshot(request.source, source.id, request.snapshot));
        created = TRY(planNew(completed(request.target, from.config, from.devices, from.profiles)));
    }
    for (store::Snapshot &snapshot : snapshots)
        settleRoot(snapshot, created.row.pool);
    created.row.image = source.image;
    created.birth = Birth::Copied;
    return build(created, std::move(snapshots), [&] {
        return m_s.undo.withRoom(created.row.pool, [&] {
            return copyFiles(request, source, *created.pool, target, std::nullopt, progress);
        });
    });
}

/// Makes the volume `target`: with all of the source, or with one state of it and the snapshots of the older copy
/// `like`. A running guest stands still while what it changed is copied.
Status Manager::copyFiles(const CopyRequest &request, const store::Instance &source, storage::Driver &to,
                          const InstanceKey &target, const std::optional<std::string> &like, Progress &progress)
{
    const Pools::Use held = TRY(m_s.pools.get(source.pool));
    storage::Driver &from = *held;
    if (&from != &to || (like && !wantsAll(request)))
        return transferFiles(request, source, {to, target.project, target.name, like}, progress);
    const auto with = wantsAll(request) ? storage::WithSnapshots::Yes : storage::WithSnapshots::No;
    progress.report("copy: " + source.name);
    if (!request.snapshot.empty())
        return from.copyVolume({source.project, source.name, request.snapshot, storage::InUse::No}, target.project, target.name, with);
    return whilePaused(request.source, [&](storage::InUse inUse) {
        return from.copyVolume({source.project, source.name, std::nullopt, inUse}, target.project, target.name, with);
    });
}

Status Manager::transferFiles(const CopyRequest &request, const store::Instance &source, Destination to, Progress &progress)
{
    const Pools::Use held = TRY(m_s.pools.get(source.pool));
    Departure from{*held, source.project, source.name, {}, {}};
    if (!request.snapshot.empty())
        from.snapshot = request.snapshot;
    if (wantsAll(request)) {
        const auto there = to.like ? TRY(snapshots({to.project, *to.like})) : std::vector<store::Snapshot>();
        for (const store::Snapshot &snapshot : TRY(snapshots(request.source))) {
            from.snapshots.push_back(snapshot.name);
            if (std::ranges::any_of(there, [&](const store::Snapshot &other) { return isSame(snapshot, other); }))
                from.known.push_back(snapshot.name);
        }
    } else if (to.like) {
        to.withSnapshotsOfLike = storage::WithSnapshots::Yes;
    }
    return transfer(m_s.images, from, to, [&](const auto &work) { return whilePaused(request.source, work); }, progress);
}

/// The new files are received beside the old ones and change places with them at once, so that the copy is whole whoever
/// dies when. Its definition stays.
Status Manager::refresh(const CopyRequest &request, const store::Instance &source, Progress &progress)
{
    const InstanceKey target{request.target.project, request.target.name};
    const store::Instance row = TRY(readyRow(target));
    if (m_running->find(target))
        return Error(Code::WrongState, "Instance is running: " + quoted(target.name) + " (stop it before refreshing it)");
    TRY(checkNotKept(target));
    if (!request.snapshot.empty())
        TRY(readySnapshot(request.source, source.id, request.snapshot));
    const Pools::Use held = TRY(m_s.pools.get(row.pool));
    storage::Driver &pool = *held;
    const InstanceKey beside{target.project, "refresh-" + newUuid().substr(0, 8)};
    const store::Operation journal = newJournal(
        kRefreshOperation, target.project, target.name,
        beside.name + "/" + request.source.project + ":" + request.source.name + (wantsAll(request) ? std::string() : std::string("/") + kOnlyFiles));
    TRY(store::beginOperation(m_s.db, journal));
    Undo undo;
    undo.add("refresh journal", makingRoom(m_s.db, [&] { return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure); }));
    undo.add("refresh volume", makingRoom(m_s.db, [&] { return pool.deleteVolume(beside.project, beside.name); }));
    TRY(failpoint("refresh.record"));
    TRY_IN("refresh " + quoted(target.name), m_s.undo.withRoom(row.pool, [&] {
               return copyFiles(request, source, pool, beside, target.name, progress);
           }));
    TRY_IN("refresh " + quoted(target.name),
           pool.setLimit(beside.project, beside.name, TRY(pool.limit(target.project, target.name))));
    TRY(failpoint("refresh.copied"));
    TRY(store::addOperationStep(m_s.db, journal.id, {kSwapStep, TRY(volumeIdentity(pool, beside))}));
    TRY_IN("refresh " + quoted(target.name), pool.swapVolumes(target.project, target.name, beside.name));
    undo.keep(); // from here on it goes forward
    TRY(failpoint("refresh.swapped"));
    return finishRefresh(row, source, journal);
}

/// The snapshots of the source that came along are now those of the copy.
Status Manager::takeSnapshotRows(const store::Instance &row, const store::Instance &source, storage::Driver &pool)
{
    std::vector<store::Snapshot> snapshots = TRY(this->snapshots({source.project, source.name}));
    return m_s.db.transaction([&]() -> Status {
        for (const store::Snapshot &old : TRY(store::listSnapshots(m_s.db, row.id)))
            TRY(store::deleteSnapshot(m_s.db, old.id));
        for (store::Snapshot &snapshot : snapshots) {
            if (!pool.hasSnapshot(row.project, row.name, snapshot.name))
                continue; // made since
            snapshot.instanceId = row.id;
            settleRoot(snapshot, row.pool);
            TRY(store::insertSnapshot(m_s.db, snapshot));
        }
        return store::setInstanceImage(m_s.db, row.id, source.image);
    });
}

/// Each step may be repeated: recovery calls this again.
Status Manager::finishRefresh(store::Instance row, const store::Instance &source, const store::Operation &journal)
{
    const InstanceKey key{row.project, row.name};
    const Pools::Use held = TRY(m_s.pools.get(row.pool));
    storage::Driver &pool = *held;
    const store::FreeingSpace freeing(m_s.db); // once the files are there the rows must follow, on a full disk too
    const std::vector<std::string> arguments = split(journal.arguments, '/');
    if (arguments.back() != kOnlyFiles || arguments.size() < 3)
        TRY(takeSnapshotRows(row, source, pool));
    TRY(store::setInstanceConfig(m_s.db, row.id, {{kUnfinishedKey, ""}}));
    TRY(failpoint("refresh.rows"));
    TRY(pool.deleteVolume(row.project, arguments.front()));
    TRY(makingRoom(m_s.db, [&] { return writeBackup(key); })());
    TRY(failpoint("refresh.backup"));
    TRY(store::finishOperation(m_s.db, journal.id, store::OperationStatus::Success));
    TRY(failpoint("refresh.done"));
    m_s.emit({"instance-updated", key, {}});
    return {};
}

/// What was received is thrown away, unless the old files had made place for it already.
Status Manager::recoverRefresh(const store::Operation &journal)
{
    const std::vector<std::string> arguments = split(journal.arguments, '/');
    const InstanceKey beside{journal.project, arguments.at(0)};
    const auto row = find({journal.project, journal.object});
    const std::size_t colon = arguments.at(1).find(':'); // an older version wrote no project: it was the target's
    const auto source = find({colon == std::string::npos ? journal.project : arguments.at(1).substr(0, colon),
                              arguments.at(1).substr(colon + 1)});
    if (row) {
        const Pools::Use held = TRY(m_s.pools.get(row->pool));
        storage::Driver &pool = *held;
        if (isRefreshRecorded(journal)) {
            log::info("instance '" + row->name + "': its refresh was cut off; completing it");
            return endRefresh(*row, beside.name, journal);
        }
        const auto identity = volumeIdentity(pool, {row->project, row->name});
        const bool swapped = !journal.steps.empty() && identity && *identity == journal.steps.front().undo;
        if (swapped && source) {
            log::info("instance '" + row->name + "': its refresh was cut off; completing it");
            return finishRefresh(*row, *source, journal);
        }
        if (swapped)
            TRY(pool.swapVolumes(row->project, row->name, beside.name));
        TRY(pool.deleteVolume(beside.project, beside.name));
    }
    return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

} // namespace lxmgr::instances
