// Storage pools and volumes as the wire has them.
#pragma once

#include "api/fields.h"
#include "api/time.h"
#include "api/types.h"

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

struct StoragePool {
    StringMap config;
    std::string description, name, driver;
    std::vector<std::string> usedBy;
    std::string status = "Created";
    std::vector<std::string> locations = {"none"};
};
template <> struct Fields<StoragePool> {
    using T = StoragePool;
    static constexpr auto rows = std::tuple{
        Field{"config", &T::config}, Field{"description", &T::description}, Field{"name", &T::name},
        Field{"driver", &T::driver}, Field{"used_by", &T::usedBy},          Field{"status", &T::status},
        Field{"locations", &T::locations},
    };
};

struct StoragePoolPut {
    std::string name, driver;
    std::optional<std::string> description;
    std::optional<StringMap> config;
};
template <> struct Fields<StoragePoolPut> {
    using T = StoragePoolPut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{Field{"name", &T::name, E}, Field{"driver", &T::driver, E},
                                            Field{"description", &T::description, E}, Field{"config", &T::config, E}};
};

/// A storage volume, or a snapshot of one in a list ("<volume>/<snapshot>").
struct StorageVolume {
    std::string name, description, type = "custom", contentType = "filesystem";
    StringMap config;
    std::vector<std::string> usedBy;
    std::string location = "none", project = "default";
    Time createdAt;
};
template <> struct Fields<StorageVolume> {
    using T = StorageVolume;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},         Field{"description", &T::description}, Field{"type", &T::type},
        Field{"content_type", &T::contentType}, Field{"config", &T::config},    Field{"used_by", &T::usedBy},
        Field{"location", &T::location}, Field{"project", &T::project},         Field{"created_at", &T::createdAt},
    };
};

/// What a new volume is made from.
struct StorageVolumeSource {
    std::string name; ///< "<volume>" or "<volume>/<snapshot>".
    std::string type; ///< "": empty; copy, migration
    std::string pool, project, mode;
    bool volumeOnly = false, refresh = false;
    std::string operation, certificate; ///< Of migration: where the other server offers it, and by which certificate it is known.
    std::optional<StringMap> secrets;
};
template <> struct Fields<StorageVolumeSource> {
    using T = StorageVolumeSource;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},       Field{"type", &T::type}, Field{"pool", &T::pool},
        Field{"project", &T::project}, Field{"mode", &T::mode}, Field{"volume_only", &T::volumeOnly},
        Field{"refresh", &T::refresh}, Field{"operation", &T::operation, OmitEmpty{}}, Field{"certificate", &T::certificate, OmitEmpty{}},
        Field{"secrets", &T::secrets, OmitEmpty{}},
    };
};

/// POST …/volumes
struct StorageVolumesPost {
    std::string name, type, contentType, description;
    StringMap config;
    StorageVolumeSource source;
};
template <> struct Fields<StorageVolumesPost> {
    using T = StorageVolumesPost;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},     Field{"type", &T::type},     Field{"content_type", &T::contentType},
        Field{"description", &T::description}, Field{"config", &T::config}, Field{"source", &T::source},
    };
};

/// PUT and PATCH …/volumes/custom/<v>
struct StorageVolumePut {
    std::optional<std::string> description;
    std::optional<StringMap> config;
    std::string restore; ///< Name of a snapshot: nothing else is looked at.
};
template <> struct Fields<StorageVolumePut> {
    using T = StorageVolumePut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{Field{"description", &T::description, E}, Field{"config", &T::config, E},
                                            Field{"restore", &T::restore, E}};
};

/// POST …/volumes/custom/<v>: another name, pool or project; or, with migration, another server.
struct StorageVolumePost {
    std::string name, pool, project;
    bool migration = false, volumeOnly = false;
    Json target; ///< Where the other server waits for it; null: it fetches it.
};
template <> struct Fields<StorageVolumePost> {
    using T = StorageVolumePost;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{Field{"name", &T::name}, Field{"pool", &T::pool, E},
                                            Field{"project", &T::project, E}, Field{"migration", &T::migration, E},
                                            Field{"volume_only", &T::volumeOnly, E}, Field{"target", &T::target, E}};
};

struct StorageVolumeSnapshot {
    std::string name; ///< "<volume>/<snapshot>".
    std::string description, contentType = "filesystem";
    StringMap config;
    Time createdAt;
    std::optional<Time> expiresAt; ///< None: never.
};
template <> struct Fields<StorageVolumeSnapshot> {
    using T = StorageVolumeSnapshot;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},     Field{"description", &T::description}, Field{"content_type", &T::contentType},
        Field{"config", &T::config}, Field{"created_at", &T::createdAt},    Field{"expires_at", &T::expiresAt},
    };
};

/// POST …/volumes/custom/<v>/snapshots
struct StorageVolumeSnapshotsPost {
    std::string name; ///< "": as snapshots.pattern says.
    std::string description;
    std::optional<Time> expiresAt;
};
template <> struct Fields<StorageVolumeSnapshotsPost> {
    using T = StorageVolumeSnapshotsPost;
    static constexpr auto rows = std::tuple{Field{"name", &T::name}, Field{"description", &T::description, OmitEmpty{}},
                                            Field{"expires_at", &T::expiresAt}};
};

struct StorageVolumeSnapshotPut {
    std::optional<std::string> description;
    std::optional<Time> expiresAt;
};
template <> struct Fields<StorageVolumeSnapshotPut> {
    using T = StorageVolumeSnapshotPut;
    static constexpr auto rows =
        std::tuple{Field{"description", &T::description, OmitEmpty{}}, Field{"expires_at", &T::expiresAt}};
};

struct UsedTotal {
    std::uint64_t used = 0, total = 0;
};
template <> struct Fields<UsedTotal> {
    static constexpr auto rows = std::tuple{Field{"used", &UsedTotal::used}, Field{"total", &UsedTotal::total}};
};

/// GET …/volumes/<type>/<v>/state
struct StorageVolumeState {
    UsedTotal usage;
};
template <> struct Fields<StorageVolumeState> {
    static constexpr auto rows = std::tuple{Field{"usage", &StorageVolumeState::usage}};
};

struct StorageResources {
    UsedTotal space, inodes;
};
template <> struct Fields<StorageResources> {
    using T = StorageResources;
    static constexpr auto rows = std::tuple{Field{"space", &T::space}, Field{"inodes", &T::inodes}};
};

/// GET /1.0/lxmgr/storage-drivers
struct StorageDriverState {
    std::string name, description;
    bool available = false;
    std::string reason; ///< Why it is not available.
};
template <> struct Fields<StorageDriverState> {
    using T = StorageDriverState;
    static constexpr auto rows = std::tuple{Field{"name", &T::name}, Field{"description", &T::description},
                                            Field{"available", &T::available}, Field{"reason", &T::reason}};
};

} // namespace lxmgr::api
