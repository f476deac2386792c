// Undoing what was done to custom volumes: deleted ones and deleted snapshots come back, restored ones hold what they held.
// Each is recorded as being applied before anything moves; recovery then goes on where it was cut off.
#include "instances/volumes.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/names.h"
#include "instances/project_limits.h"
#include "storage/tree.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

Result<config::VolumeDocument> documentOf(const store::UndoEntry &entry)
{
    return config::readVolumeDocument(entry.document, "undo " + std::to_string(entry.id));
}

std::string nameOfSnapshot(const std::string &object) { return object.substr(object.find('/') + 1); }

store::VolumeSnapshot rowOf(const config::VolumeSnapshotDocument &from)
{
    store::VolumeSnapshot row;
    row.name = from.name;
    row.description = from.description;
    row.status = store::VolumeStatus::Ready;
    row.createdAt = from.createdAt;
    row.expiresAt = from.expiresAt;
    row.config = from.config;
    row.schedule = from.schedule;
    return row;
}

/// What lies aside goes back into the volume by a rename.
Status checkSamePool(const store::UndoEntry &entry, const store::Volume &row)
{
    if (row.pool == entry.pool)
        return {};
    return Error(Code::WrongState, "what is kept of " + quoted(entry.object) + " lies in pool " + quoted(entry.pool) + ", the volume in " +
                                       quoted(row.pool) + " (move it back first: lxmgr storage volume move " + row.pool + "/" + row.name +
                                       " " + entry.pool + "/" + row.name + ")");
}

std::string anotherName(const store::UndoEntry &entry)
{
    return " already exists (give this one another name: lxmgr undo apply " + std::to_string(entry.id) + " <name>)";
}

} // namespace

/// What undoing a change of `row` will need; none where it is not kept, or cannot be.
std::optional<store::UndoEntry> Volumes::undoOf(store::UndoKind kind, const store::Volume &row, const std::string &snapshot)
{
    const auto until = m_undo.keptUntil(row.pool);
    if (!until)
        return std::nullopt;
    auto document = this->documentOf(row);
    if (!document) {
        log::warning(titleOf(keyOfVolume(row)) + ": " + document.error().message + ", so this cannot be undone");
        return std::nullopt;
    }
    if (kind != store::UndoKind::Volume)
        std::erase_if(document->snapshots, [&](const config::VolumeSnapshotDocument &each) { return each.name != snapshot; });
    store::UndoEntry entry;
    entry.project = row.project;
    entry.kind = kind;
    entry.status = store::UndoStatus::Keeping;
    entry.object = kind == store::UndoKind::VolumeSnapshot ? row.name + "/" + snapshot : row.name;
    entry.uuid = row.uuid;
    entry.pool = row.pool;
    entry.aside = storage::randomName();
    entry.document = config::writeVolumeDocument(*document);
    entry.expiresAt = *until;
    return entry;
}

/// The volume that the entry is about, whatever it is called and wherever it is by now.
Result<store::Volume> Volumes::volumeOf(const store::UndoEntry &entry)
{
    for (const store::Volume &row : TRY(store::listVolumes(m_db, "", "")))
        if (row.uuid == entry.uuid)
            return find(keyOfVolume(row));
    return Error(Code::NotFound, "Storage volume not found: " + quoted(entry.object.substr(0, entry.object.find('/'))) +
                                     " is deleted (undo its deletion first)");
}

Result<VolumeKey> Volumes::keyOf(const store::UndoEntry &entry)
{
    if (entry.kind == store::UndoKind::Volume)
        return VolumeKey{entry.pool, entry.project, entry.object};
    return keyOfVolume(TRY(volumeOf(entry)));
}

Result<UndoPreview> Volumes::previewUndo(const store::UndoEntry &entry)
{
    const config::VolumeDocument document = TRY(lxmgr::instances::documentOf(entry));
    UndoPreview preview;
    preview.config = document.config;
    for (const config::VolumeSnapshotDocument &snapshot : document.snapshots)
        preview.snapshots.push_back(snapshot.name);
    const auto pool = m_undo.poolOf(entry);
    if (pool)
        preview.usage = TRY((*pool)->asideUsage(entry.aside));
    else
        preview.obstacle = poolMissing(entry, pool.error()).message;
    if (entry.kind == store::UndoKind::Volume) {
        if (store::findVolume(m_db, entry.pool, entry.project, entry.object))
            preview.obstacle = titleOf({entry.pool, entry.project, entry.object}) + anotherName(entry);
        else if (const Status own = checkOwn(entry.project); !own)
            preview.obstacle = own.error().message;
    } else if (const auto row = volumeOf(entry); !row) {
        preview.obstacle = row.error().message;
    } else if (const Status near = checkSamePool(entry, *row); !near) {
        preview.obstacle = near.error().message;
    }
    return preview;
}

