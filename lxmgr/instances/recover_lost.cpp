// A lost database, or a pool from another host: pools, instances, snapshots and profiles are read back from what lies
// beside each volume; networks, images and volumes see to themselves.
#include "instances/manager.h"

#include "base/log.h"
#include "base/text.h"
#include "config/pool_config.h"
#include "kernel/files.h"
#include "kernel/path.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

Result<config::BackupDocument> readBackupOf(storage::Driver &pool, const InstanceKey &key)
{
    const Fd folder = TRY(pool.openVolume(key.project, key.name));
    auto text = files::read(folder, "backup.yaml");
    if (!text && text.error().errnum == ENOENT)
        return Error(Code::NotFound, "there is no backup.yaml beside it (its creation may have been cut off)");
    if (!text)
        return text.error();
    config::BackupDocument document = TRY(config::readBackup(*text, "backup.yaml"));
    if (document.project != key.project || document.name != key.name)
        return Error(Code::Corrupt, "backup.yaml is that of " + quoted(document.project + "/" + document.name));
    return document;
}

store::Instance rowOf(const config::BackupDocument &document, const std::string &pool)
{
    store::Instance row;
    row.project = document.project;
    row.name = document.name;
    row.description = document.instance.description;
    row.architecture = document.instance.architecture;
    row.ephemeral = document.instance.ephemeral;
    row.pool = pool;
    row.image = document.image;
    row.createdAt = document.createdAt;
    row.config = document.instance.config;
    row.devices = document.instance.devices;
    row.profiles = document.instance.profiles;
    row.status = store::InstanceStatus::Ready;
    return row;
}

store::Snapshot rowOf(const config::BackupSnapshot &from)
{
    store::Snapshot row;
    row.name = from.name;
    row.description = from.instance.description;
    row.architecture = from.instance.architecture;
    row.ephemeral = from.instance.ephemeral;
    row.config = from.instance.config;
    row.devices = from.instance.devices;
    row.profiles = from.instance.profiles;
    row.expandedConfig = from.expandedConfig;
    row.expandedDevices = from.expandedDevices;
    row.schedule = from.schedule;
    row.createdAt = from.createdAt;
    row.expiresAt = from.expiresAt;
    row.status = store::SnapshotStatus::Ready;
    return row;
}

/// Those whose files are there. One that the file does not know (its making was just through) has the instance's own
/// definition.
Result<std::vector<store::Snapshot>> snapshotsOf(storage::Driver &pool, const config::BackupDocument &document)
{
    std::vector<store::Snapshot> rows;
    for (const std::string &name : TRY(pool.listSnapshots(document.project, document.name))) {
        const auto known = std::ranges::find(document.snapshots, name, &config::BackupSnapshot::name);
        if (known != document.snapshots.end()) {
            rows.push_back(rowOf(*known));
            continue;
        }
        config::BackupSnapshot unknown{name, store::unixMillis(), 0, "", document.instance, document.expandedDevices, document.expandedConfig};
        rows.push_back(rowOf(unknown));
    }
    return rows;
}

} // namespace

InstanceKey keyOfVolume(const std::string &volume)
{
    const std::size_t underscore = volume.rfind('_');
    if (underscore == std::string::npos)
        return {store::kDefaultProject, volume};
    return {volume.substr(0, underscore), volume.substr(underscore + 1)};
}

/// Pools below the state folder that no row knows. One with a source elsewhere is taken over by creating it again.
Status Manager::recoverPools(Apply apply, std::vector<Found> &found)
{
    const std::string base = m_s.paths.stateDir + "/storage-pools";
    const auto folder = path::openFolder(base);
    if (!folder)
        return folder.error().errnum == ENOENT ? Status() : Status(folder.error());
    for (const std::string &name : TRY(path::list(*folder))) {
        const auto text = files::read(base + "/" + name + "/" + config::kPoolFile);
        if (!text || store::findPool(m_s.db, name))
            continue;
        const auto document = config::readPoolDocument(*text, name + "/" + config::kPoolFile);
        Status done = document ? Status() : Status(document.error());
        if (document && apply == Apply::Yes) {
            store::StoragePool row;
            row.name = name;
            row.driver = document->driver;
            row.description = document->description;
            row.config = document->config;
            done = m_s.pools.create(row);
        }
        found.push_back(outcome({"storage pool", "", name, "", {}, {}}, done, apply));
    }
    return {};
}

