// Undoing: deleted instances and snapshots come back, restored instances are as before, definitions and profiles are what
// they were. Each is recorded as being applied before anything moves; recovery then goes on where it was cut off.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/backup_rows.h"
#include "instances/project_limits.h"
#include "instances/root_disk.h"
#include "storage/tree.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

Result<config::BackupDocument> documentOf(const store::UndoEntry &entry)
{
    const std::string what = "undo " + std::to_string(entry.id);
    if (entry.kind != store::UndoKind::Profile)
        return config::readBackup(entry.document, what);
    config::BackupDocument document;
    document.project = entry.project;
    document.profiles.push_back(TRY(config::readProfile(entry.document, what)));
    document.profiles.back().name = entry.object;
    return document;
}

std::string nameOfSnapshot(const store::UndoEntry &entry) { return entry.object.substr(entry.object.find('/') + 1); }

void compareMaps(const std::string &prefix, const StringMap &now, const StringMap &then, std::vector<UndoChange> &changes)
{
    StringMap keys = now;
    keys.insert(then.begin(), then.end());
    for (const auto &[key, value] : keys) {
        const auto a = now.find(key), b = then.find(key);
        const std::string is = a == now.end() ? "" : a->second, was = b == then.end() ? "" : b->second;
        if (is != was && !key.starts_with("volatile."))
            changes.push_back({prefix + key, is, was});
    }
}

void compareDevices(const DeviceMap &now, const DeviceMap &then, std::vector<UndoChange> &changes)
{
    DeviceMap names = now;
    names.insert(then.begin(), then.end());
    for (const auto &[name, device] : names) {
        const auto a = now.find(name), b = then.find(name);
        compareMaps(name + ": ", a == now.end() ? StringMap{} : a->second, b == then.end() ? StringMap{} : b->second, changes);
    }
}

void compareTexts(const std::string &key, const std::string &now, const std::string &then, std::vector<UndoChange> &changes)
{
    if (now != then)
        changes.push_back({key, now, then});
}

std::vector<UndoChange> changesOf(const store::Instance &now, const config::InstanceDocument &then)
{
    std::vector<UndoChange> changes;
    compareTexts("description", now.description, then.description, changes);
    compareTexts("ephemeral", now.ephemeral ? "true" : "false", then.ephemeral ? "true" : "false", changes);
    compareTexts("profiles", join(now.profiles, ", "), join(then.profiles, ", "), changes);
    compareMaps("", now.config, then.config, changes);
    compareDevices(now.devices, then.devices, changes);
    return changes;
}

/// Its own definition from now on has what the profiles had brought.
void ownAll(store::Instance &row, const config::BackupDocument &document)
{
    row.config = document.expandedConfig;
    row.devices = document.expandedDevices;
}

/// What lies aside goes back into the volume by a rename.
Status checkSamePool(const store::UndoEntry &entry, const store::Instance &row)
{
    if (entry.pool.empty() || row.pool == entry.pool)
        return {};
    return Error(Code::WrongState, "what is kept of " + quoted(entry.object) + " lies in pool " + quoted(entry.pool) +
                                       ", the instance in " + quoted(row.pool) + " (move it back first: lxmgr move " + row.name +
                                       " --storage " + entry.pool + ")");
}

} // namespace

std::vector<UndoChange> changesOf(const store::Profile &now, const config::ProfileDocument &then)
{
    std::vector<UndoChange> changes;
    compareTexts("description", now.description, then.description, changes);
    compareMaps("", now.config, then.config, changes);
    compareDevices(now.devices, then.devices, changes);
    return changes;
}

/// What undoing a change of `row` will need; none where it is not kept, or cannot be.
std::optional<store::UndoEntry> Manager::undoOf(store::UndoKind kind, const store::Instance &row, const std::string &snapshot)
{
    const bool files = kind != store::UndoKind::Config;
    const auto until = m_s.undo.keptUntil(files ? row.pool : std::string());
    if (!until || uuidOf(row).empty())
        return std::nullopt;
    auto document = backupOf(row);
    if (!document) {
        log::warning("instance '" + row.name + "': " + document.error().message + ", so this cannot be undone");
        return std::nullopt;
    }
    if (kind != store::UndoKind::Delete)
        std::erase_if(document->snapshots, [&](const config::BackupSnapshot &each) { return each.name != snapshot; });
    store::UndoEntry entry;
    entry.project = row.project;
    entry.kind = kind;
    entry.status = files ? store::UndoStatus::Keeping : store::UndoStatus::Kept;
    entry.object = kind == store::UndoKind::Snapshot ? row.name + "/" + snapshot : row.name;
    entry.uuid = uuidOf(row);
    entry.pool = files ? row.pool : "";
    entry.aside = files ? storage::randomName() : "";
    entry.document = config::writeBackup(*document);
    entry.expiresAt = *until;
    return entry;
}

