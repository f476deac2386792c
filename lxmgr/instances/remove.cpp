// Deleting and renaming.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/journal.h"
#include "kernel/path.h"

#include <cstdio>

namespace lxmgr::instances
{

Status Manager::remove(const InstanceKey &key, Keep keep)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Instance row = TRY(readyRow(key));
    if (m_running->find(key))
        return Error(Code::WrongState, "Instance is running: " + quoted(key.name) + " (stop it first, or delete it with --force)");
    TRY(checkNotKept(key));
    const auto now = effective(row);
    if (now && now->config.protectionDelete.value_or(false))
        return Error(Code::Forbidden, "instance " + quoted(key.name) + " is protected from deletion (unset security.protection.delete)");
    return finishDelete(row, keep == Keep::Yes ? undoOf(store::UndoKind::Delete, row) : std::nullopt);
}

/// Each step may be repeated: recovery calls this again for a row that says `deleting`. `undo`: its volume is kept.
Status Manager::finishDelete(const store::Instance &row, std::optional<store::UndoEntry> undo)
{
    const InstanceKey key{row.project, row.name};
    store::FreeingSpace freeing(m_s.db);
    TRY(m_s.db.transaction([&]() -> Status {
        if (undo && undo->id == 0)
            undo->id = TRY(store::insertUndo(m_s.db, *undo));
        return store::setInstanceStatus(m_s.db, row.id, store::InstanceStatus::Deleting);
    }));
    TRY(failpoint("delete.record"));
    const auto pool = m_s.pools.get(row.pool);
    if (pool)
        TRY_IN("delete " + quoted(key.name), freeing.attempt([&]() -> Status {
            if (!undo)
                return (*pool)->deleteVolume(key.project, key.name);
            Status aside = (*pool)->setVolumeAside(key.project, key.name, undo->aside);
            return !aside && aside.error().code == Code::NotFound ? Status() : aside; // it was lost before
        }));
    else if (pool.error().code != Code::NotFound)
        return pool.error();
    TRY(failpoint("delete.volume"));
    TRY(releaseNics(row));
    TRY(failpoint("delete.network"));
    if (const auto logs = path::openFolder(m_s.paths.stateDir + "/logs"))
        TRY(path::removeTree(*logs, storage::volumeName(key.project, key.name)));
    TRY(m_s.db.transaction([&]() -> Status {
        const bool comesBack = undo && pool && (*pool)->hasAside(undo->aside);
        if (undo)
            TRY(comesBack ? store::setUndoStatus(m_s.db, undo->id, store::UndoStatus::Kept)
                          : store::deleteUndo(m_s.db, undo->id));
        if (!comesBack)
            TRY(store::dropExportsOf(m_s.db, {store::ExportOwner::Kind::Instance, row.id}));
        return store::deleteInstance(m_s.db, row.id);
    }));
    TRY(failpoint("delete.done"));
    m_s.exports.sweep();
    m_s.emit({"instance-deleted", key, {}});
    return {};
}

Status Manager::rename(const InstanceKey &key, const std::string &to)
{
    TRY(checkInstanceName(to));
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const InstanceKey target{key.project, to};
    if (to == key.name)
        return Error(Code::Invalid, "instance " + quoted(to) + " has this name already");
    const auto targetLock = lockFor(target);
    const std::unique_lock second(*targetLock, std::try_to_lock);
    const store::Instance row = TRY(readyRow(key));
    if (!second.owns_lock() || find(target))
        return Error(Code::AlreadyExists, "instance " + quoted(to) + " already exists (choose another name)");
    if (m_running->find(key))
        return Error(Code::WrongState, "Instance is running: " + quoted(key.name) + " (stop it before renaming it)");
    TRY(checkNotKept(key));
    const Pools::Use pool = TRY(m_s.pools.get(row.pool));
    // The journal says which of two names is right if we die between the pool and the database.
    const store::Operation journal = newJournal(kRenameOperation, key.project, key.name, to);
    TRY(store::beginOperation(m_s.db, journal));
    Undo undo;
    undo.add("rename journal", makingRoom(m_s.db, [&] { return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure); }));
    TRY(failpoint("rename.record"));
    TRY(releaseNics(row));
    TRY(pool->renameVolume(key.project, key.name, to));
    undo.add("rename volume", makingRoom(m_s.db, [&] { return pool->renameVolume(key.project, to, key.name); }));
    TRY(failpoint("rename.volume"));
    TRY(m_s.db.transaction([&]() -> Status {
        TRY(store::renameInstance(m_s.db, row.id, to));
        TRY(store::setInstanceConfig(m_s.db, row.id, {{"volatile.apply_template", "rename"}}));
        return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Success);
    }));
    undo.keep();
    TRY(failpoint("rename.done"));
    const std::string oldLogs = logDir(key), newLogs = logDir(target);
    if (::rename(oldLogs.c_str(), newLogs.c_str()) < 0 && errno != ENOENT)
        log::warning("rename logs of '" + key.name + "': " + Error::fromErrno(errno, "rename", oldLogs).message + ", ignoring");
    TRY(makingRoom(m_s.db, [&] { return writeBackup(target); })()); // all else has the new name by now
    m_s.emit({"instance-renamed", target, {{"old_name", key.name}}});
    return {};
}

Status Manager::recoverRename(const store::Operation &journal)
{
    // The row still has the old name, or the transaction would have ended the journal too.
    if (const auto row = find({journal.project, journal.object})) {
        const Pools::Use pool = TRY(m_s.pools.get(row->pool));
        if (!pool->hasVolume(journal.project, journal.object) && pool->hasVolume(journal.project, journal.arguments))
            TRY(pool->renameVolume(journal.project, journal.arguments, journal.object));
    }
    return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

} // namespace lxmgr::instances
