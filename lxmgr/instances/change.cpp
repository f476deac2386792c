// Changing what is wanted of an instance, and its backup file.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/text.h"
#include "base/undo.h"
#include "config/backup.h"
#include "config/cloud_config.h"
#include "instances/journal.h"
#include "instances/names.h"
#include "instances/policy.h"
#include "instances/project_limits.h"
#include "instances/root_disk.h"
#include "instances/space.h"
#include "kernel/files.h"

namespace lxmgr::instances
{

namespace
{

/// But for what the daemon itself wrote.
bool sameDefinition(const store::Instance &one, const store::Instance &other)
{
    return one.description == other.description && one.ephemeral == other.ephemeral && one.profiles == other.profiles &&
           one.devices == other.devices && config::withoutVolatile(one.config) == config::withoutVolatile(other.config);
}

} // namespace

Result<std::vector<std::string>> Manager::redefine(const InstanceKey &key, const Definition &definition, std::int64_t undoes)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Instance before = TRY(readyRow(key));
    store::Instance after = before;
    after.description = definition.description;
    after.ephemeral = definition.ephemeral;
    after.profiles = definition.profiles;
    after.config = definition.config;
    after.devices = definition.devices;
    TRY(config::checkVolatileKept(before.config, after.config));
    TRY(config::checkCloudTexts(before.config, after.config));
    if (const auto uuid = before.config.find(kUuidKey); uuid != before.config.end())
        after.config.insert(*uuid); // a client that leaves it out has not made another instance of it; undo goes by it
    const config::Effective was = TRY(effective(before));
    config::Effective wanted = TRY(effective(after));
    const config::Device *oldRoot = config::rootDisk(was.devices), *newRoot = config::rootDisk(wanted.devices);
    if (!newRoot)
        return Error(Code::Invalid, "instance " + quoted(key.name) + " would be left without a root disk");
    if (oldRoot && newRoot->as<config::DiskDevice>()->pool->text != before.pool)
        return Error(Code::Unsupported, "instance " + quoted(key.name) + ": its root disk lies in pool " + quoted(before.pool) +
                                            " and cannot be moved by changing its device");
    if (wanted.config.privileged.value_or(false) != (before.idRange.size == 0))
        return Error(Code::Unsupported, "security.privileged of " + quoted(key.name) + " was settled when it was created (create another instance)");
    TRY(checkProjectPolicy(m_s.db, key.project, TRY(expanded(after)), wanted));
    TRY(checkDevices(wanted, TRY(diskSources(key.project, wanted.devices)), lentCards(wanted), m_s.paths));
    TRY(m_s.networks.checkNics(key.project, key.name, wanted.devices, was.devices));
    TRY(checkIdmap(before, wanted.config));
    if (m_running->find(key))
        TRY_IN("update " + quoted(key.name), loadModules(wanted.config));
    TRY(planLimits(wanted, cgroup::PlanFor::Live, TRY(ioLimits(before, wanted))));
    TRY_IN("update " + quoted(key.name), checkInUse(key, was, wanted));
    const config::Expanded old = TRY(expanded(before));
    after.config.merge(missingCardKeys(after.config, wanted.devices));
    if (m_running->find(key)) {
        std::set<std::string> taken;
        for (auto &[name, function] : TRY_IN("update " + quoted(key.name), chooseFunctions(wanted, old.devices, taken)))
            after.config[name] = function;
        wanted = TRY(effective(after));
    }
    const bool replugs = m_running->find(key) && withoutLimits(TRY(expanded(after)).devices) != withoutLimits(old.devices);
    if (replugs)
        TRY_IN("update " + quoted(key.name), settleNicNames(after, old, [this](const store::Instance &row) { return expanded(row); }));
    const config::Expanded all = TRY(expanded(after));
    if (replugs)
        TRY_IN("update " + quoted(key.name), planReplug(key, old, all));
    const auto entry = sameDefinition(before, after) ? std::nullopt : undoOf(store::UndoKind::Config, before);
    std::int64_t kept = 0;
    std::vector<Resize> resizes;
    if (TRY(sizeIn(all.devices)) != TRY(sizeIn(old.devices)))
        resizes.push_back({key, before.pool, TRY(rootLimit(all.devices, before.pool))});
    const auto limit = TRY(TRY(m_s.pools.get(before.pool))->limit(key.project, key.name));
    TRY(resize(key.name, resizes, [&] {
        return withinLimits(m_s.db, {key.project}, [&]() -> Status {
            TRY(store::updateInstance(m_s.db, after));
            kept = entry ? TRY(store::insertUndo(m_s.db, *entry)) : 0;
            return {};
        });
    }));
    Undo undo;
    if (!resizes.empty())
        undo.add("size of " + key.name, [&]() -> Status {
            return TRY(m_s.pools.get(before.pool))->setLimit(key.project, key.name, limit);
        });
    undo.add("update record", makingRoom(m_s.db, [&] {
                 return m_s.db.transaction([&]() -> Status {
                     TRY(store::updateInstance(m_s.db, before));
                     return store::deleteUndo(m_s.db, kept);
                 });
             }));
    TRY(failpoint("update.record"));
    if (m_running->find(key)) {
        TRY_IN("update " + quoted(key.name), applyLive(after, was, wanted));
        undo.add("update limits", [&] { return applyLive(before, wanted, was); });
    }
    if (replugs) {
        TRY_IN("update " + quoted(key.name), applyDevices(after, old, all));
        awaitDevices(key, wanted.devices);
        undo.add("update devices", [&] {
            awaitDevices(key, was.devices);
            return applyDevices(before, all, old);
        });
    }
    TRY_IN("update " + quoted(key.name), writeBackup(key));
    undo.keep();
    if (undoes != 0)
        TRY(store::deleteUndo(m_s.db, undoes));
    m_s.emit({"instance-updated", key, {}});
    return m_running->find(key) ? keysForRestart(old, all) : std::vector<std::string>();
}