/// The instance that the entry is about, whatever it is called by now.
Result<store::Instance> Manager::instanceOf(const store::UndoEntry &entry)
{
    for (store::Instance &row : TRY(store::listInstances(m_s.db, entry.project)))
        if (uuidOf(row) == entry.uuid)
            return readyRow({row.project, row.name});
    return Error(Code::NotFound, "Instance not found: " + quoted(entry.object.substr(0, entry.object.find('/'))) +
                                     " is deleted (undo its deletion first)");
}

Result<UndoPreview> Manager::previewUndo(const store::UndoEntry &entry)
{
    if (store::isOfVolume(entry.kind))
        return m_s.volumes.previewUndo(entry);
    const config::BackupDocument document = TRY(documentOf(entry));
    const bool ofProfile = entry.kind == store::UndoKind::Profile;
    UndoPreview preview;
    preview.config = ofProfile ? document.profiles.front().config : document.instance.config;
    preview.devices = ofProfile ? document.profiles.front().devices : document.instance.devices;
    if (!ofProfile)
        preview.profiles = document.instance.profiles;
    for (const config::BackupSnapshot &snapshot : document.snapshots)
        preview.snapshots.push_back(snapshot.name);
    if (!entry.pool.empty()) {
        const auto pool = m_s.undo.poolOf(entry);
        if (pool)
            preview.usage = TRY((*pool)->asideUsage(entry.aside));
        else
            preview.obstacle = poolMissing(entry, pool.error()).message;
    }
    if (ofProfile) {
        if (const auto profile = store::findProfile(m_s.db, entry.project, entry.object))
            preview.changes = changesOf(*profile, document.profiles.front());
    } else if (entry.kind == store::UndoKind::Delete) {
        if (const Status free = checkFree({entry.project, entry.object}, "give it another name: lxmgr undo apply <number> <name>"); !free)
            preview.obstacle = free.error().message;
    } else if (const auto row = instanceOf(entry); !row) {
        preview.obstacle = row.error().message;
    } else if (const Status near = checkSamePool(entry, *row); !near) {
        preview.obstacle = near.error().message;
    } else if (entry.kind != store::UndoKind::Snapshot) {
        preview.changes = changesOf(*row, document.instance);
    }
    return preview;
}

Status Manager::applyUndo(const std::string &project, std::int64_t id, const std::string &name, const Progress &progress)
{
    const auto lock = m_s.undo.lockFor(id);
    const std::unique_lock guard(*lock, std::try_to_lock);
    const store::UndoEntry entry = TRY(m_s.undo.find(project, id));
    if (!guard.owns_lock() || entry.status != store::UndoStatus::Kept)
        return Error(Code::WrongState, "number " + std::to_string(id) + " is being worked on; try again");
    if (!name.empty() && entry.kind != store::UndoKind::Delete && entry.kind != store::UndoKind::Snapshot &&
        entry.kind != store::UndoKind::Volume && entry.kind != store::UndoKind::VolumeSnapshot)
        return Error(Code::Invalid, "only a deleted instance, volume or snapshot can come back under another name");
    switch (entry.kind) {
    case store::UndoKind::Delete: return applyDelete(entry, name.empty() ? entry.object : name);
    case store::UndoKind::Snapshot: return applySnapshot(entry, name.empty() ? nameOfSnapshot(entry) : name);
    case store::UndoKind::Restore: return applyRestore(entry, progress);
    case store::UndoKind::Config: return applyConfig(entry);
    case store::UndoKind::Profile: return applyProfile(entry);
    case store::UndoKind::VolumeRestore:
        TRY(checkVolumeIdle(TRY(m_s.volumes.keyOf(entry)), project, "stop it before its volume is changed"));
        [[fallthrough]];
    case store::UndoKind::Volume:
    case store::UndoKind::VolumeSnapshot: break;
    }
    return m_s.volumes.applyUndo(entry, name);
}

// --- a deleted instance

