#include "instances/backup_rows.h"

#include "instances/journal.h"
#include "store/profiles.h"

#include <algorithm>

namespace lxmgr::instances
{

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

store::Snapshot snapshotOf(const config::BackupDocument &document)
{
    return rowOf(config::BackupSnapshot{document.name, document.createdAt, 0, "", document.instance, document.expandedDevices,
                                        document.expandedConfig});
}

Result<std::vector<store::Snapshot>> snapshotsOf(storage::Driver &pool, const config::BackupDocument &document, const std::string &name)
{
    std::vector<store::Snapshot> rows;
    for (const std::string &snapshot : TRY(pool.listSnapshots(document.project, name))) {
        const auto known = std::ranges::find(document.snapshots, snapshot, &config::BackupSnapshot::name);
        store::Snapshot row = known != document.snapshots.end() ? rowOf(*known) : snapshotOf(document);
        if (known == document.snapshots.end()) {
            row.name = snapshot;
            row.createdAt = store::unixMillis();
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

Result<store::Instance> rowAsIn(store::Database &db, store::Instance row, const store::Snapshot &snapshot)
{
    std::vector<std::string> profilesThere;
    for (const store::Profile &profile : TRY(store::listProfiles(db, row.project)))
        profilesThere.push_back(profile.name);
    StringMap config = snapshot.config;
    DeviceMap devices = snapshot.devices;
    std::vector<std::string> kept;
    for (const std::string &name : snapshot.profiles)
        if (std::ranges::find(profilesThere, name) != profilesThere.end())
            kept.push_back(name);
    if (kept.size() != snapshot.profiles.size()) {
        // A profile it used is gone: what all of them brought becomes the instance's own.
        config = snapshot.expandedConfig;
        devices = snapshot.expandedDevices;
    }
    std::erase_if(config, [](const auto &entry) { return entry.first.starts_with("volatile."); });
    for (const auto &[key, value] : row.config)
        if (key.starts_with("volatile.") && key != kUnfinishedKey) // it is whole then, as it was
            config[key] = value;
    row.description = snapshot.description;
    row.ephemeral = snapshot.ephemeral;
    row.config = std::move(config);
    row.devices = std::move(devices);
    row.profiles = std::move(kept);
    return row;
}

} // namespace lxmgr::instances
