#include "instances/volumes.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/journal.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "store/exports.h"
#include "storage/tree.h"

#include <algorithm>
#include <cerrno>
#include <unistd.h>

namespace lxmgr::instances
{

namespace
{

constexpr const char *kRename = "volume-rename";
constexpr const char *kResize = "volume-resize";
constexpr mode_t kMode = 0711; ///< Of a new volume's top folder.

std::string titleOf(const VolumeKey &key)
{
    return "storage volume " + quoted(key.name) + " in pool " + quoted(key.pool);
}
VolumeKey keyOf(const store::Volume &row) { return {row.pool, row.project, row.name}; }

void dropEmpty(StringMap &config)
{
    std::erase_if(config, [](const auto &entry) { return entry.second.empty(); });
}

/// The top folder of a volume as guests see it. Custom volumes are plain trees with every driver.
Result<Fd> openTop(const storage::RootTree &tree) { return sys::open(tree.directory, O_RDONLY | O_DIRECTORY); }

Status emptyFolder(const Fd &folder)
{
    for (const std::string &name : TRY(path::list(folder)))
        TRY(path::removeTree(folder, name));
    return {};
}

Status flush(const Fd &folder)
{
    TRY(sys::call("syncfs", {}, [&] { return ::syncfs(folder.get()); }));
    return {};
}

Result<config::VolumeDocument> documentOf(storage::Driver &pool, const std::string &project, const std::string &name)
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

Result<store::Volume> Volumes::find(const VolumeKey &key)
{
    auto row = store::findVolume(m_db, key.pool, key.project, key.name);
    if (!row && row.error().code == Code::NotFound)
        return Error(Code::NotFound, "Storage volume not found: " + quoted(key.name) + " in pool " + quoted(key.pool));
    if (row && row->status != store::VolumeStatus::Ready)
        return Error(Code::WrongState, titleOf(key) + " is being " +
                                           (row->status == store::VolumeStatus::Creating ? "created" : "deleted"));
    return row;
}

Result<std::vector<store::Volume>> Volumes::list(const std::string &pool, const std::string &project)
{
    auto rows = TRY(store::listVolumes(m_db, pool, project));
    std::erase_if(rows, [](const store::Volume &row) { return row.status != store::VolumeStatus::Ready; });
    return rows;
}

Status Volumes::insert(store::Volume &row)
{
    TRY(checkObjectName("storage volume", row.name));
    dropEmpty(row.config);
    for (const auto &[key, value] : TRY(m_pools.volumeDefaults(row.pool)))
        row.config.emplace(key, value);
    const config::VolumeConfig config = TRY_IN(titleOf(keyOf(row)), config::parseVolumeConfig(row.config));
    if (limitOf(config))
        TRY_IN(titleOf(keyOf(row)) + ": size", TRY(m_pools.custom(row.pool))->canLimit());
    row.status = store::VolumeStatus::Creating;
    row.createdAt = store::unixMillis();
    row.id = TRY(store::insertVolume(m_db, row));
    return {};
}

std::optional<Bytes> Volumes::limitOf(const config::VolumeConfig &config)
{
    return config.size && config.size->count != 0 ? config.size : std::nullopt;
}

Status Volumes::makeEmpty(const store::Volume &row, storage::Driver &pool)
{
    const config::VolumeConfig config = TRY(config::parseVolumeConfig(row.config));
    TRY(pool.createVolume(row.project, row.name, std::nullopt));
    const Fd top = TRY(openTop(TRY(pool.root(row.project, row.name))));
    TRY(sys::fchown(top, config.uid.value_or(0), config.gid.value_or(0)));
    return sys::fchmod(top, config.mode ? config.mode->bits : kMode);
}

Status Volumes::create(const store::Volume &wanted)
{
    return make(wanted, {}, [this](storage::Driver &pool, const store::Volume &row) { return makeEmpty(row, pool); });
}

Status Volumes::make(store::Volume row, std::vector<store::VolumeSnapshot> snapshots, const MakeTrees &makeTrees)
{
    const auto lock = lockFor(keyOf(row));
    const std::lock_guard guard(*lock);
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    TRY(insert(row));
    Undo undo;
    undo.add("volume record", makingRoom(m_db, [&] { return store::deleteVolume(m_db, row.id); }));
    TRY(failpoint("volume.record"));
    undo.add("volume tree", makingRoom(m_db, [&] { return pool->deleteVolume(row.project, row.name); }));
    TRY_IN(titleOf(keyOf(row)), makeTrees(*pool, row));
    TRY(failpoint("volume.tree"));
    TRY(limitNew(row, *pool));
    for (store::VolumeSnapshot &snapshot : snapshots) {
        snapshot.volumeId = row.id;
        snapshot.status = store::VolumeStatus::Ready;
        TRY(store::insertVolumeSnapshot(m_db, snapshot));
    }
    TRY(writeDocument(row, *pool));
    TRY(store::setVolumeStatus(m_db, row.id, store::VolumeStatus::Ready));
    undo.keep();
    return failpoint("volume.ready");
}

/// Rows of the snapshots that came along; those of the source that were being made or deleted did not.
Status Volumes::copySnapshotRows(const Source &from, const store::Volume &row)
{
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    const store::Volume source = TRY(find(from.key));
    for (store::VolumeSnapshot snapshot : TRY(store::listVolumeSnapshots(m_db, source.id))) {
        if (!pool->hasSnapshot(row.project, row.name, snapshot.name))
            continue;
        snapshot.volumeId = row.id;
        snapshot.status = store::VolumeStatus::Ready;
        TRY(store::insertVolumeSnapshot(m_db, snapshot));
    }
    return {};
}

/// Within a pool the driver shares what it can; across pools every snapshot is copied and snapshotted there again.
Status Volumes::makeCopy(const Source &from, const store::Volume &row, storage::Driver &to, const Progress &progress)
{
    const VolumeKey &key = from.key;
    const Pools::Use source = TRY(m_pools.custom(key.pool));
    const bool withSnapshots = !from.snapshot && from.with == storage::WithSnapshots::Yes;
    if (key.pool == row.pool)
        return to.copyVolume({key.project, key.name, from.snapshot, storage::InUse::Yes}, row.project, row.name,
                             withSnapshots ? storage::WithSnapshots::Yes : storage::WithSnapshots::No);
    TRY(to.createVolume(row.project, row.name, std::nullopt));
    const Fd target = TRY(openTop(TRY(to.root(row.project, row.name))));
    if (withSnapshots) {
        const store::Volume original = TRY(find(key));
        for (const store::VolumeSnapshot &snapshot : TRY(store::listVolumeSnapshots(m_db, original.id))) {
            if (snapshot.status != store::VolumeStatus::Ready)
                continue;
            if (progress.cancelled())
                return Error(Code::Cancelled, "copying " + titleOf(key) + " was cancelled");
            TRY(emptyFolder(target));
            const Fd tree = TRY(openTop(TRY(source->snapshotRoot(key.project, key.name, snapshot.name))));
            TRY_IN("snapshot " + quoted(snapshot.name), storage::copyTree(tree, target));
            TRY(to.createSnapshot(row.project, row.name, snapshot.name, storage::InUse::No));
            TRY(failpoint("volume-copy.snapshot"));
        }
        TRY(emptyFolder(target));
    }
    const storage::RootTree tree = TRY(from.snapshot ? source->snapshotRoot(key.project, key.name, *from.snapshot)
                                                     : source->root(key.project, key.name));
    TRY(storage::copyTree(TRY(openTop(tree)), target,
                          from.snapshot ? storage::Source::Still : storage::Source::Changing));
    return flush(target);
}

Status Volumes::copy(const Source &from, store::Volume row, const Progress &progress)
{
    if (from.key == keyOf(row))
        return Error(Code::Invalid, titleOf(from.key) + " cannot be copied onto itself");
    const auto lock = lockFor(keyOf(row)), sourceLock = lockFor(from.key);
    const std::scoped_lock guard(*lock, *sourceLock);
    const store::Volume source = TRY(find(from.key));
    if (from.snapshot)
        TRY(snapshot(from.key, *from.snapshot));
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    for (const auto &[key, value] : source.config)
        row.config.emplace(key, value);
    if (row.description.empty())
        row.description = source.description;
    TRY(insert(row));
    Undo undo;
    undo.add("volume record", makingRoom(m_db, [&] { return store::deleteVolume(m_db, row.id); }));
    TRY(failpoint("volume-copy.record"));
    undo.add("volume tree", makingRoom(m_db, [&] { return pool->deleteVolume(row.project, row.name); }));
    TRY_IN("copy of " + titleOf(from.key), makeCopy(from, row, *pool, progress));
    TRY(failpoint("volume-copy.tree"));
    TRY(limitNew(row, *pool));
    if (!from.snapshot && from.with == storage::WithSnapshots::Yes)
        TRY(copySnapshotRows(from, row));
    TRY(writeDocument(row, *pool));
    TRY(store::setVolumeStatus(m_db, row.id, store::VolumeStatus::Ready));
    undo.keep();
    return failpoint("volume-copy.ready");
}

Status Volumes::update(const VolumeKey &key, const std::string &description, const StringMap &config)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    store::Volume row = TRY(find(key));
    StringMap wanted = config;
    dropEmpty(wanted);
    const config::VolumeConfig was = TRY(config::parseVolumeConfig(row.config));
    const config::VolumeConfig now = TRY_IN(titleOf(key), config::parseVolumeConfig(wanted));
    if (was.uid != now.uid || was.gid != now.gid || was.mode != now.mode)
        return Error(Code::Invalid,
                     titleOf(key) +
                         ": initial.* was settled when it was created (change owner and mode from inside a guest)");
    row.description = description;
    row.config = wanted;
    const Pools::Use pool = TRY(m_pools.custom(key.pool));
    if (limitOf(was) == limitOf(now))
        TRY(store::updateVolume(m_db, row));
    else
        TRY_IN(titleOf(key), resize(row, limitOf(now), *pool));
    TRY(failpoint("volume-update.record"));
    return writeDocument(row, *pool);
}

Status Volumes::limitNew(const store::Volume &row, storage::Driver &pool)
{
    const auto limit = limitOf(TRY(config::parseVolumeConfig(row.config)));
    if (limit)
        TRY_IN(titleOf(keyOf(row)), pool.setLimit(row.project, row.name, limit));
    return failpoint("volume.limit");
}

/// The limit comes before the record, so that what cannot be is refused while nothing has changed.
Status Volumes::resize(const store::Volume &row, std::optional<Bytes> limit, storage::Driver &pool)
{
    if (limit)
        TRY_IN("size", pool.canLimit());
    const auto before = TRY(pool.limit(row.project, row.name));
    const store::Operation journal = newJournal(kResize, row.project, row.name, row.pool);
    TRY(store::beginOperation(m_db, journal));
    Undo undo;
    undo.add("resize journal", makingRoom(m_db, [&] { return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure); }));
    TRY(failpoint("volume-resize.record"));
    TRY(pool.setLimit(row.project, row.name, limit));
    undo.add("size of " + row.name, [&] { return pool.setLimit(row.project, row.name, before); });
    TRY(failpoint("volume-resize.set"));
    TRY(m_db.transaction([&]() -> Status {
        TRY(store::updateVolume(m_db, row));
        return store::finishOperation(m_db, journal.id, store::OperationStatus::Success);
    }));
    undo.keep();
    return {};
}