/// Profiles that are not there, or that nobody uses, come back as they were when the instance last changed.
Status Manager::recoverProfiles(const config::BackupDocument &document, std::vector<Found> &found)
{
    for (const config::ProfileDocument &profile : document.profiles) {
        const auto there = store::findProfile(m_s.db, document.project, profile.name);
        const bool same = there && there->config == profile.config && there->devices == profile.devices;
        if (there && (same || !there->usedBy.empty()))
            continue;
        store::Profile row = there ? *there : store::Profile{};
        row.project = document.project;
        row.name = profile.name;
        row.description = profile.description;
        row.config = profile.config;
        row.devices = profile.devices;
        if (there)
            TRY(store::updateProfile(m_s.db, row));
        else
            TRY(store::insertProfile(m_s.db, row));
        found.push_back({"profile", document.project, profile.name, "", Found::Result::Recovered, ""});
    }
    return {};
}

/// All of it in one transaction, so that a crash leaves the instance lost as before or whole.
Status Manager::recoverInstance(const config::BackupDocument &document, storage::Driver &pool, std::vector<Found> &found)
{
    const InstanceKey key{document.project, document.name};
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    TRY(store::findProject(m_s.db, key.project));
    std::vector<store::Snapshot> snapshots = TRY(snapshotsOf(pool, document));
    const bool running = path::openFolder(m_s.paths.instanceRunDir(key.project, key.name)).has_value();
    store::Instance row = rowOf(document, pool.name());
    config::InstanceConfig ids;
    ids.privileged = document.idSize == 0;
    ids.idmapBase = document.idBase;
    ids.idmapSize = document.idSize;
    std::vector<Found> profiles;
    const auto insert = [&]() -> Status {
        profiles.clear();
        TRY(recoverProfiles(document, profiles));
        TRY(record(row, row.id, ids));
        for (store::Snapshot &snapshot : snapshots) {
            snapshot.instanceId = row.id;
            TRY(store::insertSnapshot(m_s.db, snapshot));
        }
        return {};
    };
    Status done = m_s.db.transaction(insert);
    if (!done && !running && document.idSize > 0) {
        // Its ids are somebody else's here. Files keep the image's own ids, so others serve as well.
        ids.idmapBase.reset();
        done = m_s.db.transaction(insert);
    }
    TRY(std::move(done));
    found.insert(found.end(), profiles.begin(), profiles.end());
    TRY(writeBackup(key));
    return running ? adopt(TRY(find(key))) : Status();
}

Status Manager::recoverInstances(storage::Driver &pool, Apply apply, std::vector<Found> &found)
{
    for (const std::string &volume : TRY_IN("storage pool " + quoted(pool.name()), pool.listVolumes())) {
        const InstanceKey key = keyOfVolume(volume);
        const auto row = store::findInstance(m_s.db, key.project, key.name);
        if (row && row->pool == pool.name())
            continue;
        const auto document = readBackupOf(pool, key);
        Status done = document ? Status() : Status(document.error());
        if (done && row)
            done = Error(Code::AlreadyExists, "an instance of this name is in storage pool " + quoted(row->pool) +
                                                  " (rename that one first)");
        if (done && apply == Apply::Yes)
            done = recoverInstance(*document, pool, found);
        found.push_back(outcome({"instance", key.project, key.name, pool.name(), {}, {}}, done, apply));
    }
    return {};
}

Result<std::vector<Found>> Manager::recoverLost(Apply apply)
{
    std::vector<Found> found;
    TRY(m_s.networks.recoverLost(apply, found));
    TRY(recoverPools(apply, found));
    TRY(m_s.images.recoverLost(apply, found));
    for (const Pools::Use &pool : m_s.pools.all()) {
        TRY(m_s.volumes.recoverLost(pool->name(), apply, found)); // before the instances that have them
        TRY(recoverInstances(*pool, apply, found));
    }
    return found;
}

} // namespace lxmgr::instances
