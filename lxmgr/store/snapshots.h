// Tables snapshots and snapshot_*: what an instance was at some time. Its root file system then lies in the pool.
#pragma once

#include "store/projects.h"

#include <vector>

namespace lxmgr::store
{

enum class SnapshotStatus {
    Creating, ///< Before the first side effect; recovery takes it back.
    Ready,
    Deleting, ///< Before the first side effect of delete; recovery completes it.
};

struct Snapshot {
    std::int64_t id = 0;
    std::int64_t instanceId = 0;
    std::string name;
    std::string description; ///< Of the instance, as everything here up to `profiles`.
    std::string architecture;
    bool ephemeral = false;
    StringMap config;
    DeviceMap devices;
    StringMap expandedConfig;
    DeviceMap expandedDevices;
    std::vector<std::string> profiles; ///< Names; they need not exist any more.
    SnapshotStatus status = SnapshotStatus::Creating;
    std::string schedule;       ///< Name of the schedule that asked for it, "" for none.
    std::int64_t createdAt = 0; ///< Unix milliseconds.
    std::int64_t expiresAt = 0; ///< 0: never.
};

/// Writes the row and all its parts; fills createdAt when 0. AlreadyExists; NotFound: no such instance.
Result<std::int64_t> insertSnapshot(Database &db, const Snapshot &snapshot);
/// NotFound.
Result<Snapshot> findSnapshot(Database &db, std::int64_t instanceId, const std::string &name);
/// Of one instance, the oldest first; seven queries, however many there are.
Result<std::vector<Snapshot>> listSnapshots(Database &db, std::int64_t instanceId);
/// Of all instances, sorted by instance and age.
Result<std::vector<Snapshot>> listSnapshots(Database &db);

/// Of one status: what recovery looks for.
Result<std::vector<Snapshot>> listSnapshotsIn(Database &db, SnapshotStatus status);
/// Those that expire at `now` or before.
Result<std::vector<Snapshot>> listExpiredSnapshots(Database &db, std::int64_t now);
/// When the next one expires; 0: none does.
Result<std::int64_t> nextSnapshotExpiry(Database &db);

/// Whether an instance or profile has the key snapshots.schedule at all.
Result<bool> anySnapshotSchedule(Database &db);

Status setSnapshotStatus(Database &db, std::int64_t id, SnapshotStatus status);
Status setSnapshotExpiry(Database &db, std::int64_t id, std::int64_t at);
/// AlreadyExists.
Status renameSnapshot(Database &db, std::int64_t id, const std::string &name);
Status deleteSnapshot(Database &db, std::int64_t id);

} // namespace lxmgr::store