/// The row still has the old size, or the transaction would have ended the journal too.
Status Volumes::recoverResize(const store::Operation &journal)
{
    const auto row = find({journal.arguments, journal.project, journal.object});
    if (!row)
        return {}; // gone
    return TRY(m_pools.custom(row->pool))
        ->setLimit(row->project, row->name, limitOf(TRY(config::parseVolumeConfig(row->config))));
}

Status Volumes::rename(const VolumeKey &key, const std::string &to)
{
    TRY(checkObjectName("storage volume", to));
    const VolumeKey target{key.pool, key.project, to};
    if (to == key.name)
        return Error(Code::Invalid, titleOf(key) + " has this name already");
    const auto lock = lockFor(key), targetLock = lockFor(target);
    const std::scoped_lock guard(*lock, *targetLock);
    store::Volume row = TRY(find(key));
    if (store::findVolume(m_db, key.pool, key.project, to))
        return Error(Code::AlreadyExists, titleOf(target) + " already exists");
    const Pools::Use pool = TRY(m_pools.custom(key.pool));
    const store::Operation journal = newJournal(kRename, key.project, key.name, key.pool + "/" + to);
    TRY(store::beginOperation(m_db, journal));
    Undo undo;
    undo.add("rename journal", makingRoom(m_db, [&] { return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure); }));
    TRY(failpoint("volume-rename.record"));
    TRY(pool->renameVolume(key.project, key.name, to));
    undo.add("rename tree", makingRoom(m_db, [&] { return pool->renameVolume(key.project, to, key.name); }));
    TRY(failpoint("volume-rename.tree"));
    TRY(m_db.transaction([&]() -> Status {
        TRY(store::renameVolume(m_db, row.id, to));
        return store::finishOperation(m_db, journal.id, store::OperationStatus::Success);
    }));
    undo.keep();
    TRY(failpoint("volume-rename.done"));
    row.name = to;
    return writeDocument(row, *pool);
}

