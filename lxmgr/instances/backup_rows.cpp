#include "instances/backup_rows.h"

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

} // namespace lxmgr::instances
