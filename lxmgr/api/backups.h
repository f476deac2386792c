// Resources below /1.0/lxmgr/backups and /1.0/lxmgr/backup-repository (lxmgr_backups).
#pragma once

#include "api/time.h"
#include "api/types.h"

namespace lxmgr::api
{

struct RepositoryBackup {
    std::string instance, name, project, description;
    Time createdAt;
};
template <> struct Fields<RepositoryBackup> {
    using T = RepositoryBackup;
    static constexpr auto rows = std::tuple{Field{"instance", &T::instance}, Field{"name", &T::name}, Field{"project", &T::project},
                                            Field{"description", &T::description}, Field{"created_at", &T::createdAt}};
};

struct BackupSizes {
    std::uint64_t original = 0, compressed = 0, deduplicated = 0;
};
template <> struct Fields<BackupSizes> {
    using T = BackupSizes;
    static constexpr auto rows =
        std::tuple{Field{"original", &T::original}, Field{"compressed", &T::compressed}, Field{"deduplicated", &T::deduplicated}};
};

struct RepositoryBackupDetails {
    std::string instance, name, project, description;
    Time createdAt;
    BackupSizes size;
    std::uint64_t files = 0;
    std::string architecture;
    StringMap config;
    Devices devices;
    std::vector<std::string> profiles;
    std::vector<std::string> snapshots;
};
template <> struct Fields<RepositoryBackupDetails> {
    using T = RepositoryBackupDetails;
    static constexpr auto rows =
        std::tuple{Field{"instance", &T::instance}, Field{"name", &T::name}, Field{"project", &T::project},
                   Field{"description", &T::description}, Field{"created_at", &T::createdAt}, Field{"size", &T::size},
                   Field{"files", &T::files}, Field{"architecture", &T::architecture}, Field{"config", &T::config},
                   Field{"devices", &T::devices}, Field{"profiles", &T::profiles}, Field{"snapshots", &T::snapshots}};
};

/// POST /1.0/lxmgr/backups
struct RepositoryBackupsPost {
    std::string instance, name, description;
    bool instanceOnly = false;
    bool verify = true; ///< Read back what was stored.
};
template <> struct Fields<RepositoryBackupsPost> {
    using T = RepositoryBackupsPost;
    static constexpr auto rows =
        std::tuple{Field{"instance", &T::instance}, Field{"name", &T::name}, Field{"description", &T::description},
                   Field{"instance_only", &T::instanceOnly}, Field{"verify", &T::verify}};
};

/// POST /1.0/lxmgr/backups/{instance}/restore and …/{backup}/restore
struct RepositoryRestorePost {
    std::string name, pool; ///< "": as they were.
    StringMap config;       ///< Over the backup's; an empty value takes a key away.
};
template <> struct Fields<RepositoryRestorePost> {
    using T = RepositoryRestorePost;
    static constexpr auto rows = std::tuple{Field{"name", &T::name}, Field{"pool", &T::pool}, Field{"config", &T::config}};
};

struct BackupRepository {
    std::string location;
    bool exists = false;
    std::string encryption, id, retention;
    BackupSizes size;
};
template <> struct Fields<BackupRepository> {
    using T = BackupRepository;
    static constexpr auto rows =
        std::tuple{Field{"location", &T::location}, Field{"exists", &T::exists}, Field{"encryption", &T::encryption},
                   Field{"id", &T::id}, Field{"retention", &T::retention}, Field{"size", &T::size}};
};

/// POST /1.0/lxmgr/backup-repository/prune
struct BackupPrunePost {
    std::vector<std::string> instances; ///< Empty: all of the project.
    std::string retention;              ///< "daily=7 weekly=4"; "": as the server's configuration says.
    bool dryRun = false;
};
template <> struct Fields<BackupPrunePost> {
    using T = BackupPrunePost;
    static constexpr auto rows =
        std::tuple{Field{"instances", &T::instances}, Field{"retention", &T::retention}, Field{"dry_run", &T::dryRun}};
};

/// In the operation's metadata, as "backups".
struct PrunedBackup {
    std::string instance, name;
    Time createdAt;
    bool kept = false;
    std::string rule;
};
template <> struct Fields<PrunedBackup> {
    using T = PrunedBackup;
    static constexpr auto rows = std::tuple{Field{"instance", &T::instance}, Field{"name", &T::name}, Field{"created_at", &T::createdAt},
                                            Field{"kept", &T::kept}, Field{"rule", &T::rule}};
};

} // namespace lxmgr::api