/// Each step may be repeated: recovery calls this again for a row that says `deleting`.
Status Volumes::finishRemove(const store::Volume &row)
{
    store::FreeingSpace freeing(m_db);
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    TRY(store::setVolumeStatus(m_db, row.id, store::VolumeStatus::Deleting));
    TRY(failpoint("volume-delete.record"));
    TRY_IN(titleOf(keyOf(row)), freeing.attempt([&] { return pool->deleteVolume(row.project, row.name); }));
    TRY(failpoint("volume-delete.tree"));
    TRY(m_db.transaction([&]() -> Status {
        TRY(store::dropExportsOf(m_db, {store::ExportOwner::Kind::Volume, row.id}));
        return store::deleteVolume(m_db, row.id);
    }));
    return failpoint("volume-delete.done");
}

Status Volumes::remove(const VolumeKey &key)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    return finishRemove(TRY(find(key)));
}

Result<Volumes::Usage> Volumes::usage(const VolumeKey &key)
{
    TRY(find(key));
    const Pools::Use pool = TRY(m_pools.custom(key.pool));
    return Usage{TRY(pool->usage(key.project, key.name)), TRY(pool->limit(key.project, key.name))};
}

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

Result<std::string> Volumes::createSnapshot(const VolumeKey &key, store::VolumeSnapshot wanted)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Volume row = TRY(find(key));
    if (wanted.name.empty()) {
        const config::VolumeConfig config = TRY(config::parseVolumeConfig(row.config));
        std::vector<std::string> taken;
        for (const store::VolumeSnapshot &each : TRY(store::listVolumeSnapshots(m_db, row.id)))
            taken.push_back(each.name);
        wanted.name =
            TRY_IN("snapshots.pattern",
                   config.snapshotsPattern.value_or(config::SnapshotPattern{}).name(store::unixMillis() / 1000, taken));
    }
    TRY(checkObjectName("snapshot", wanted.name));
    const Pools::Use pool = TRY(m_pools.custom(key.pool));
    wanted.volumeId = row.id;
    wanted.config = row.config;
    wanted.status = store::VolumeStatus::Creating;
    wanted.id = TRY(store::insertVolumeSnapshot(m_db, wanted));
    Undo undo;
    undo.add("snapshot record", makingRoom(m_db, [&] { return store::deleteVolumeSnapshot(m_db, wanted.id); }));
    TRY(failpoint("volume-snapshot.record"));
    undo.add("snapshot tree", makingRoom(m_db, [&] { return pool->deleteSnapshot(key.project, key.name, wanted.name); }));
    // Several guests may write to it: what they have not flushed is as after a power cut.
    TRY_IN(titleOf(key), pool->createSnapshot(key.project, key.name, wanted.name, storage::InUse::Yes));
    TRY(failpoint("volume-snapshot.tree"));
    TRY(store::setVolumeSnapshotStatus(m_db, wanted.id, store::VolumeStatus::Ready));
    undo.keep();
    TRY(failpoint("volume-snapshot.ready"));
    TRY(writeDocument(row, *pool));
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
    return writeDocument(TRY(find(key)), *TRY(m_pools.custom(key.pool)));
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
    const store::Operation journal = newJournal(kRename, key.project, key.name, key.pool + "/" + from + "/" + to);
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
    return writeDocument(row, *pool);
}