Result<config::BackupDocument> Manager::backupOf(const store::Instance &row)
{
    const config::Expanded all = TRY(expanded(row));
    config::BackupDocument document;
    document.project = row.project;
    document.name = row.name;
    document.createdAt = row.createdAt;
    document.instance = {row.architecture, row.config, row.devices, row.ephemeral, row.profiles, row.stateful, row.description, row.name};
    document.idBase = row.idRange.base;
    document.idSize = row.idRange.size;
    document.pool = row.pool;
    document.poolDriver = TRY(store::findPool(m_s.db, row.pool)).driver;
    document.image = row.image;
    document.expandedConfig = all.config;
    document.expandedDevices = all.devices;
    for (const std::string &name : row.profiles) {
        const store::Profile profile = TRY(store::findProfile(m_s.db, row.project, name));
        document.profiles.push_back({profile.name, profile.description, profile.config, profile.devices, {}});
    }
    for (const store::Snapshot &snapshot : TRY(store::listSnapshots(m_s.db, row.id))) {
        if (snapshot.status != store::SnapshotStatus::Ready)
            continue;
        document.snapshots.push_back({snapshot.name,
                                      snapshot.createdAt,
                                      snapshot.expiresAt,
                                      snapshot.schedule,
                                      {snapshot.architecture, snapshot.config, snapshot.devices, snapshot.ephemeral, snapshot.profiles, false,
                                       snapshot.description, {}},
                                      snapshot.expandedDevices,
                                      snapshot.expandedConfig});
    }
    return document;
}

Status Manager::writeBackup(const InstanceKey &key)
{
    const store::Instance row = TRY(find(key));
    const std::string text = config::writeBackup(TRY(backupOf(row)));
    const Pools::Use pool = TRY(m_s.pools.get(row.pool));
    return withFreeSpace(files::replace(TRY(pool->openVolume(row.project, row.name)), "backup.yaml", text), *pool);
}

} // namespace lxmgr::instances