/// The row of an instance that comes back. What cannot be as it was (profiles that are gone, addresses and identity that
/// somebody else has by now) is replaced.
Result<store::Instance> Manager::rowBack(const store::UndoEntry &entry, const config::BackupDocument &document)
{
    store::Instance row = rowOf(document, entry.pool);
    row.name = entry.target;
    const bool allThere = std::ranges::all_of(row.profiles, [&](const std::string &name) {
        return store::findProfile(m_s.db, row.project, name).has_value();
    });
    if (!allThere) {
        std::erase_if(row.profiles, [&](const std::string &name) { return !store::findProfile(m_s.db, row.project, name); });
        ownAll(row, document);
    }
    auto wanted = effective(row);
    if (wanted && !config::rootDisk(wanted->devices)) {
        ownAll(row, document); // a profile was changed so that it brings none any more
        wanted = effective(row);
    }
    TRY(dropTaken(row.config));
    // One that an older version took and this one does not comes back all the same; its start says what is wrong.
    addVolatile(row, wanted ? wanted->devices : std::vector<config::Device>{}, Birth::Imported);
    return row;
}

/// Each step may be repeated: recovery calls this again.
Status Manager::recordBack(const store::UndoEntry &entry)
{
    const config::BackupDocument document = TRY(documentOf(entry));
    const auto held = m_s.pools.get(entry.pool);
    if (!held)
        return poolMissing(entry, held.error());
    storage::Driver &pool = **held;
    TRY(pool.bringVolumeBack(entry.aside, entry.project, entry.target));
    TRY(failpoint("undo.delete.volume"));
    store::Instance row = TRY(rowBack(entry, document));
    std::vector<store::Snapshot> snapshots = TRY(snapshotsOf(pool, document, entry.target));
    config::InstanceConfig ids;
    ids.privileged = document.idSize == 0;
    ids.idmapBase = document.idBase;
    ids.idmapSize = document.idSize;
    const auto insert = [&]() -> Status {
        TRY(record(row, row.id, ids));
        for (store::Snapshot &snapshot : snapshots) {
            snapshot.instanceId = row.id;
            TRY(store::insertSnapshot(m_s.db, snapshot));
        }
        return store::deleteUndo(m_s.db, entry.id);
    };
    Status done = withinLimits(m_s.db, {row.project}, insert);
    if (!done && document.idSize > 0) {
        // Its ids are somebody else's by now. Files keep the image's own ids, so others serve as well.
        ids.idmapBase.reset();
        done = withinLimits(m_s.db, {row.project}, insert);
    }
    return done;
}

Status Manager::announceBack(const InstanceKey &key)
{
    TRY(failpoint("undo.delete.done"));
    TRY(writeBackup(key));
    m_s.emit({"instance-created", key, {{"type", "container"}, {"undone", "instance-deleted"}}});
    return {};
}

Status Manager::applyDelete(store::UndoEntry entry, const std::string &name)
{
    TRY(checkInstanceName(name));
    const InstanceKey key{entry.project, name};
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    TRY(checkFree(key, "give this one another name: lxmgr undo apply " + std::to_string(entry.id) + " <name>"));
    TRY(store::setUndoStatus(m_s.db, entry.id, store::UndoStatus::Applying, name));
    entry.target = name;
    Undo undo;
    undo.add("undo record", [&] { return store::setUndoStatus(m_s.db, entry.id, store::UndoStatus::Kept); });
    TRY(failpoint("undo.delete.record"));
    undo.add("undo volume", [&]() -> Status {
        const auto pool = m_s.pools.get(entry.pool);
        return pool && !(*pool)->hasAside(entry.aside) ? (*pool)->setVolumeAside(key.project, name, entry.aside) : Status();
    });
    TRY_IN("undo the deletion of " + quoted(entry.object), recordBack(entry));
    undo.keep();
    return announceBack(key);
}

// --- a deleted snapshot

