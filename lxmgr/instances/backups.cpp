#include "instances/backups.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "config/server_config.h"
#include "instances/journal.h"
#include "instances/manager.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "store/server_config.h"

#include <algorithm>
#include <ctime>

namespace lxmgr::instances
{

namespace
{

constexpr std::chrono::seconds kShortWait{10};

std::string archivePrefix(const std::string &project, const std::string &instance)
{
    return storage::volumeName(project, instance) + "@";
}
std::string archiveOf(const BackupKey &key) { return archivePrefix(key.project, key.instance) + key.name; }

/// nullopt: it is not one of ours.
std::optional<BackupKey> keyOfArchive(const std::string &archive)
{
    const std::size_t at = archive.find('@');
    if (at == std::string::npos)
        return std::nullopt;
    const InstanceKey instance = keyOfVolume(archive.substr(0, at));
    BackupKey key{instance.project, instance.name, archive.substr(at + 1)};
    if (!checkInstanceName(key.instance) || !checkObjectName("backup", key.name))
        return std::nullopt;
    return key;
}

std::string shown(const BackupKey &key) { return quoted(key.instance + "/" + key.name); }

std::string nameOfNow()
{
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char text[32];
    (void)std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts);
    return text;
}

/// What is restored must leave room for those who run.
class WhileRoom final : public Progress
{
public:
    WhileRoom(Progress &progress, storage::Driver &pool, std::uint64_t reserve) : m_progress(progress), m_pool(pool), m_reserve(reserve) {}
    void report(const std::string &text) override { m_progress.report("restore: " + text); }
    bool cancelled() const override
    {
        const auto space = m_pool.space();
        m_full = m_full || (space && space->available.count < m_reserve);
        return m_full || m_progress.cancelled();
    }
    bool full() const { return m_full; }

private:
    Progress &m_progress;
    storage::Driver &m_pool;
    const std::uint64_t m_reserve;
    mutable bool m_full = false;
};

Status checkFolder(const Fd &at, const std::string &path)
{
    const auto opened = path::open(at, path, O_PATH | O_DIRECTORY, path::Scope::NoMount);
    return opened ? Status() : Status(Error(Code::Corrupt, "the backup holds no folder " + quoted(path)));
}

/// The names in `at` are among `known`.
Status checkNames(const Fd &at, const std::string &path, std::initializer_list<std::string_view> known)
{
    const Fd folder = TRY(path::open(at, path, O_RDONLY | O_DIRECTORY, path::Scope::NoMount));
    for (const std::string &name : TRY(path::list(folder)))
        if (std::ranges::find(known, name) == known.end())
            return Error(Code::Corrupt, "the backup holds " + quoted(path + "/" + name) + ", which does not belong there");
    return {};
}

/// Trees of guests are taken as they are; what lies beside them is ours and read by the daemon.
Status checkRestored(const Fd &trees, const std::vector<std::string> &snapshots)
{
    TRY(checkNames(trees, "container", {"rootfs", "metadata.yaml", "templates"}));
    TRY(checkFolder(trees, "container/rootfs"));
    const auto metadata = sys::fstatat(trees, "container/metadata.yaml");
    if (metadata && !S_ISREG(metadata->st_mode))
        return Error(Code::Corrupt, "the backup's metadata.yaml is no file");
    if (sys::fstatat(trees, "container/templates")) {
        TRY(checkFolder(trees, "container/templates"));
        TRY(path::walk(TRY(path::open(trees, "container/templates", O_RDONLY | O_DIRECTORY, path::Scope::NoMount)),
                       [](const path::Entry &entry) -> Status {
                           if (!S_ISREG(entry.info.st_mode))
                               return Error(Code::Corrupt, "the backup's template " + quoted(entry.path) + " is no file");
                           return {};
                       }));
    }
    for (const std::string &name : snapshots) {
        TRY(checkNames(trees, "snapshots/" + name, {"rootfs"}));
        TRY(checkFolder(trees, "snapshots/" + name + "/rootfs"));
    }
    return {};
}

} // namespace

