// Moving an instance to another project: its files get another name in their pool, and nothing is copied.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/journal.h"
#include "instances/policy.h"
#include "instances/project_limits.h"
#include "instances/root_disk.h"

#include <cstdio>

namespace lxmgr::instances
{

namespace
{

template <class Map> void putOver(Map &own, const Map &changes)
{
    for (const auto &[key, value] : changes)
        if (value.empty())
            own.erase(key);
        else
            own[key] = value;
}

Status checkProfilesThere(store::Database &db, const store::Instance &row)
{
    for (const std::string &name : row.profiles) {
        const auto profile = store::findProfile(db, row.project, name);
        if (!profile && profile.error().code == Code::NotFound)
            return Error(Code::NotFound, "project " + quoted(row.project) + " has no profile " + quoted(name))
                .hint("make it there, or say which ones it is to have there: --profile <name>, --no-profiles");
        if (!profile)
            return profile.error();
    }
    return {};
}

} // namespace

/// What it would be there, checked in all ways that a new one of that project is.
Result<store::Instance> Manager::planProjectMove(const store::Instance &row, const MoveRequest &request)
{
    store::Instance after = row;
    after.project = TRY(store::findProject(m_s.db, request.project)).name;
    if (!request.name.empty())
        after.name = request.name;
    TRY(checkInstanceName(after.name));
    TRY(checkFree({after.project, after.name}, "choose another name for this one"));
    after.profiles = request.profiles.value_or(row.profiles);
    putOver(after.config, request.config);
    putOver(after.devices, request.devices);
    TRY(config::checkVolatileKept(row.config, after.config));
    TRY(checkProfilesThere(m_s.db, after));
    settleRoot(after.devices, TRY(expanded(after)).devices, row.pool); // it stays where it lies, whatever they say there
    StringMap cards = missingCardKeys(after.config, TRY(effective(after)).devices);
    after.config.merge(cards);
    if (after.name != row.name)
        after.config["volatile.apply_template"] = "rename";
    const config::Expanded all = TRY(expanded(after));
    const config::Effective wanted = TRY(config::parseEffective(all)), was = TRY(effective(row));
    if (wanted.config.privileged.value_or(false) != (row.idRange.size == 0))
        return Error(Code::Unsupported, "security.privileged of " + quoted(row.name) + " was settled when it was created, and would be another there");
    TRY(checkProjectPolicy(m_s.db, after.project, all, wanted));
    if (!TRY(store::listSnapshots(m_s.db, row.id)).empty())
        TRY(checkProjectAllows(m_s.db, after.project, "snapshots"));
    TRY(checkDevices(wanted, TRY(diskSources(after.project, wanted.devices)), lentCards(wanted), m_s.paths));
    TRY(m_s.networks.checkNics(row.project, row.name, wanted.devices, was.devices));
    TRY(checkIdmap(row, wanted.config));
    TRY(planLimits(wanted, cgroup::PlanFor::Fresh));
    TRY(checkLimits(m_s.db, {after.project}, [&] { return store::moveInstance(m_s.db, after); }));
    return after;
}

Status Manager::moveProject(const InstanceKey &key, const MoveRequest &request)
{
    const InstanceKey target{request.project, request.name.empty() ? key.name : request.name};
    const auto lock = lockFor(key), targetLock = lockFor(target);
    const std::lock_guard guard(*lock);
    const std::unique_lock second(*targetLock, std::try_to_lock); // never waited for, as in rename()
    const store::Instance row = TRY(readyRow(key));
    if (m_running->find(key))
        return Error(Code::WrongState, "Instance is running: " + quoted(key.name) + " (stop it before moving it)");
    TRY(checkNotKept(key));
    const store::Instance after = TRY_IN("move " + quoted(key.name), planProjectMove(row, request));
    const Pools::Use pool = TRY(m_s.pools.get(row.pool));
    if (!second.owns_lock() || pool->hasVolume(target.project, target.name))
        return Error(Code::AlreadyExists, "storage pool " + quoted(row.pool) + " holds a volume for " + quoted(target.name) + " in project " +
                                              quoted(target.project) + " (choose another name; 'lxmgr recover' looks at it)");
    const store::Operation journal = newJournal(kProjectMoveOperation, key.project, key.name, target.project + "/" + target.name);
    TRY(store::beginOperation(m_s.db, journal));
    Undo undo;
    undo.add("move journal", makingRoom(m_s.db, [&] { return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure); }));
    TRY(failpoint("project-move.record"));
    TRY(releaseNics(row));
    TRY(pool->moveVolume(key.project, key.name, target.project, target.name));
    undo.add("move volume", makingRoom(m_s.db, [&] { return pool->moveVolume(target.project, target.name, key.project, key.name); }));
    TRY(failpoint("project-move.volume"));
    const auto limit = TRY(rootLimit(TRY(expanded(after)).devices, row.pool)), was = TRY(pool->limit(target.project, target.name));
    if (limit != was) {
        TRY_IN("root disk of " + quoted(key.name), pool->setLimit(target.project, target.name, limit));
        undo.add("size of " + key.name, [&] { return pool->setLimit(target.project, target.name, was); });
    }
    TRY(failpoint("project-move.limit"));
    const store::Operation backup = newJournal(kBackupFileOperation, target.project, target.name);
    TRY_IN("move " + quoted(key.name), withinLimits(m_s.db, {target.project}, [&]() -> Status {
               TRY(store::moveInstance(m_s.db, after));
               TRY(store::finishOperation(m_s.db, journal.id, store::OperationStatus::Success));
               return store::beginOperation(m_s.db, backup);
           }));
    undo.keep();
    TRY(failpoint("project-move.recorded"));
    const std::string oldLogs = logDir(key), newLogs = logDir(target);
    if (::rename(oldLogs.c_str(), newLogs.c_str()) < 0 && errno != ENOENT)
        log::warning("move logs of '" + key.name + "': " + Error::fromErrno(errno, "rename", oldLogs).message + ", ignoring");
    TRY(makingRoom(m_s.db, [&]() -> Status { // it is there by now
        TRY(writeBackup(target));
        return store::finishOperation(m_s.db, backup.id, store::OperationStatus::Success);
    })());
    TRY(failpoint("project-move.done"));
    m_s.emit({"instance-deleted", key, {}}); // as each of the two projects sees it
    m_s.emit({"instance-created", target, {{"type", "container"}, {"storage-pool", row.pool}}});
    return {};
}

/// The row still says the old project, or its transaction would have ended the journal too: so do the files again.
Status Manager::recoverProjectMove(const store::Operation &journal)
{
    const std::vector<std::string> target = split(journal.arguments, '/');
    if (const auto row = find({journal.project, journal.object})) {
        const Pools::Use pool = TRY(m_s.pools.get(row->pool));
        if (!pool->hasVolume(row->project, row->name) && pool->hasVolume(target.at(0), target.at(1)))
            TRY(pool->moveVolume(target.at(0), target.at(1), row->project, row->name));
        const auto limit = TRY(rootLimit(TRY(expanded(*row)).devices, row->pool));
        if (limit != TRY(pool->limit(row->project, row->name)))
            TRY(pool->setLimit(row->project, row->name, limit));
    }
    return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

} // namespace lxmgr::instances
