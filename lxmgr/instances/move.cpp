// Moving an instance to another pool: copied beside, recorded as being there, and only then deleted where it was.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/journal.h"
#include "instances/project_limits.h"
#include "instances/root_disk.h"
#include "instances/tpms.h"
#include "instances/transfer.h"

namespace lxmgr::instances
{

Status Manager::checkMove(const InstanceKey &key, const store::Instance &row, const MoveRequest &request)
{
    if (m_running->find(key))
        return Error(Code::WrongState, "Instance is running: " + quoted(key.name) + " (stop it before moving it)");
    TRY(checkNotKept(key));
    if (TRY(rootLimit(TRY(expanded(row)).devices, request.pool)))
        TRY_IN("root disk of " + quoted(key.name) + ": size", TRY(m_s.pools.get(request.pool))->canLimit());
    if (row.pool == request.pool)
        return Error(Code::AlreadyExists, "instance " + quoted(key.name) + " lies in storage pool " + quoted(row.pool) + " already");
    if (request.name.empty() || request.name == key.name)
        return {};
    TRY(checkInstanceName(request.name));
    return checkFree({key.project, request.name}, "choose another name");
}

Status Manager::move(const InstanceKey &key, const MoveRequest &request, Progress &progress)
{
    const bool leaves = !request.project.empty() && request.project != key.project;
    if (leaves && (request.pool.empty() || request.pool == TRY(readyRow(key)).pool))
        return moveProject(key, request);
    {
        const auto lock = lockFor(key);
        const std::lock_guard guard(*lock);
        const store::Instance row = TRY(readyRow(key));
        store::Instance there = row;
        there.pool = request.pool;
        if (leaves) // what can be wrong is found before anything is copied
            TRY_IN("move " + quoted(key.name), planProjectMove(there, request));
        TRY(checkMove(key, row, leaves ? MoveRequest{request.pool, {}, {}, {}, {}, {}} : request));
        TRY_IN("move " + quoted(key.name), movePool(row, request.pool, progress));
    }
    if (leaves)
        return moveProject(key, request);
    return request.name.empty() || request.name == key.name ? Status() : rename(key, request.name);
}

Status Manager::movePool(const store::Instance &row, const std::string &pool, Progress &progress)
{
    const InstanceKey key{row.project, row.name};
    const Pools::Use from = TRY(m_s.pools.get(row.pool)), to = TRY(m_s.pools.get(pool));
    if (to->hasVolume(key.project, key.name))
        return Error(Code::AlreadyExists, "storage pool " + quoted(pool) + " holds a volume of that name that nobody knows" +
                                              " ('lxmgr recover' looks at it)");
    Departure departure{*from, key.project, key.name, {}, {}};
    for (const store::Snapshot &snapshot : TRY(snapshots(key)))
        departure.snapshots.push_back(snapshot.name);
    const store::Operation journal = newJournal(kMoveOperation, key.project, key.name, row.pool + "/" + pool);
    TRY(store::beginOperation(m_s.db, journal));
    Undo undo;
    undo.add("move journal", makingRoom(m_s.db, [&] { return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure); }));
    undo.add("move volume", makingRoom(m_s.db, [&] { return to->deleteVolume(key.project, key.name); }));
    TRY(failpoint("move.record"));
    TRY(m_s.undo.withRoom(pool, [&] {
        return transfer(m_s.images, departure, {*to, key.project, key.name},
                        [&](const auto &work) { return whilePaused(key, work); }, progress);
    }));
    TRY(limitRoot(key, TRY(expanded(row)).devices, *to));
    TRY_IN("its TPMs", copyTpms(TRY(from->openVolume(key.project, key.name)), TRY(to->openVolume(key.project, key.name))));
    TRY(failpoint("move.copied"));
    TRY(recordPool(row, pool));
    undo.keep(); // from here on it goes forward
    TRY(failpoint("move.recorded"));
    return finishMove(journal);
}

/// The instance, and what its snapshots remember, says another pool from one moment to the next.
Status Manager::recordPool(store::Instance row, const std::string &pool)
{
    settleRoot(row.devices, TRY(expanded(row)).devices, pool);
    return withinLimits(m_s.db, {row.project}, [&]() -> Status {
        TRY(store::updateInstance(m_s.db, row));
        TRY(store::setInstancePool(m_s.db, row.id, pool));
        for (store::Snapshot snapshot : TRY(store::listSnapshots(m_s.db, row.id))) {
            TRY(store::deleteSnapshot(m_s.db, snapshot.id));
            settleRoot(snapshot, pool);
            TRY(store::insertSnapshot(m_s.db, snapshot));
        }
        return {};
    });
}

/// Each step may be repeated: recovery calls this again.
Status Manager::finishMove(const store::Operation &journal)
{
    const InstanceKey key{journal.project, journal.object};
    const store::FreeingSpace freeing(m_s.db);
    TRY(writeBackup(key));
    TRY(failpoint("move.backup"));
    const Pools::Use from = TRY(m_s.pools.get(split(journal.arguments, '/').front()));
    TRY(from->deleteVolume(key.project, key.name));
    TRY(failpoint("move.deleted"));
    TRY(store::finishOperation(m_s.db, journal.id, store::OperationStatus::Success));
    TRY(failpoint("move.done"));
    m_s.emit({"instance-updated", key, {}});
    return {};
}

/// What was copied is thrown away, unless the instance lies there already.
Status Manager::recoverMove(const store::Operation &journal)
{
    const InstanceKey key{journal.project, journal.object};
    const std::string pool = split(journal.arguments, '/').back();
    const auto row = find(key);
    if (row && row->pool == pool) {
        log::info("instance '" + key.name + "': its move to storage pool '" + pool + "' was cut off; completing it");
        return finishMove(journal);
    }
    if (row)
        TRY(TRY(m_s.pools.get(pool))->deleteVolume(key.project, key.name));
    return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

} // namespace lxmgr::instances