Status Volumes::finishDeleteSnapshot(const store::Volume &row, const store::VolumeSnapshot &snapshot)
{
    store::FreeingSpace freeing(m_db);
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    TRY(store::setVolumeSnapshotStatus(m_db, snapshot.id, store::VolumeStatus::Deleting));
    TRY(failpoint("volume-snapshot-delete.record"));
    TRY(freeing.attempt([&] { return pool->deleteSnapshot(row.project, row.name, snapshot.name); }));
    TRY(failpoint("volume-snapshot-delete.tree"));
    TRY(store::deleteVolumeSnapshot(m_db, snapshot.id));
    return writeDocument(row, *pool);
}

Status Volumes::deleteSnapshot(const VolumeKey &key, const std::string &name)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    return finishDeleteSnapshot(TRY(find(key)), TRY(snapshot(key, name)));
}

/// The driver swaps the trees in one rename, so there is nothing to record: the volume has the one or the other.
Status Volumes::restore(const VolumeKey &key, const std::string &name)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    TRY(snapshot(key, name));
    TRY_IN(titleOf(key), TRY(m_pools.custom(key.pool))->restoreSnapshot(key.project, key.name, name));
    return failpoint("volume-restore.tree");
}

Status Volumes::whileHeld(const VolumeKey &key, const Work &work)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Volume row = TRY(find(key));
    const Pools::Use pool = TRY(m_pools.custom(key.pool));
    return work(row, *pool);
}