Status checkBackupName(const std::string &name)
{
    TRY(checkObjectName("backup", name));
    if (name == kLatestBackup)
        return Error(Code::Invalid, "backup name 'latest' stands for the newest one (give another name)");
    if (name.find(".checkpoint") != std::string::npos) // borg's own, which are deleted when a backup was cut off
        return Error(Code::Invalid, "backup name " + quoted(name) + ": borg calls unfinished backups so (leave '.checkpoint' out)");
    return {};
}

Result<Backups::Opened> Backups::open() const
{
    const config::ServerConfig config = TRY(config::parseServerConfig(TRY(store::serverConfig(m_db))));
    backup::Settings settings;
    settings.helper = m_paths.helper;
    settings.folder = config.backupsRepository ? config.backupsRepository->text : m_paths.stateDir + "/backup-repository";
    settings.passphraseFile = config.backupsPassphraseFile ? config.backupsPassphraseFile->text : "";
    settings.base = m_paths.stateDir + "/borg";
    const std::string folder = settings.folder;
    backup::Retention retention;
    if (config.backupsRetention)
        retention = TRY_IN("backups.retention", backup::parseRetention(*config.backupsRetention));
    return Opened{TRY(backup::Repository::open(std::move(settings))), folder, std::move(retention)};
}

Result<std::unique_lock<std::timed_mutex>> Backups::lockWriter(Progress &progress)
{
    std::unique_lock lock(m_writer, std::defer_lock);
    for (bool told = false; !lock.try_lock_for(std::chrono::milliseconds(100)); told = true) {
        if (!told)
            progress.report("waiting for another backup");
        if (progress.cancelled())
            return Error(Code::Cancelled, "it was cancelled");
    }
    return lock;
}

/// For what answers at once, or not at all.
Result<std::unique_lock<std::timed_mutex>> Backups::lockReader()
{
    std::unique_lock lock(m_writer, std::defer_lock);
    if (!lock.try_lock_for(kShortWait))
        return Error(Code::WrongState, "the backup repository is in use (wait until the backup that is being made is through)");
    return lock;
}

