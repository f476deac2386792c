// Custom volumes: making, changing, renaming, deleting them, and what is mounted of them.
#include "instances/volumes.h"

#include "base/failpoint.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/journal.h"
#include "instances/project_limits.h"
#include "instances/space.h"
#include "instances/volume_journal.h"
#include "kernel/files.h"
#include "kernel/sys.h"
#include "store/exports.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

constexpr mode_t kMode = 0711; ///< Of a new volume's top folder.

void dropEmpty(StringMap &config)
{
    std::erase_if(config, [](const auto &entry) { return entry.second.empty(); });
}

} // namespace

std::string titleOf(const VolumeKey &key)
{
    return "storage volume " + quoted(key.name) + " in pool " + quoted(key.pool);
}

bool usesVolume(const DeviceMap &devices, const VolumeKey &key)
{
    return std::ranges::any_of(devices, [&](const auto &device) {
        const auto pool = device.second.find("pool"), source = device.second.find("source");
        return pool != device.second.end() && source != device.second.end() && pool->second == key.pool &&
               source->second == key.name;
    });
}

void Volumes::emit(const char *action, const VolumeKey &key, const std::string &snapshot, const StringMap &context)
{
    if (m_emit)
        m_emit({action, key, snapshot, context});
}

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

Status Volumes::checkFree(const VolumeKey &key, storage::Driver &pool)
{
    TRY(checkObjectName("storage volume", key.name));
    if (store::findVolume(m_db, key.pool, key.project, key.name))
        return Error(Code::AlreadyExists, titleOf(key) + " already exists (choose another name)");
    if (pool.hasVolume(key.project, key.name))
        return Error(Code::AlreadyExists, titleOf(key) + " lies there and nobody knows it ('lxmgr recover' brings it back)");
    return {};
}

Status Volumes::checkOwn(const std::string &project)
{
    const std::string home = TRY(store::homeOf(m_db, project, store::Shared::Volumes));
    if (home == project)
        return {};
    return Error(Code::WrongState, "project " + quoted(project) + " uses the storage volumes of project " + quoted(home))
        .hint("while it is empty: lxmgr project set " + project + " features.storage.volumes=true");
}

Status Volumes::insert(store::Volume &row)
{
    dropEmpty(row.config);
    for (const auto &[key, value] : TRY(m_pools.volumeDefaults(row.pool)))
        row.config.emplace(key, value);
    const config::VolumeConfig config = TRY_IN(titleOf(keyOfVolume(row)), config::parseVolumeConfig(row.config));
    if (limitOf(config))
        TRY_IN(titleOf(keyOfVolume(row)) + ": size", TRY(m_pools.custom(row.pool))->canLimit());
    row.status = store::VolumeStatus::Creating;
    row.createdAt = store::unixMillis();
    row.uuid = newUuid();
    return withinLimits(m_db, {row.project}, [&]() -> Status {
        row.id = TRY(store::insertVolume(m_db, row));
        return {};
    });
}

std::optional<Bytes> Volumes::limitOf(const config::VolumeConfig &config)
{
    return config.size && config.size->count != 0 ? config.size : std::nullopt;
}

Status Volumes::makeEmpty(const store::Volume &row, storage::Driver &pool)
{
    const config::VolumeConfig config = TRY(config::parseVolumeConfig(row.config));
    TRY(pool.createVolume(row.project, row.name, std::nullopt));
    const Fd top = TRY(sys::open(TRY(pool.root(row.project, row.name)).directory, O_RDONLY | O_DIRECTORY));
    TRY(sys::fchown(top, config.uid.value_or(0), config.gid.value_or(0)));
    return sys::fchmod(top, config.mode ? config.mode->bits : kMode);
}

Status Volumes::create(const store::Volume &wanted)
{
    return make(wanted, {}, [this](storage::Driver &pool, const store::Volume &row) {
        return m_undo.withRoom(row.pool, [&]() -> Status {
            TRY(pool.deleteVolume(row.project, row.name)); // what the time before left
            return makeEmpty(row, pool);
        });
    });
}

Status Volumes::make(store::Volume row, std::vector<store::VolumeSnapshot> snapshots, const MakeTrees &makeTrees)
{
    const auto lock = lockFor(keyOfVolume(row));
    const std::lock_guard guard(*lock);
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    TRY(checkFree(keyOfVolume(row), *pool));
    TRY(insert(row));
    Undo undo;
    undo.add("volume record", makingRoom(m_db, [&] { return store::deleteVolume(m_db, row.id); }));
    TRY(failpoint("volume.record"));
    undo.add("volume tree", makingRoom(m_db, [&] { return pool->deleteVolume(row.project, row.name); }));
    TRY_IN(titleOf(keyOfVolume(row)), makeTrees(*pool, row));
    TRY(failpoint("volume.tree"));
    TRY_IN(titleOf(keyOfVolume(row)), limitNew(row, keyOfVolume(row), *pool));
    for (store::VolumeSnapshot &snapshot : snapshots) {
        snapshot.volumeId = row.id;
        snapshot.status = store::VolumeStatus::Ready;
        TRY(store::insertVolumeSnapshot(m_db, snapshot));
    }
    TRY_IN(titleOf(keyOfVolume(row)), writeDocument(row));
    TRY(store::setVolumeStatus(m_db, row.id, store::VolumeStatus::Ready));
    undo.keep();
    return failpoint("volume.ready");
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
    return makingRoom(m_db, [&] { return writeDocument(row); })(); // the row is changed by now
}

/// The volume `key`, which is made for `row`, gets its limit.
Status Volumes::limitNew(const store::Volume &row, const VolumeKey &key, storage::Driver &pool)
{
    const auto limit = limitOf(TRY(config::parseVolumeConfig(row.config)));
    if (limit) {
        TRY_IN("size", pool.canLimit());
        TRY(pool.setLimit(key.project, key.name, limit));
    }
    return failpoint("volume.limit");
}