Result<config::VolumeDocument> Volumes::describe(const store::Volume &row)
{
    config::VolumeDocument document{row.project, row.name, row.description, row.createdAt, row.config, {}};
    for (const store::VolumeSnapshot &snapshot : TRY(store::listVolumeSnapshots(m_db, row.id)))
        if (snapshot.status == store::VolumeStatus::Ready)
            document.snapshots.push_back(
                {snapshot.name, snapshot.description, snapshot.createdAt, snapshot.expiresAt, snapshot.config});
    return document;
}

Status Volumes::writeDocument(const store::Volume &row, storage::Driver &pool)
{
    const config::VolumeDocument document = TRY(describe(row));
    return files::replace(TRY(pool.openVolume(row.project, row.name)), config::kVolumeFile,
                          config::writeVolumeDocument(document));
}

Result<VolumeMounts> Volumes::mounts(const std::string &project, const std::vector<config::Device> &devices)
{
    VolumeMounts mounts;
    for (const config::Device &device : devices) {
        const auto *disk = device.as<config::DiskDevice>();
        if (!disk || !disk->isVolume())
            continue;
        const VolumeKey key{disk->pool->text, project, *disk->source};
        const store::Volume row = TRY_IN("device " + quoted(device.name), find(key));
        const config::VolumeConfig config = TRY(config::parseVolumeConfig(row.config));
        const storage::RootTree tree =
            TRY_IN("device " + quoted(device.name), TRY(m_pools.custom(key.pool))->root(project, row.name));
        mounts[device.name] = {tree.directory, !config.unmapped.value_or(false)};
    }
    return mounts;
}