Status Backups::recover(const std::function<void(std::function<void()>)> &later)
{
    for (const store::Operation &journal : TRY(store::listUnfinished(m_db))) {
        if (journal.type != kBackupOperation)
            continue;
        log::warning("backup '" + journal.arguments + "' of '" + journal.object +
                     "' was cut off by the end of the daemon; where it is listed, it was not read back");
        TRY(store::finishOperation(m_db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart"));
        later([this, archive = archiveOf({journal.project, journal.object, journal.arguments})] {
            const std::lock_guard guard(m_writer);
            if (const auto opened = open(); opened && opened->repository.exists())
                if (Status gone = opened->repository.removeUnfinished(archive); !gone)
                    log::warning("backup '" + archive + "': " + gone.error().message + ", ignoring");
        });
    }
    return {};
}

Result<BackupMade> Backups::store(const BackupRequest &request, const std::string &archive, const backup::Repository &repository,
                                  Progress &progress)
{
    const BackupKey &key = request.key;
    BackupMade made{key, {}, {}};
    Undo undo; // what could not be read back is no backup
    const ExportRequest what{request.instanceOnly, {}};
    TRY(m_manager.withExportJob({key.project, key.instance}, what, [&](const images::ExportJob &job) -> Status {
        auto stored = repository.store(archive, request.description, storage::volumeName(key.project, key.instance), job, progress);
        if (!stored) {
            (void)repository.removeUnfinished(archive); // the next prune does it where this fails
            return std::move(stored.error());
        }
        undo.add("delete backup", [&] { return repository.remove(archive, Progress::none()); });
        made.sizes = stored->sizes;
        made.warnings = std::move(stored->warnings);
        return failpoint("backup.stored");
    }));
    if (request.verify)
        TRY_IN("reading it back", repository.verify(archive, progress));
    TRY(failpoint("backup.verified"));
    undo.keep();
    return made;
}

Result<BackupMade> Backups::record(const BackupRequest &request, backup::Repository &repository, Progress &progress)
{
    const store::Operation journal = newJournal(kBackupOperation, request.key.project, request.key.instance, request.key.name);
    TRY(store::beginOperation(m_db, journal));
    const auto made = [&]() -> Result<BackupMade> {
        TRY(failpoint("backup.recorded"));
        TRY(repository.ensure());
        return store(request, archiveOf(request.key), repository, progress);
    }();
    TRY(store::finishOperation(m_db, journal.id, made ? store::OperationStatus::Success : store::OperationStatus::Failure,
                               made ? "" : made.error().message));
    return made;
}

Result<BackupMade> Backups::create(BackupRequest request, Progress &progress)
{
    const bool named = !request.key.name.empty();
    if (named)
        TRY(checkBackupName(request.key.name));
    Opened opened = TRY(open());
    TRY(m_manager.describe({request.key.project, request.key.instance}));
    const auto lock = TRY(lockWriter(progress));
    for (int number = 1;; ++number) {
        if (!named) // there may be one of this second
            request.key.name = nameOfNow() + (number > 1 ? "-" + std::to_string(number) : "");
        auto made = record(request, opened.repository, progress);
        if (made)
            return made;
        if (named || made.error().code != Code::AlreadyExists)
            return std::move(made.error()).in("back up " + quoted(request.key.instance));
    }
}

Result<std::vector<Backup>> Backups::listIn(const backup::Repository &repository, const std::string &project, const std::string &instance,
                                            backup::Repository::Lock lock) const
{
    std::vector<Backup> backups;
    if (!repository.exists())
        return backups;
    for (backup::Archive &archive : TRY(repository.list(lock)))
        if (auto key = keyOfArchive(archive.name);
            key && key->project == project && (instance.empty() || key->instance == instance))
            backups.push_back({std::move(*key), std::move(archive.comment), archive.createdAt});
    return backups;
}

Result<std::vector<Backup>> Backups::list(const std::string &project, const std::string &instance)
{
    const Opened opened = TRY(open());
    const std::unique_lock lock(m_writer, std::try_to_lock);
    using Lock = backup::Repository::Lock;
    return listIn(opened.repository, project, instance, lock ? Lock::Take : Lock::PassBy);
}

Result<Backup> Backups::find(const BackupKey &key)
{
    const std::vector<Backup> all = TRY(list(key.project, key.instance));
    const auto newest = std::ranges::max_element(all, std::less_equal{}, &Backup::createdAt); // the last of those of one second
    const auto named = std::ranges::find(all, key.name, [](const Backup &one) { return one.key.name; });
    const auto found = key.name.empty() ? newest : named;
    if (found != all.end())
        return *found;
    return Error(Code::NotFound, key.name.empty() ? "there is no backup of " + quoted(key.instance)
                                                  : "backup " + shown(key) + " does not exist (see: lxmgr backup list " + key.instance + ")");
}

Result<BackupDetails> Backups::describe(const BackupKey &key)
{
    BackupDetails details;
    details.backup = TRY(find(key));
    const Opened opened = TRY(open());
    const std::string archive = archiveOf(details.backup.key);
    const auto lock = TRY(lockReader());
    details.sizes = TRY(opened.repository.info(archive)).sizes;
    details.index = TRY(config::readExport(TRY(opened.repository.index(archive)), {}));
    return details;
}

Status Backups::verify(const BackupKey &key, Progress &progress)
{
    const Backup found = TRY(find(key));
    const Opened opened = TRY(open());
    const auto lock = TRY(lockWriter(progress));
    TRY_IN("backup " + shown(found.key), opened.repository.verify(archiveOf(found.key), progress));
    return {};
}

Status Backups::verifyAll(Progress &progress)
{
    const Opened opened = TRY(open());
    const auto lock = TRY(lockWriter(progress));
    return opened.repository.exists() ? opened.repository.verifyAll(progress) : Status();
}

Result<Imported> Backups::restore(BackupRestore request, Progress &progress)
{
    const Backup found = TRY(find(request.key));
    const Opened opened = TRY(open());
    const std::string archive = archiveOf(found.key);
    const auto lock = TRY(lockWriter(progress));
    const config::ExportIndex index = TRY_IN("backup " + shown(found.key), config::readExport(TRY(opened.repository.index(archive)), {}));
    std::vector<std::string> snapshots;
    for (const config::ExportedInstance &snapshot : index.snapshots)
        snapshots.push_back(snapshot.name);
    if (request.into.name.empty())
        request.into.name = found.key.instance; // it may have been renamed since: its name is that of the backup
    request.into.again = "lxmgr backup restore " + found.key.instance + "/" + found.key.name + " <new-name>";
    return m_manager.importTrees(std::move(request.into), index, [&](const NewTrees &trees) -> Status {
        using Nodes = backup::Repository::Nodes;
        WhileRoom room(progress, trees.pool, TRY(trees.pool.space()).available.count / 20);
        auto restored = opened.repository.restore(archive, snapshots, trees.folder, trees.privileged ? Nodes::Make : Nodes::LeaveOut, room);
        if (!restored && room.full())
            return Error(Code::NoSpace, "storage pool " + quoted(trees.pool.name()) + " has too little room for it");
        if (!restored)
            return std::move(restored.error()).in("backup " + shown(found.key));
        TRY(checkRestored(trees.folder, snapshots));
        std::ranges::move(restored->warnings, std::back_inserter(trees.warnings));
        if (restored->nodesLeftOut > 0)
            trees.warnings.push_back(nodesLeftOut(restored->nodesLeftOut));
        return {};
    });
}

Status Backups::remove(const BackupKey &key, Progress &progress)
{
    const Backup found = TRY(find(key));
    const Opened opened = TRY(open());
    const auto lock = TRY(lockWriter(progress));
    TRY_IN("backup " + shown(found.key), opened.repository.remove(archiveOf(found.key), progress));
    TRY(failpoint("backup.removed"));
    return opened.repository.compact(progress);
}

Result<std::vector<BackupPruned>> Backups::prune(const BackupPrune &request, Progress &progress)
{
    const Opened opened = TRY(open());
    const backup::Retention &retention = request.retention.empty() ? opened.retention : request.retention;
    if (retention.empty())
        return Error(Code::Invalid, "it is not said which backups are kept (give --keep-last, --keep-daily, …, or set "
                                    "backups.retention='daily=7 weekly=4')");
    const auto lock = TRY(lockWriter(progress));
    const std::vector<Backup> all = TRY(listIn(opened.repository, request.project, {}, backup::Repository::Lock::Take));
    std::vector<std::string> instances = request.instances;
    if (instances.empty())
        for (const Backup &one : all)
            if (std::ranges::find(instances, one.key.instance) == instances.end())
                instances.push_back(one.key.instance);
    std::vector<BackupPruned> result;
    using Prune = backup::Repository::Prune;
    for (const std::string &instance : instances)
        for (backup::Pruned &pruned : TRY(opened.repository.prune(archivePrefix(request.project, instance), retention,
                                                                  request.dryRun ? Prune::Say : Prune::Do, progress)))
            for (const Backup &one : all)
                if (archiveOf(one.key) == pruned.name)
                    result.push_back({one, pruned.kept, std::move(pruned.rule)});
    TRY(failpoint("backup.pruned"));
    if (!request.dryRun && std::ranges::any_of(result, [](const BackupPruned &one) { return !one.kept; }))
        TRY(opened.repository.compact(progress));
    return result;
}

Result<RepositoryState> Backups::state()
{
    const Opened opened = TRY(open());
    RepositoryState state{opened.folder, opened.repository.exists(), {}, opened.retention};
    const auto lock = TRY(lockReader());
    if (state.exists)
        state.info = TRY(opened.repository.info());
    return state;
}

} // namespace lxmgr::instances