Status Volumes::applyUndo(const store::UndoEntry &entry, const std::string &name)
{
    switch (entry.kind) {
    case store::UndoKind::Volume: return applyDelete(entry, name.empty() ? entry.object : name);
    case store::UndoKind::VolumeSnapshot: return applySnapshot(entry, name.empty() ? nameOfSnapshot(entry.object) : name);
    default: return applyRestore(entry);
    }
}

// --- a deleted volume

/// The rows of a volume and its snapshots that the pool holds as `name`. A snapshot that the document does not know (its
/// making was just through) has the volume's own keys.
Status Volumes::record(const config::VolumeDocument &document, storage::Driver &pool, const std::string &name)
{
    const auto names = TRY(pool.listSnapshots(document.project, name));
    const auto all = TRY(store::listVolumes(m_db, "", ""));
    const bool taken = std::ranges::any_of(all, [&](const store::Volume &row) { return row.uuid == document.uuid; });
    store::Volume row;
    row.project = document.project;
    row.pool = pool.name();
    row.name = name;
    row.description = document.description;
    row.status = store::VolumeStatus::Ready;
    row.createdAt = document.createdAt;
    row.config = document.config;
    row.uuid = document.uuid.empty() || taken ? newUuid() : document.uuid;
    return m_db.transaction([&]() -> Status {
        const std::int64_t id = TRY(store::insertVolume(m_db, row));
        for (const std::string &each : names) {
            const auto known = std::ranges::find(document.snapshots, each, &config::VolumeSnapshotDocument::name);
            store::VolumeSnapshot snapshot = known != document.snapshots.end()
                                                 ? rowOf(*known)
                                                 : rowOf({each, "", store::unixMillis(), 0, document.config, ""});
            snapshot.volumeId = id;
            TRY(store::insertVolumeSnapshot(m_db, snapshot));
        }
        return {};
    });
}

Status Volumes::applyDelete(store::UndoEntry entry, const std::string &name)
{
    TRY(checkObjectName("storage volume", name));
    TRY(checkOwn(entry.project));
    const VolumeKey key{entry.pool, entry.project, name};
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    if (store::findVolume(m_db, key.pool, key.project, key.name))
        return Error(Code::AlreadyExists, titleOf(key) + anotherName(entry));
    TRY(store::setUndoStatus(m_db, entry.id, store::UndoStatus::Applying, name));
    entry.target = name;
    Undo undo;
    undo.add("undo record", [&] { return store::setUndoStatus(m_db, entry.id, store::UndoStatus::Kept); });
    TRY(failpoint("undo.volume.record"));
    undo.add("undo volume", [&]() -> Status {
        const auto pool = m_undo.poolOf(entry);
        return pool && !(*pool)->hasAside(entry.aside) ? (*pool)->setVolumeAside(key.project, name, entry.aside) : Status();
    });
    TRY_IN("undo the deletion of " + quoted(entry.object), finishDeleteBack(entry));
    undo.keep();
    TRY(failpoint("undo.volume.done"));
    TRY(writeDocument(TRY(find(key))));
    emit("storage-volume-created", key, {}, {{"undone", "storage-volume-deleted"}});
    return {};
}

/// Each step may be repeated: recovery calls this again.
Status Volumes::finishDeleteBack(const store::UndoEntry &entry)
{
    const config::VolumeDocument document = TRY(lxmgr::instances::documentOf(entry));
    const auto pool = m_undo.poolOf(entry);
    if (!pool)
        return poolMissing(entry, pool.error());
    TRY((*pool)->bringVolumeBack(entry.aside, entry.project, entry.target));
    TRY(failpoint("undo.volume.tree"));
    return withinLimits(m_db, {entry.project}, [&]() -> Status {
        TRY(record(document, **pool, entry.target));
        return store::deleteUndo(m_db, entry.id);
    });
}

// --- a deleted snapshot

Status Volumes::applySnapshot(store::UndoEntry entry, const std::string &name)
{
    TRY(checkObjectName("snapshot", name));
    const VolumeKey key = keyOfVolume(TRY(volumeOf(entry)));
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Volume row = TRY(find(key));
    TRY(checkSamePool(entry, row));
    if (store::findVolumeSnapshot(m_db, row.id, name))
        return Error(Code::AlreadyExists, "snapshot " + quoted(name) + " of " + titleOf(key) + anotherName(entry));
    entry.target = key.name + "/" + name;
    TRY(store::setUndoStatus(m_db, entry.id, store::UndoStatus::Applying, entry.target));
    Undo undo;
    undo.add("undo record", [&] { return store::setUndoStatus(m_db, entry.id, store::UndoStatus::Kept); });
    TRY(failpoint("undo.volume-snapshot.record"));
    undo.add("undo tree", [&]() -> Status {
        const auto pool = m_undo.poolOf(entry);
        return pool && !(*pool)->hasAside(entry.aside) ? (*pool)->setSnapshotAside(key.project, key.name, name, entry.aside) : Status();
    });
    TRY_IN("undo the deletion of " + quoted(entry.object), finishSnapshotBack(entry));
    undo.keep();
    TRY(failpoint("undo.volume-snapshot.done"));
    TRY(writeDocument(row));
    emit("storage-volume-snapshot-created", key, name, {{"undone", "storage-volume-snapshot-deleted"}});
    return {};
}