/// All of it in one transaction, so that a crash leaves the volume lost as before or whole. A snapshot that the document
/// does not know (its making was just through) has the volume's own keys.
Status Volumes::bringBack(const config::VolumeDocument &document, storage::Driver &pool)
{
    const auto lock = lockFor({pool.name(), document.project, document.name});
    const std::lock_guard guard(*lock);
    TRY(store::findProject(m_db, document.project));
    const auto names = TRY(pool.listSnapshots(document.project, document.name));
    return m_db.transaction([&]() -> Status {
        store::Volume row;
        row.project = document.project;
        row.pool = pool.name();
        row.name = document.name;
        row.description = document.description;
        row.status = store::VolumeStatus::Ready;
        row.createdAt = document.createdAt;
        row.config = document.config;
        row.id = TRY(store::insertVolume(m_db, row));
        for (const std::string &name : names) {
            store::VolumeSnapshot snapshot;
            snapshot.volumeId = row.id;
            snapshot.name = name;
            snapshot.status = store::VolumeStatus::Ready;
            const auto known = std::ranges::find(document.snapshots, name, &config::VolumeSnapshotDocument::name);
            const bool isKnown = known != document.snapshots.end();
            snapshot.description = isKnown ? known->description : "";
            snapshot.createdAt = isKnown ? known->createdAt : store::unixMillis();
            snapshot.expiresAt = isKnown ? known->expiresAt : 0;
            snapshot.config = isKnown ? known->config : document.config;
            TRY(store::insertVolumeSnapshot(m_db, snapshot));
        }
        return {};
    });
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
        const auto document = documentOf(*driver, project, name);
        Status done = document ? Status() : Status(document.error());
        if (done && apply == Apply::Yes)
            done = bringBack(*document, *driver);
        found.push_back(outcome({"storage volume", project, name, pool, {}, {}}, done, apply));
    }
    return {};
}

Status Volumes::recoverRename(const store::Operation &journal)
{
    const std::vector<std::string> parts = split(journal.arguments, '/');
    const auto row = find({parts[0], journal.project, journal.object});
    if (!row)
        return {}; // under its new name already, or gone
    const Pools::Use pool = TRY(m_pools.custom(row->pool));
    const std::string &to = parts.back();
    if (parts.size() == 2)
        return !pool->hasVolume(row->project, row->name) && pool->hasVolume(row->project, to)
                   ? pool->renameVolume(row->project, to, row->name)
                   : Status();
    // A snapshot: the row still has the old name, or the transaction would have ended the journal too.
    return !pool->hasSnapshot(row->project, row->name, parts[1]) && pool->hasSnapshot(row->project, row->name, to)
               ? pool->renameSnapshot(row->project, row->name, to, parts[1])
               : Status();
}

Status Volumes::recoverOne(const store::Volume &row)
{
    if (row.status == store::VolumeStatus::Creating) {
        log::info(titleOf(keyOf(row)) + ": its creation was cut off; taking it back");
        TRY(TRY(m_pools.custom(row.pool))->deleteVolume(row.project, row.name));
        return store::deleteVolume(m_db, row.id);
    }
    if (row.status == store::VolumeStatus::Deleting) {
        log::info(titleOf(keyOf(row)) + ": its deletion was cut off; completing it");
        return finishRemove(row);
    }
    for (const store::VolumeSnapshot &snapshot : TRY(store::listVolumeSnapshots(m_db, row.id)))
        if (snapshot.status != store::VolumeStatus::Ready)
            TRY(finishDeleteSnapshot(row, snapshot));
    return {};
}

Status Volumes::recover()
{
    for (const store::Operation &journal : TRY(store::listUnfinished(m_db))) {
        if (journal.type != kRename && journal.type != kResize)
            continue;
        if (Status done = journal.type == kRename ? recoverRename(journal) : recoverResize(journal); !done)
            log::error("storage volume '" + journal.object + "': " + done.error().message + ", ignoring");
        TRY(store::finishOperation(m_db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart"));
    }
    for (const store::Volume &row : TRY(store::listVolumes(m_db, "", "")))
        if (Status done = recoverOne(row); !done)
            log::error(titleOf(keyOf(row)) + ": " + done.error().message + ", ignoring");
    return {};
}

} // namespace lxmgr::instances
