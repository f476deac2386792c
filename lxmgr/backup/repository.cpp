#include "backup/repository.h"

#include "backup/run.h"
#include "base/text.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/program.h"
#include "kernel/sys.h"

#include <algorithm>
#include <sys/utsname.h>

namespace lxmgr::backup
{

namespace
{

constexpr std::size_t kLongestPassphrase = 4096;
constexpr const char *kLockWait = "10"; ///< Seconds that another host's borg is waited for.

/// Whose locks are whose: borg takes those away whose process is gone, where it knows that it ran on this host.
std::string hostId()
{
    const auto machine = files::read("/etc/machine-id", 4096);
    utsname host{};
    ::uname(&host);
    const std::string own = machine ? std::string(trimmed(*machine)) : std::string();
    return "lxmgr@" + (own.empty() ? std::string(host.nodename) : own);
}

Result<std::string> passphrase(const std::string &file)
{
    auto text = files::read(file, kLongestPassphrase);
    if (!text)
        return std::move(text.error()).as(Code::Invalid).in("backups.passphrase_file");
    const struct stat info = TRY(sys::fstatat(sys::cwd(), file, 0));
    if ((info.st_mode & 077) != 0)
        return Error(Code::Invalid, "backups.passphrase_file: others may read " + quoted(file) + " (chmod 600 " + file + ")");
    std::string words = text->substr(0, text->find('\n'));
    if (words.empty())
        return Error(Code::Invalid, "backups.passphrase_file: " + quoted(file) + " is empty");
    return words;
}

std::string archivePlace(const std::string &archive) { return std::string(kRepository) + "::" + archive; }
std::string treePath(const std::string &path) { return std::string(kTree) + "/" + path; }

/// Opens the folder, made first where it is missing. Its mode is for borg's owner alone.
Result<Fd> makeFolder(const std::string &folder)
{
    const Fd root = TRY(path::openFolder("/"));
    (void)TRY_IN(quoted(folder), path::makeFolders(root, folder, 0700, path::Scope::InRoot));
    return path::openFolder(folder);
}

} // namespace

Result<Repository> Repository::open(Settings settings)
{
    const auto program = program::find("borg");
    if (!program)
        return Error(Code::Unsupported, "a backup repository needs borg, which is not installed (package borgbackup)");
    return Repository(std::move(settings), *program);
}

bool Repository::exists() const
{
    const auto folder = path::openFolder(m_settings.folder);
    return folder && sys::fstatat(*folder, "config");
}

Result<Job> Repository::job(std::vector<std::string> arguments, const std::string &source) const
{
    Job job;
    job.program = m_program;
    job.repository = m_settings.folder;
    job.base = m_settings.base;
    arguments.insert(arguments.begin() + 1, {"--log-json", "--lock-wait", kLockWait});
    job.arguments = std::move(arguments);
    job.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC", "HOME=" + std::string(kBase),
                       "BORG_BASE_DIR=" + std::string(kBase), "BORG_HOST_ID=" + hostId(),
                       // It always lies at the same place for borg, wherever it is on the host.
                       "BORG_RELOCATED_REPO_ACCESS_IS_OK=yes", "BORG_DELETE_I_KNOW_WHAT_I_AM_DOING=YES",
                       "BORG_CHECK_I_KNOW_WHAT_I_AM_DOING=YES"};
    if (!source.empty())
        job.environment.push_back("BORG_FILES_CACHE_SUFFIX=" + source);
    if (m_settings.passphraseFile.empty())
        job.environment.push_back("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes");
    else
        job.environment.push_back("BORG_PASSPHRASE=" + TRY(passphrase(m_settings.passphraseFile)));
    return job;
}

Result<Ended> Repository::runJob(std::vector<std::string> arguments, Progress &progress) const
{
    return run(m_settings.helper, TRY(job(std::move(arguments))), nullptr, progress);
}

Status Repository::ensure()
{
    (void)TRY(makeFolder(m_settings.base));
    if (exists())
        return {};
    const Fd folder = TRY(makeFolder(m_settings.folder));
    const std::vector<std::string> names = TRY(path::list(folder));
    // "config" is the last that borg writes of a new one.
    if (std::ranges::any_of(names, [](const std::string &name) { return name != "README" && name != "data" && !name.starts_with("config"); }))
        return Error(Code::Invalid, quoted(m_settings.folder) + " holds something that is no repository of borg (name an empty "
                                                               "folder, or one that is not there yet, with backups.repository)");
    if (std::ranges::find(names, "data") != names.end() && !TRY(path::list(TRY(path::openFolder(m_settings.folder + "/data")))).empty())
        return Error(Code::Corrupt, quoted(m_settings.folder) + " holds the data of a repository and no config (bring that back, or name another folder)");
    for (const std::string &name : names)
        TRY(path::removeTree(folder, name));
    const bool encrypted = !m_settings.passphraseFile.empty();
    (void)TRY_IN("make the repository",
                 runJob({"init", "--encryption", encrypted ? "repokey-blake2" : "none", kRepository}, Progress::none()));
    return {};
}