/// Each step may be repeated: recovery calls this again.
Status Volumes::finishSnapshotBack(const store::UndoEntry &entry)
{
    const config::VolumeDocument document = TRY(lxmgr::instances::documentOf(entry));
    if (document.snapshots.empty())
        return Error(Code::Corrupt, "nothing is known of the snapshot");
    const store::Volume row = TRY(volumeOf(entry));
    const Pools::Use pool = TRY(m_undo.poolOf(entry));
    store::VolumeSnapshot snapshot = rowOf(document.snapshots.front());
    snapshot.volumeId = row.id;
    snapshot.name = nameOfSnapshot(entry.target);
    if (snapshot.expiresAt > 0 && snapshot.expiresAt < store::unixMillis())
        snapshot.expiresAt = 0; // whoever wants it back does not want it gone at once
    TRY(pool->bringSnapshotBack(entry.aside, row.project, row.name, snapshot.name));
    TRY(failpoint("undo.volume-snapshot.tree"));
    return m_db.transaction([&]() -> Status {
        TRY(store::insertVolumeSnapshot(m_db, snapshot));
        return store::deleteUndo(m_db, entry.id);
    });
}

// --- a restore

Status Volumes::applyRestore(const store::UndoEntry &entry)
{
    const VolumeKey key = keyOfVolume(TRY(volumeOf(entry)));
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Volume row = TRY(find(key));
    TRY(checkSamePool(entry, row));
    store::UndoEntry now = entry; // where nothing else is kept any more this is, for as long as what it replaces
    now.id = 0;
    now.status = store::UndoStatus::Keeping;
    now.object = key.name;
    now.aside = storage::randomName();
    now.createdAt = 0;
    now.document = config::writeVolumeDocument(TRY(this->documentOf(row)));
    now.expiresAt = std::max(entry.expiresAt, m_undo.keptUntil().value_or(0));
    TRY(m_db.transaction([&]() -> Status {
        now.id = TRY(store::insertUndo(m_db, now));
        return store::setUndoStatus(m_db, entry.id, store::UndoStatus::Applying, key.name);
    }));
    Undo undo;
    undo.add("undo record", [&]() -> Status {
        const auto pool = m_undo.poolOf(entry);
        if (pool && (*pool)->hasAside(now.aside))
            return {}; // the files are back: the next start completes it
        TRY(store::deleteUndo(m_db, now.id));
        return store::setUndoStatus(m_db, entry.id, store::UndoStatus::Kept);
    });
    TRY(failpoint("undo.volume-restore.record"));
    TRY_IN("undo the restore of " + titleOf(key), finishExchange(entry, now));
    undo.keep();
    TRY(failpoint("undo.volume-restore.done"));
    emit("storage-volume-restored", key, {}, {{"undone", "storage-volume-restored"}});
    return {};
}

/// Each step may be repeated: recovery calls this again.
Status Volumes::finishExchange(const store::UndoEntry &entry, const store::UndoEntry &now)
{
    const store::Volume row = TRY(volumeOf(entry));
    const Pools::Use pool = TRY(m_undo.poolOf(entry));
    const store::FreeingSpace freeing(m_db); // once the files are back the rows must follow, on a full disk too
    TRY(pool->bringContentBack(entry.aside, row.project, row.name, now.aside));
    TRY(failpoint("undo.volume-restore.tree"));
    return m_db.transaction([&]() -> Status {
        TRY(store::setUndoStatus(m_db, now.id, store::UndoStatus::Kept));
        return store::deleteUndo(m_db, entry.id);
    });
}

/// What was being applied is completed.
Status Volumes::recoverUndo(const store::UndoEntry &entry)
{
    if (entry.kind == store::UndoKind::Volume)
        return finishDeleteBack(entry);
    if (entry.kind == store::UndoKind::VolumeSnapshot)
        return finishSnapshotBack(entry);
    const auto now = TRY(m_undo.unfinished(store::UndoKind::VolumeRestore, entry.uuid));
    return now ? finishExchange(entry, *now) : Status(Error(Code::Corrupt, "what is there now has no place"));
}

} // namespace lxmgr::instances
