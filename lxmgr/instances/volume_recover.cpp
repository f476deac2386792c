// After a crash: what was half done to custom volumes is completed or taken back. After a loss of the database: what the
// pools hold comes back.
#include "instances/volumes.h"

#include "base/log.h"
#include "base/text.h"
#include "instances/volume_journal.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "store/operations.h"

#include <algorithm>
#include <cerrno>

namespace lxmgr::instances
{

namespace
{

Result<config::VolumeDocument> documentIn(storage::Driver &pool, const std::string &project, const std::string &name)
{
    const Fd folder = TRY(pool.openVolume(project, name));
    const auto text = files::read(folder, config::kVolumeFile);
    if (!text && text.error().errnum == ENOENT)
        return Error(Code::NotFound, std::string("there is no ") + config::kVolumeFile +
                                         " beside it (its creation may have been cut off)");
    if (!text)
        return text.error();
    config::VolumeDocument document = TRY(config::readVolumeDocument(*text, config::kVolumeFile));
    if (document.project != project || document.name != name)
        return Error(Code::Corrupt, std::string(config::kVolumeFile) + " is that of " +
                                        quoted(document.project + "/" + document.name));
    return document;
}

} // namespace

/// All of it in one transaction, so that a crash leaves the volume lost as before or whole.
Status Volumes::bringBack(const config::VolumeDocument &document, storage::Driver &pool)
{
    const auto lock = lockFor({pool.name(), document.project, document.name});
    const std::lock_guard guard(*lock);
    TRY(store::findProject(m_db, document.project));
    TRY(checkOwn(document.project));
    return record(document, pool, document.name);
}

/// A deleted volume that lies aside and can be undone again; of other files nothing tells what they were.
Status Volumes::recoverAside(storage::Driver &pool, Apply apply, std::vector<Found> &found)
{
    const auto known = TRY(store::listUndo(m_db, ""));
    for (const std::string &aside : TRY(pool.listAside())) {
        const bool isKnown = std::ranges::any_of(known, [&](const store::UndoEntry &entry) {
            return entry.pool == pool.name() && entry.aside == aside;
        });
        const auto text = isKnown ? Result<std::string>(Error()) : files::read(TRY(pool.openAside(aside)), config::kVolumeFile);
        if (!text)
            continue;
        Found one{"deleted storage volume", "", aside, pool.name(), {}, {}};
        const auto document = config::readVolumeDocument(*text, config::kVolumeFile);
        Status done = document ? Status() : Status(document.error());
        if (document) {
            one.project = document->project;
            one.name = document->name;
        }
        if (document && apply == Apply::Yes)
            done = checkOwn(document->project);
        if (document && done && apply == Apply::Yes) {
            store::UndoEntry entry;
            entry.project = document->project;
            entry.kind = store::UndoKind::Volume;
            entry.object = document->name;
            entry.uuid = document->uuid;
            entry.pool = pool.name();
            entry.aside = aside;
            entry.document = *text;
            done = m_undo.adopt(std::move(entry));
        }
        found.push_back(outcome(std::move(one), done, apply));
    }
    return {};
}

Status Volumes::recoverLost(const std::string &pool, Apply apply, std::vector<Found> &found)
{
    if (!path::openFolder(TRY(m_pools.get(pool))->directory() + "/custom"))
        return {}; // it never had one, and looking makes none
    const Pools::Use driver = TRY(m_pools.custom(pool));
    for (const std::string &folder : TRY_IN("storage pool " + quoted(pool), driver->listVolumes())) {
        const std::size_t colon = folder.find(':'); // a project's name has none
        const std::string project = folder.substr(0, colon), name = folder.substr(std::min(colon + 1, folder.size()));
        if (store::findVolume(m_db, pool, project, name))
            continue;
        const auto document = documentIn(*driver, project, name);
        Status done = document ? Status() : Status(document.error());
        if (done && apply == Apply::Yes)
            done = bringBack(*document, *driver);
        found.push_back(outcome({"storage volume", project, name, pool, {}, {}}, done, apply));
    }
    return recoverAside(*driver, apply, found);
}

Status Volumes::recoverRename(const store::Operation &journal)
{
    const std::vector<std::string> parts = split(journal.arguments, '/');
    const auto row = find({parts[0], journal.project, journal.object});
    const std::string &to = parts.back();
    if (row && parts.size() == 2) {
        const Pools::Use pool = TRY(m_pools.custom(row->pool));
        if (!pool->hasVolume(row->project, row->name) && pool->hasVolume(row->project, to))
            TRY(pool->renameVolume(row->project, to, row->name));
    } else if (row) {
        // A snapshot: the row still has the old name, or the transaction would have ended the journal too.
        const Pools::Use pool = TRY(m_pools.custom(row->pool));
        if (!pool->hasSnapshot(row->project, row->name, parts[1]) && pool->hasSnapshot(row->project, row->name, to))
            TRY(pool->renameSnapshot(row->project, row->name, to, parts[1]));
    }
    return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

/// The row still has the old size, or the transaction would have ended the journal too.
Status Volumes::recoverResize(const store::Operation &journal)
{
    if (const auto row = find({journal.arguments, journal.project, journal.object}))
        TRY(TRY(m_pools.custom(row->pool))
                ->setLimit(row->project, row->name, limitOf(TRY(config::parseVolumeConfig(row->config)))));
    return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

Status Volumes::recoverOperation(const store::Operation &journal)
{
    if (journal.type == kVolumeRename)
        return recoverRename(journal);
    if (journal.type == kVolumeRefresh)
        return recoverRefresh(journal);
    if (journal.type == kVolumeRenew)
        return recoverRenew(journal);
    if (journal.type == kVolumeResize)
        return recoverResize(journal);
    return journal.type == kVolumeMove ? recoverMove(journal) : Status();
}

/// What a crash left half made is taken back, half deleted is deleted.
Status Volumes::recoverSnapshots(const store::Volume &row)
{
    for (const store::VolumeSnapshot &snapshot : TRY(store::listVolumeSnapshots(m_db, row.id))) {
        if (snapshot.status == store::VolumeStatus::Ready)
            continue;
        std::optional<store::UndoEntry> undo;
        if (snapshot.status == store::VolumeStatus::Deleting)
            undo = TRY(m_undo.unfinished(store::UndoKind::VolumeSnapshot, row.uuid));
        if (undo && undo->object != row.name + "/" + snapshot.name)
            undo.reset();
        TRY(finishDeleteSnapshot(row, snapshot, std::move(undo)));
    }
    return {};
}

Status Volumes::recoverOne(const store::Volume &row)
{
    if (row.status == store::VolumeStatus::Creating) {
        log::info(titleOf(keyOfVolume(row)) + ": its creation was cut off; taking it back");
        TRY(TRY(m_pools.custom(row.pool))->deleteVolume(row.project, row.name));
        return store::deleteVolume(m_db, row.id);
    }
    if (row.status == store::VolumeStatus::Deleting) {
        log::info(titleOf(keyOfVolume(row)) + ": its deletion was cut off; completing it");
        return finishRemove(row, TRY(m_undo.unfinished(store::UndoKind::Volume, row.uuid)));
    }
    TRY(recoverSnapshots(row));
    // A crash may have come between a row and its document. A pool that is not there is told of where pools are opened.
    return m_pools.custom(row.pool) ? writeDocument(row) : Status();
}

Status Volumes::recover()
{
    for (const store::Operation &journal : TRY(store::listUnfinished(m_db)))
        if (Status done = recoverOperation(journal); !done)
            log::error("storage volume '" + journal.object + "': " + done.error().message + ", ignoring until the next start");
    for (const store::UndoEntry &entry : TRY(store::listUndo(m_db, "")))
        if (store::isOfVolume(entry.kind) && entry.status == store::UndoStatus::Applying) {
            log::info("undo " + std::to_string(entry.id) + " of '" + entry.object + "' was cut off; completing it");
            if (const Status done = recoverUndo(entry); !done)
                log::error("undo " + std::to_string(entry.id) + ": " + done.error().message + ", ignoring until the next start");
        }
    for (const store::Volume &row : TRY(store::listVolumes(m_db, "", "")))
        if (Status done = recoverOne(row); !done)
            log::error(titleOf(keyOfVolume(row)) + ": " + done.error().message + ", ignoring");
    return {};
}

} // namespace lxmgr::instances
