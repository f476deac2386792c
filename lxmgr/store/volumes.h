// Tables volumes and volume_snapshots with their config: custom storage volumes.
#pragma once

#include "store/projects.h"

#include <vector>

namespace lxmgr::store
{

enum class VolumeStatus {
    Creating, ///< Before the first side effect; recovery takes it back.
    Ready,
    Deleting, ///< Before the first side effect of delete; recovery completes it.
};

struct Volume {
    std::int64_t id = 0;
    std::string project = kDefaultProject;
    std::string pool;
    std::string name;
    std::string description;
    VolumeStatus status = VolumeStatus::Creating;
    std::int64_t createdAt = 0; ///< Unix milliseconds.
    StringMap config;
    std::string uuid; ///< Its own, whatever it is called; made by who makes it.
};

struct VolumeSnapshot {
    std::int64_t id = 0;
    std::int64_t volumeId = 0;
    std::string name;
    std::string description;
    VolumeStatus status = VolumeStatus::Creating;
    std::int64_t createdAt = 0;
    std::int64_t expiresAt = 0; ///< 0: never.
    StringMap config;           ///< Of the volume then.
    std::string schedule;       ///< Name of the schedule that asked for it, "" for none.
};

/// Fills createdAt when 0. AlreadyExists; NotFound: no such pool or project.
Result<std::int64_t> insertVolume(Database &db, const Volume &volume);
/// NotFound.
Result<Volume> findVolume(Database &db, const std::string &pool, const std::string &project, const std::string &name);
/// NotFound.
Result<Volume> findVolume(Database &db, std::int64_t id);
/// "" gives all pools, or all projects.
Result<std::vector<Volume>> listVolumes(Database &db, const std::string &pool, const std::string &project);
/// Those with the key snapshots.schedule.
Result<std::vector<Volume>> listScheduledVolumes(Database &db);
/// Replaces description and config.
Status updateVolume(Database &db, const Volume &volume);
Status setVolumeStatus(Database &db, std::int64_t id, VolumeStatus status);
/// AlreadyExists.
Status renameVolume(Database &db, std::int64_t id, const std::string &name);
/// Says another place, with its snapshots. NotFound: no such pool or project; AlreadyExists.
Status moveVolume(Database &db, std::int64_t id, const std::string &pool, const std::string &project, const std::string &name);
/// With its snapshots.
Status deleteVolume(Database &db, std::int64_t id);

Result<std::int64_t> insertVolumeSnapshot(Database &db, const VolumeSnapshot &snapshot);
/// NotFound.
Result<VolumeSnapshot> findVolumeSnapshot(Database &db, std::int64_t volumeId, const std::string &name);
/// The oldest first.
Result<std::vector<VolumeSnapshot>> listVolumeSnapshots(Database &db, std::int64_t volumeId);
/// Those that expire at `now` or before.
Result<std::vector<VolumeSnapshot>> listExpiredVolumeSnapshots(Database &db, std::int64_t now);
/// When the next one expires; 0: none does.
Result<std::int64_t> nextVolumeSnapshotExpiry(Database &db);
/// Replaces description and expiresAt.
Status updateVolumeSnapshot(Database &db, const VolumeSnapshot &snapshot);
Status setVolumeSnapshotStatus(Database &db, std::int64_t id, VolumeStatus status);
/// AlreadyExists.
Status renameVolumeSnapshot(Database &db, std::int64_t id, const std::string &name);
Status deleteVolumeSnapshot(Database &db, std::int64_t id);

} // namespace lxmgr::store