/// The limit comes before the record, so that what cannot be is refused while nothing has changed.
Status Volumes::resize(const store::Volume &row, std::optional<Bytes> limit, storage::Driver &pool)
{
    if (limit)
        TRY_IN("size", pool.canLimit());
    const auto before = TRY(pool.limit(row.project, row.name));
    const store::Operation journal = newJournal(kVolumeResize, row.project, row.name, row.pool);
    TRY(store::beginOperation(m_db, journal));
    Undo undo;
    undo.add("resize journal", makingRoom(m_db, [&] { return store::finishOperation(m_db, journal.id, store::OperationStatus::Failure); }));
    TRY(failpoint("volume-resize.record"));
    TRY(pool.setLimit(row.project, row.name, limit));
    undo.add("size of " + row.name, [&] { return pool.setLimit(row.project, row.name, before); });
    TRY(failpoint("volume-resize.set"));
    TRY(withinLimits(m_db, {row.project}, [&]() -> Status {
        TRY(store::updateVolume(m_db, row));
        return store::finishOperation(m_db, journal.id, store::OperationStatus::Success);
    }));
    undo.keep();
    return {};
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
    const store::Operation journal = newJournal(kVolumeRename, key.project, key.name, key.pool + "/" + to);
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
    return makingRoom(m_db, [&] { return writeDocument(row); })(); // all else has the new name by now
}

/// Each step may be repeated: recovery calls this again for a row that says `deleting`. `undo`: its files are kept.
Status Volumes::finishRemove(const store::Volume &row, std::optional<store::UndoEntry> undo)
{
    store::FreeingSpace freeing(m_db);
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    TRY(m_db.transaction([&]() -> Status {
        if (undo && undo->id == 0)
            undo->id = TRY(store::insertUndo(m_db, *undo));
        return store::setVolumeStatus(m_db, row.id, store::VolumeStatus::Deleting);
    }));
    TRY(failpoint("volume-delete.record"));
    TRY_IN(titleOf(keyOfVolume(row)), freeing.attempt([&]() -> Status {
        if (!undo)
            return pool->deleteVolume(row.project, row.name);
        Status aside = pool->setVolumeAside(row.project, row.name, undo->aside);
        return !aside && aside.error().code == Code::NotFound ? Status() : aside; // it was lost before
    }));
    TRY(failpoint("volume-delete.tree"));
    TRY(m_db.transaction([&]() -> Status {
        if (undo)
            TRY(pool->hasAside(undo->aside) ? store::setUndoStatus(m_db, undo->id, store::UndoStatus::Kept)
                                            : store::deleteUndo(m_db, undo->id));
        TRY(store::dropExportsOf(m_db, {store::ExportOwner::Kind::Volume, row.id}));
        return store::deleteVolume(m_db, row.id);
    }));
    return failpoint("volume-delete.done");
}

Status Volumes::remove(const VolumeKey &key, Keep keep)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Volume row = TRY(find(key));
    return finishRemove(row, keep == Keep::Yes ? undoOf(store::UndoKind::Volume, row) : std::nullopt);
}

Result<Volumes::Usage> Volumes::usage(const VolumeKey &key)
{
    TRY(find(key));
    const Pools::Use pool = TRY(m_pools.custom(key.pool));
    return Usage{TRY(pool->usage(key.project, key.name)), TRY(pool->limit(key.project, key.name))};
}

Status Volumes::whileHeld(const VolumeKey &key, const Work &work)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Volume row = TRY(find(key));
    const Pools::Use pool = TRY(m_pools.custom(key.pool));
    return work(row, *pool);
}

Result<config::VolumeDocument> Volumes::documentOf(const store::Volume &row)
{
    config::VolumeDocument document{row.project, row.name, row.description, row.createdAt, row.config, {}, row.uuid};
    for (const store::VolumeSnapshot &snapshot : TRY(store::listVolumeSnapshots(m_db, row.id)))
        if (snapshot.status == store::VolumeStatus::Ready)
            document.snapshots.push_back({snapshot.name, snapshot.description, snapshot.createdAt, snapshot.expiresAt, snapshot.config,
                                          snapshot.schedule});
    return document;
}

/// Whatever is not so yet.
Status Volumes::writeDocument(const store::Volume &row)
{
    const std::string text = config::writeVolumeDocument(TRY(documentOf(row)));
    const Pools::Use pool = TRY(m_pools.custom(row.pool));
    const Fd folder = TRY(pool->openVolume(row.project, row.name));
    if (const auto now = files::read(folder, config::kVolumeFile); now && *now == text)
        return {};
    return withFreeSpace(files::replace(folder, config::kVolumeFile, text), *pool);
}

Result<DiskSources> Volumes::mounts(const std::string &project, const std::vector<config::Device> &devices)
{
    DiskSources mounts;
    const std::string home = TRY(store::homeOf(m_db, project, store::Shared::Volumes));
    for (const config::Device &device : devices) {
        const auto *disk = device.as<config::DiskDevice>();
        if (!disk || !disk->isVolume())
            continue;
        const VolumeKey key{disk->pool->text, home, *disk->source};
        const store::Volume row = TRY_IN("device " + quoted(device.name), find(key));
        const config::VolumeConfig config = TRY(config::parseVolumeConfig(row.config));
        const storage::RootTree tree =
            TRY_IN("device " + quoted(device.name), TRY(m_pools.custom(key.pool))->root(home, row.name));
        mounts[device.name] = {tree.directory, !config.unmapped.value_or(false), {}};
    }
    return mounts;
}

} // namespace lxmgr::instances