Result<Repository::Stored> Repository::store(const std::string &archive, const std::string &comment, const std::string &source,
                                             const images::ExportJob &tree, Progress &progress) const
{
    Job work = TRY(job({"create", "--json", "--progress", "--numeric-ids", "--noflags", "--compression", "auto,zstd", "--comment",
                        comment, archivePlace(archive), treePath("index.yaml")},
                       source));
    work.use = Use::Store;
    work.index = tree.index;
    work.sources = tree.parts;
    for (const images::ExportSource &part : tree.parts)
        for (const char *name : {"/backup.yaml", "/metadata.yaml", "/templates", "/rootfs"})
            if (std::string_view(name) != "/templates" || !part.templates.empty())
                work.arguments.push_back(treePath(part.folder + name));
    Ended ended = TRY(run(m_settings.helper, work, nullptr, progress));
    return Stored{TRY(parseCreated(ended.text)), std::move(ended.warnings)};
}

Status Repository::removeUnfinished(const std::string &archive) const
{
    (void)TRY(runJob({"delete", "--consider-checkpoints", "--glob-archives", archive + ".checkpoint*", kRepository}, Progress::none()));
    return {};
}

Result<std::vector<Archive>> Repository::list(Lock lock) const
{
    std::vector<std::string> arguments = {"list", "--json", "--format", "{comment}", kRepository};
    if (lock == Lock::PassBy)
        arguments.insert(arguments.begin() + 1, "--bypass-lock");
    return parseArchives(TRY(runJob(std::move(arguments), Progress::none())).text);
}

Result<ArchiveInfo> Repository::info(const std::string &archive) const
{
    return parseArchiveInfo(TRY(runJob({"info", "--json", archivePlace(archive)}, Progress::none())).text);
}

Result<RepositoryInfo> Repository::info() const
{
    return parseRepositoryInfo(TRY(runJob({"info", "--json", kRepository}, Progress::none())).text);
}

Result<std::string> Repository::index(const std::string &archive) const
{
    return TRY(runJob({"extract", "--stdout", archivePlace(archive), treePath("index.yaml")}, Progress::none())).text;
}

Status Repository::verify(const std::string &archive, Progress &progress) const
{
    auto read = runJob({"extract", "--dry-run", "--progress", archivePlace(archive)}, progress);
    if (!read)
        return std::move(read.error());
    if (read->warned > 0)
        return Error(Code::Corrupt, read->warnings.front());
    return {};
}

Status Repository::verifyAll(Progress &progress) const
{
    (void)TRY(runJob({"check", "--verify-data", "--progress", kRepository}, progress));
    return {};
}

Result<Repository::Restored> Repository::restore(const std::string &archive, const std::vector<std::string> &snapshots,
                                                 const Fd &target, Nodes nodes, Progress &progress) const
{
    std::vector<std::string> arguments = {"extract", "--numeric-ids", "--sparse", "--noflags", "--progress"};
    const auto leaveOut = [&](const std::string &path) {
        arguments.insert(arguments.end(), {"--exclude", "pp:" + treePath(path)});
    };
    leaveOut("index.yaml");
    leaveOut("container/backup.yaml");
    for (const std::string &name : snapshots)
        for (const char *beside : {"backup.yaml", "metadata.yaml", "templates"})
            leaveOut("snapshots/" + name + "/" + beside);
    arguments.push_back(archivePlace(archive));
    Job work = TRY(job(std::move(arguments)));
    work.use = nodes == Nodes::Make ? Use::RestoreAll : Use::Restore;
    Ended ended = TRY(run(m_settings.helper, work, &target, progress));
    Restored restored;
    for (std::string &warning : ended.warnings) {
        // What may not be made is counted, the rest is told: borg has all it needs, but for what mknod(2) takes.
        if (nodes == Nodes::LeaveOut && warning.ends_with(": attrs: [Errno 1] Operation not permitted"))
            ++restored.nodesLeftOut;
        else
            restored.warnings.push_back(std::move(warning));
    }
    return restored;
}

Status Repository::remove(const std::string &archive, Progress &progress) const
{
    (void)TRY(runJob({"delete", "--progress", archivePlace(archive)}, progress));
    return {};
}

Result<std::vector<Pruned>> Repository::prune(const std::string &prefix, const Retention &retention, Prune how,
                                              Progress &progress) const
{
    std::vector<std::string> arguments = {"prune", "--list", "--progress", "--glob-archives", prefix + "*"};
    for (const auto &[rule, count] : retention.rules)
        arguments.insert(arguments.end(), {"--keep-" + rule, std::to_string(count)});
    if (how == Prune::Say)
        arguments.emplace_back("--dry-run");
    arguments.emplace_back(kRepository);
    std::vector<Pruned> all;
    for (const std::string &line : TRY(runJob(std::move(arguments), progress)).listed)
        if (auto pruned = parsePruned(line); pruned && pruned->name.starts_with(prefix))
            all.push_back(std::move(*pruned));
    return all;
}

Status Repository::compact(Progress &progress) const
{
    (void)TRY(runJob({"compact", "--progress", kRepository}, progress));
    return {};
}

} // namespace lxmgr::backup