Status Manager::applySnapshot(store::UndoEntry entry, const std::string &name)
{
    TRY(checkObjectName("snapshot", name));
    const store::Instance found = TRY(instanceOf(entry));
    const InstanceKey key{found.project, found.name};
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Instance row = TRY(readyRow(key));
    TRY(checkNotKept(key));
    TRY(checkSamePool(entry, row));
    if (store::findSnapshot(m_s.db, row.id, name))
        return Error(Code::AlreadyExists, "snapshot " + quoted(name) + " of " + quoted(key.name) +
                                              " already exists (give this one another name: lxmgr undo apply " +
                                              std::to_string(entry.id) + " <name>)");
    entry.target = key.name + "/" + name;
    TRY(store::setUndoStatus(m_s.db, entry.id, store::UndoStatus::Applying, entry.target));
    Undo undo;
    undo.add("undo record", [&] { return store::setUndoStatus(m_s.db, entry.id, store::UndoStatus::Kept); });
    TRY(failpoint("undo.snapshot.record"));
    undo.add("undo files", [&]() -> Status {
        const auto pool = m_s.pools.get(entry.pool);
        return pool && !(*pool)->hasAside(entry.aside) ? (*pool)->setSnapshotAside(key.project, key.name, name, entry.aside) : Status();
    });
    TRY_IN("undo the deletion of " + quoted(entry.object), finishSnapshotBack(entry));
    undo.keep();
    TRY(failpoint("undo.snapshot.done"));
    TRY(writeBackup(key));
    m_s.emit({"instance-snapshot-created", key, {{"snapshot", name}, {"undone", "instance-snapshot-deleted"}}});
    return {};
}

/// Each step may be repeated: recovery calls this again.
Status Manager::finishSnapshotBack(const store::UndoEntry &entry)
{
    const config::BackupDocument document = TRY(documentOf(entry));
    if (document.snapshots.empty())
        return Error(Code::Corrupt, "nothing is known of the snapshot");
    const InstanceKey key{entry.project, entry.target.substr(0, entry.target.find('/'))};
    const store::Instance row = TRY(readyRow(key));
    const Pools::Use pool = TRY(m_s.pools.get(entry.pool));
    store::Snapshot snapshot = rowOf(document.snapshots.front());
    snapshot.instanceId = row.id;
    snapshot.name = entry.target.substr(key.name.size() + 1);
    if (snapshot.expiresAt > 0 && snapshot.expiresAt < store::unixMillis())
        snapshot.expiresAt = 0; // whoever wants it back does not want it gone at once
    TRY(pool->bringSnapshotBack(entry.aside, key.project, key.name, snapshot.name));
    TRY(failpoint("undo.snapshot.files"));
    return m_s.db.transaction([&]() -> Status {
        TRY(store::insertSnapshot(m_s.db, snapshot));
        return store::deleteUndo(m_s.db, entry.id);
    });
}

// --- a restore

Status Manager::applyRestore(const store::UndoEntry &entry, const Progress &progress)
{
    // What can be wrong is found while the guest still runs.
    const store::Instance row = TRY(instanceOf(entry));
    const store::Instance then = TRY_IN("undo the restore of " + quoted(row.name), restoredRow(row, snapshotOf(TRY(documentOf(entry)))));
    TRY(checkLimits(m_s.db, {row.project}, [&] { return store::updateInstance(m_s.db, then); }));
    TRY(checkSamePool(entry, row));
    const InstanceKey key{row.project, row.name};
    return whileStopped(key, progress, [&](bool) { return exchangeStopped(entry, key); });
}

Status Manager::exchangeStopped(const store::UndoEntry &entry, const InstanceKey &key)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Instance row = TRY(readyRow(key));
    TRY(checkNotKept(key));
    if (m_running->find(key))
        return Error(Code::WrongState, "Instance is running: " + quoted(key.name) + " (it was started meanwhile)");
    const store::Instance after = TRY(restoredRow(row, snapshotOf(TRY(documentOf(entry)))));
    TRY(checkLimits(m_s.db, {key.project}, [&] { return store::updateInstance(m_s.db, after); }));
    store::UndoEntry now = entry; // where nothing else is kept any more this is, for as long as what it replaces
    now.id = 0;
    now.status = store::UndoStatus::Keeping;
    now.object = key.name;
    now.aside = storage::randomName();
    now.createdAt = 0;
    now.document = config::writeBackup(TRY(backupOf(row)));
    now.expiresAt = std::max(entry.expiresAt, m_s.undo.keptUntil().value_or(0));
    TRY(m_s.db.transaction([&]() -> Status {
        now.id = TRY(store::insertUndo(m_s.db, now));
        return store::setUndoStatus(m_s.db, entry.id, store::UndoStatus::Applying, key.name);
    }));
    Undo undo;
    undo.add("undo record", [&]() -> Status {
        const auto pool = m_s.pools.get(entry.pool);
        if (pool && (*pool)->hasAside(now.aside))
            return {}; // the files are back: the next start completes it
        TRY(store::deleteUndo(m_s.db, now.id));
        return store::setUndoStatus(m_s.db, entry.id, store::UndoStatus::Kept);
    });
    TRY(failpoint("undo.restore.record"));
    TRY_IN("undo the restore of " + quoted(key.name), finishExchange(entry, now));
    undo.keep();
    TRY(failpoint("undo.restore.done"));
    TRY(writeBackup(key));
    m_s.emit({"instance-restored", key, {{"undone", "instance-restored"}}});
    return {};
}

