// A lost database, or a pool from another host: pools, instances, snapshots and profiles are read back from what lies
// beside each volume; networks, images and volumes see to themselves.
#include "instances/manager.h"

#include "base/log.h"
#include "base/text.h"
#include "config/pool_config.h"
#include "instances/backup_rows.h"
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

/// What brings back the deleted instance of `document`, whose `text` lies aside with it.
store::UndoEntry undoneBy(const config::BackupDocument &document, const std::string &text, const std::string &pool,
                          const std::string &aside)
{
    const auto uuid = document.instance.config.find("volatile.uuid");
    store::UndoEntry entry;
    entry.project = document.project;
    entry.object = document.name;
    entry.uuid = uuid == document.instance.config.end() ? "" : uuid->second;
    entry.pool = pool;
    entry.aside = aside;
    entry.document = text;
    return entry;
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
    std::vector<store::Snapshot> snapshots = TRY(snapshotsOf(pool, document, document.name));
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

/// A deleted instance that lies aside and can be undone again; of other files nothing tells what they were.
Status Manager::recoverAside(Apply apply, storage::Driver &pool, std::vector<Found> &found)
{
    const auto known = TRY(store::listUndo(m_s.db, ""));
    for (const std::string &aside : TRY(pool.listAside())) {
        const bool isKnown = std::ranges::any_of(known, [&](const store::UndoEntry &entry) {
            return entry.pool == pool.name() && entry.aside == aside;
        });
        const auto text = isKnown ? Result<std::string>(Error()) : files::read(TRY(pool.openAside(aside)), "backup.yaml");
        if (!text)
            continue;
        Found entry{"deleted instance", "", aside, pool.name(), {}, {}};
        const auto document = config::readBackup(*text, "backup.yaml");
        Status done = document ? Status() : Status(document.error());
        if (document) {
            entry.project = document->project;
            entry.name = document->name;
        }
        if (document && apply == Apply::Yes)
            done = m_s.undo.adopt(undoneBy(*document, *text, pool.name(), aside));
        found.push_back(outcome(std::move(entry), done, apply));
    }
    return {};
}

Result<std::vector<Found>> Manager::recoverLost(Apply apply)
{
    std::vector<Found> found;
    TRY(m_s.networks.recoverLost(apply, found));
    TRY(recoverPools(apply, found));
    for (const Pools::Use &pool : m_s.pools.all()) {
        TRY(m_s.volumes.recoverLost(pool->name(), apply, found)); // before the instances that have them
        TRY(recoverInstances(*pool, apply, found));
        TRY(recoverAside(apply, *pool, found));
    }
    TRY(m_s.images.recoverLost(apply, found)); // after the profiles that they bring
    return found;
}

} // namespace lxmgr::instances
