// Backups: instances in a repository outside of the pools. What there is, is asked of the repository, never remembered: it
// outlives the database, and may be shared with other hosts.
//
// An archive is called "<volume>@<backup>" ("web1@20261124-031500"; no name of ours has an "@"), and holds what an export holds,
// in the same layout. One of ours writes at a time.
#pragma once

#include "backup/repository.h"
#include "config/export.h"
#include "instances/exchange.h"
#include "store/database.h"
#include "store/operations.h"

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::instances
{

class Manager;

inline constexpr const char *kBackupOperation = "backup-create";

/// Stands for the newest backup in place of a name, where one is restored, verified or shown.
inline constexpr std::string_view kLatestBackup = "latest";
/// What a new backup may be called. Invalid.
Status checkBackupName(const std::string &name);

struct BackupKey {
    std::string project;
    std::string instance;
    std::string name;
};

struct Backup {
    BackupKey key;
    std::string description;
    std::int64_t createdAt = 0; ///< Unix milliseconds.
};

struct BackupRequest {
    BackupKey key; ///< Name "": made of the time.
    std::string description;
    bool instanceOnly = false; ///< Without its snapshots.
    bool verify = true;        ///< Read back what was stored.
};

struct BackupMade {
    BackupKey key;
    backup::Sizes sizes;
    std::vector<std::string> warnings;
};

struct BackupDetails {
    Backup backup;
    backup::Sizes sizes;
    config::ExportIndex index;
};

struct BackupRestore {
    BackupKey key; ///< Name "": the newest.
    ImportRequest into;
};

struct BackupPrune {
    std::string project;
    std::vector<std::string> instances; ///< Empty: all that have backups.
    backup::Retention retention;        ///< Empty: as backups.retention says.
    bool dryRun = false;
};
struct BackupPruned {
    Backup backup;
    bool kept = false;
    std::string rule;
};

struct RepositoryState {
    std::string folder;
    bool exists = false;
    backup::RepositoryInfo info;
    backup::Retention retention;
};

class Backups
{
public:
    Backups(const Paths &paths, store::Database &db, Manager &manager) : m_paths(paths), m_db(db), m_manager(manager) {}

    /// Tells of what a crash cut off. `later` runs work on another thread: what borg kept of it is removed there.
    Status recover(const std::function<void(std::function<void()>)> &later);

    /// The repository is made with the first. AlreadyExists; Unsupported: borg is not installed.
    Result<BackupMade> create(BackupRequest request, Progress &progress);
    /// The oldest first; `instance` "": of all.
    Result<std::vector<Backup>> list(const std::string &project, const std::string &instance);
    /// Name "": the newest. NotFound.
    Result<Backup> find(const BackupKey &key);
    Result<BackupDetails> describe(const BackupKey &key);
    /// Corrupt.
    Status verify(const BackupKey &key, Progress &progress);
    Status verifyAll(Progress &progress);
    Result<Imported> restore(BackupRestore request, Progress &progress);
    Status remove(const BackupKey &key, Progress &progress);
    Result<std::vector<BackupPruned>> prune(const BackupPrune &request, Progress &progress);
    Result<RepositoryState> state();

private:
    struct Opened {
        backup::Repository repository;
        std::string folder;
        backup::Retention retention;
    };
    Result<Opened> open() const;
    Result<std::unique_lock<std::timed_mutex>> lockWriter(Progress &progress);
    Result<std::unique_lock<std::timed_mutex>> lockReader();
    Result<std::vector<Backup>> listIn(const backup::Repository &repository, const std::string &project, const std::string &instance,
                                       backup::Repository::Lock lock) const;
    Result<BackupMade> record(const BackupRequest &request, backup::Repository &repository, Progress &progress);
    Result<BackupMade> store(const BackupRequest &request, const std::string &archive, const backup::Repository &repository,
                             Progress &progress);

    const Paths &m_paths;
    store::Database &m_db;
    Manager &m_manager;
    std::timed_mutex m_writer;
};

} // namespace lxmgr::instances