/// Each step may be repeated: recovery calls this again.
Status Manager::finishExchange(const store::UndoEntry &entry, const store::UndoEntry &now)
{
    const store::Instance row = TRY(instanceOf(entry));
    const store::Instance after = TRY(restoredRow(row, snapshotOf(TRY(documentOf(entry)))));
    const Pools::Use pool = TRY(m_s.pools.get(entry.pool));
    const store::FreeingSpace freeing(m_s.db); // once the files are back the rows must follow, on a full disk too
    TRY(whileResized(row, after, *pool, [&] { return pool->bringContentBack(entry.aside, row.project, row.name, now.aside); }));
    TRY(failpoint("undo.restore.volume"));
    return m_s.db.transaction([&]() -> Status {
        TRY(store::updateInstance(m_s.db, after));
        TRY(store::setUndoStatus(m_s.db, now.id, store::UndoStatus::Kept));
        return store::deleteUndo(m_s.db, entry.id);
    });
}

// --- definitions

Status Manager::applyConfig(const store::UndoEntry &entry)
{
    const store::Instance row = TRY(instanceOf(entry));
    const config::InstanceDocument then = TRY(documentOf(entry)).instance;
    Definition definition{then.description, then.ephemeral, then.profiles, then.config, then.devices};
    std::erase_if(definition.config, [](const auto &each) { return each.first.starts_with("volatile."); });
    for (const auto &[key, value] : row.config)
        if (key.starts_with("volatile."))
            definition.config[key] = value;
    (void)TRY(redefine({row.project, row.name}, definition, entry.id));
    return {};
}

Status Manager::applyProfile(const store::UndoEntry &entry)
{
    const config::ProfileDocument then = TRY(documentOf(entry)).profiles.front();
    auto row = store::findProfile(m_s.db, entry.project, entry.object);
    if (!row && row.error().code != Code::NotFound)
        return row.error();
    const bool there = row.has_value();
    store::Profile profile = there ? *row : store::Profile{};
    profile.project = entry.project;
    profile.name = entry.object;
    profile.description = then.description;
    profile.config = then.config;
    profile.devices = then.devices;
    std::int64_t kept = 0;
    ProfileRecord record;
    record.write = [&] {
        return m_s.db.transaction([&]() -> Status {
            if (there) {
                kept = TRY(m_s.undo.keepProfile(*row));
                TRY(store::updateProfile(m_s.db, profile));
            } else {
                profile.id = TRY(store::insertProfile(m_s.db, profile));
            }
            return store::deleteUndo(m_s.db, entry.id);
        });
    };
    record.takeBack = [&] {
        return m_s.db.transaction([&]() -> Status {
            TRY(there ? store::updateProfile(m_s.db, *row) : store::deleteProfile(m_s.db, profile.id));
            TRY(store::insertUndo(m_s.db, entry));
            return kept == 0 ? Status() : store::deleteUndo(m_s.db, kept);
        });
    };
    (void)TRY(changeProfiles(entry.project, {profile}, record));
    return {};
}

// --- recovery

/// What was being applied is completed.
Status Manager::recoverUndo()
{
    for (const store::UndoEntry &entry : TRY(store::listUndo(m_s.db, ""))) {
        if (entry.status != store::UndoStatus::Applying || store::isOfVolume(entry.kind))
            continue;
        log::info("undo " + std::to_string(entry.id) + " of '" + entry.object + "' was cut off; completing it");
        const auto complete = [&]() -> Status {
            const InstanceKey key{entry.project, entry.target.substr(0, entry.target.find('/'))};
            if (entry.kind == store::UndoKind::Delete) {
                TRY(recordBack(entry));
            } else if (entry.kind == store::UndoKind::Snapshot) {
                TRY(finishSnapshotBack(entry));
            } else {
                const auto now = TRY(m_s.undo.unfinished(store::UndoKind::Restore, entry.uuid));
                if (!now)
                    return Error(Code::Corrupt, "what is there now has no place");
                TRY(finishExchange(entry, *now));
            }
            return writeBackup(key);
        };
        if (const Status done = complete(); !done)
            log::error("undo " + std::to_string(entry.id) + ": " + done.error().message + ", ignoring until the next start");
    }
    return {};
}

} // namespace lxmgr::instances
