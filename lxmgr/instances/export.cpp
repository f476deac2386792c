// Exporting an instance: what it is, kept still for as long as the helper packs it.
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "images/layout.h"
#include "instances/journal.h"
#include "instances/manager.h"
#include "instances/names.h"
#include "instances/policy.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <optional>

namespace lxmgr::instances
{

namespace
{

/// What holds for this host alone is not told to others.
StringMap exportedConfig(const StringMap &config)
{
    constexpr std::array kKept = {"volatile.base_image", "volatile.uuid", "volatile.apply_template"};
    StringMap kept = config;
    std::erase_if(kept, [&](const auto &entry) {
        const std::string &key = entry.first;
        return key.starts_with("volatile.") && std::ranges::find(kKept, key) == kKept.end() &&
               !key.ends_with(".hwaddr") && !key.starts_with("volatile.cloud-init.");
    });
    return kept;
}

config::ExportedInstance exported(const store::Instance &row, const config::Expanded &all)
{
    config::ExportedInstance out;
    out.name = row.name;
    out.project = row.project;
    out.createdAt = row.createdAt;
    out.lastUsedAt = row.lastUsedAt;
    out.definition = {row.architecture, exportedConfig(row.config),
                      row.devices,      row.ephemeral,
                      row.profiles,     row.stateful,
                      row.description,  {}};
    out.expandedConfig = exportedConfig(all.config);
    out.expandedDevices = all.devices;
    return out;
}

config::ExportedInstance exported(const store::Snapshot &row)
{
    config::ExportedInstance out;
    out.name = row.name;
    out.createdAt = row.createdAt;
    out.expiresAt = row.expiresAt;
    out.definition = {row.architecture, exportedConfig(row.config),
                      row.devices,      row.ephemeral,
                      row.profiles,     false,
                      row.description,  {}};
    out.expandedConfig = exportedConfig(row.expandedConfig);
    out.expandedDevices = row.expandedDevices;
    return out;
}

} // namespace

Result<images::ExportJob> Manager::exportJob(const store::Instance &row, const ExportRequest &request,
                                             storage::Driver &pool)
{
    const config::Expanded all = TRY(expanded(row));
    config::ExportIndex index;
    index.name = row.name;
    index.pool = row.pool;
    index.poolDriver = pool.driverName();
    index.optimized = request.optimized;
    if (request.optimized)
        TRY(pool.checkStreams());
    index.instance = exported(row, all);
    for (const std::string &name : row.profiles) {
        const store::Profile profile = TRY(store::findProfile(m_s.db, row.project, name));
        index.profiles.push_back({profile.name, profile.description, profile.config, profile.devices, {}});
    }
    if (!request.instanceOnly)
        for (const store::Snapshot &snapshot : TRY(store::listSnapshots(m_s.db, row.id)))
            if (snapshot.status == store::SnapshotStatus::Ready)
                index.snapshots.push_back(exported(snapshot));

    images::ExportJob job;
    job.compression = TRY(images::parseExportCompression(request.compression));
    job.index = config::writeExportIndex(index);
    if (request.optimized) {
        job.layout = images::Layout::StreamExport;
        job.header = config::writeStreamHeader(index);
    }
    if (job.index.size() > images::kLongestExportText)
        return Error(
            Code::Unsupported,
            quoted(row.name) +
                " has more snapshots than an archive can describe (delete some, or export it with --instance-only)");
    const Beside beside = TRY(besideOf(pool, row));
    for (const config::ExportedInstance &snapshot : index.snapshots)
        job.parts.push_back({"snapshots/" + snapshot.name, config::writeExportBackup(index, &snapshot), beside.metadata,
                             beside.templates, layersOf(TRY(pool.snapshotRoot(row.project, row.name, snapshot.name)))});
    job.parts.push_back({"container", config::writeExportBackup(index), beside.metadata, beside.templates, {}});
    return job;
}

/// The states of the instance as streams, each as what is different from the one before it.
Result<storage::Scratch> Manager::writeStreams(const InstanceKey &key, storage::Driver &pool, images::ExportJob &job, const storage::Held &held)
{
    storage::Scratch scratch = TRY(pool.newScratch());
    if (job.parts.size() > 1)
        TRY(sys::mkdirat(scratch.directory(), "snapshots", 0700));
    std::optional<storage::RootTree> before;
    for (const images::ExportSource &part : job.parts) {
        const bool isInstance = &part == &job.parts.back();
        const storage::RootTree tree = isInstance ? held.tree() : TRY(pool.snapshotRoot(key.project, key.name, part.folder.substr(part.folder.find('/') + 1)));
        storage::Driver::StreamTexts beside;
        if (isInstance) // where LXD looks for them
            beside = {{"backup.yaml", part.backup}, {"metadata.yaml", part.metadata}};
        const Fd file = TRY(sys::openat(scratch.directory(), images::streamFile(part.folder), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
        TRY_IN(part.folder, pool.writeStream(tree, before ? &*before : nullptr, beside, file));
        before = tree;
    }
    job.streams = scratch.path();
    return scratch;
}

std::shared_ptr<void> Manager::keepVolume(const InstanceKey &key)
{
    const std::lock_guard guard(m_keptMutex);
    std::erase_if(m_kept, [](const auto &entry) { return entry.second.expired(); });
    auto kept = m_kept[key].lock();
    if (!kept)
        m_kept[key] = kept = std::make_shared<InstanceKey>(key);
    return kept;
}

Status Manager::checkNotKept(const InstanceKey &key)
{
    TRY(checkNotMounted(key));
    const std::lock_guard guard(m_keptMutex);
    const auto found = m_kept.find(key);
    if (found == m_kept.end() || found->second.expired())
        return {};
    return Error(Code::WrongState, "instance " + quoted(key.name) + " is being exported or published (wait until that is through)");
}

/// A running guest stands still only until its files are held, and is then let go of: it may be stopped meanwhile, what
/// is held stays as it was. One that is not running is kept by `guard`.
Result<KeptTree> Manager::keepTree(const store::Instance &row, storage::Driver &pool, std::unique_lock<std::mutex> &guard, KeepAs as)
{
    const InstanceKey key{row.project, row.name};
    KeptTree tree;
    if (!m_running->find(key)) {
        if (as == KeepAs::Held) {
            tree.held = TRY(pool.hold(key.project, key.name, storage::InUse::No));
            return tree;
        }
        tree.layers = layersOf(TRY(pool.root(key.project, key.name)));
        return tree;
    }
    TRY(whilePaused(key, [&](storage::InUse inUse) -> Status {
        tree.held = TRY(pool.hold(key.project, key.name, inUse));
        return {};
    }));
    tree.layers = layersOf(tree.held->tree());
    if (!row.ephemeral) { // the volume of an ephemeral one goes when it stops
        tree.kept = keepVolume(key);
        guard.unlock();
    }
    return tree;
}

Status Manager::withExportJob(const InstanceKey &key, const ExportRequest &request,
                              const std::function<Status(const images::ExportJob &)> &work)
{
    {
        const auto lock = lockFor(key);
        std::unique_lock guard(*lock);
        const store::Instance row = TRY(readyRow(key));
        TRY(checkProjectAllows(m_s.db, key.project, "backups"));
        const auto pool = TRY(m_s.pools.get(row.pool));
        images::ExportJob job = TRY(exportJob(row, request, *pool));
        const KeptTree tree = TRY(keepTree(row, *pool, guard, request.optimized ? KeepAs::Held : KeepAs::ItIs));
        job.parts.back().layers = tree.layers;
        if (request.optimized) {
            const storage::Scratch streams = TRY(writeStreams(key, *pool, job, *tree.held));
            TRY(work(job));
        } else {
            TRY(work(job));
        }
    }
    m_s.emit({"instance-backup-created", key, {}}); // let go of by now: what waited for it may follow
    return {};
}

Result<images::Exported> Manager::exportInstance(const InstanceKey &key, const ExportRequest &request, const Fd &to,
                                                 Progress &progress, const std::function<void()> &begun)
{
    images::Exported exported;
    TRY_IN("export " + quoted(key.name), withExportJob(key, request, [&](const images::ExportJob &job) -> Status {
        if (begun)
            begun();
        exported = TRY(images::packExport(m_s.paths.helper, job, to, progress));
        TRY(failpoint("export.packed"));
        const struct stat info = TRY(sys::fstat(to));
        const long flags = TRY(sys::call("fcntl", {}, [&] { return ::fcntl(to.get(), F_GETFL); }));
        if (S_ISREG(info.st_mode) && (flags & O_ACCMODE) == O_RDWR) // a file of somebody's who lets us read it back
            TRY(images::verifyExport(m_s.paths.helper, to, exported, progress));
        return {};
    }));
    return exported;
}

/// What lies on the disk of `file` can make room for it.
std::string Manager::poolBeside(const Fd &file)
{
    const auto info = sys::fstat(file);
    for (const Pools::Use &pool : m_s.pools.all()) {
        const auto folder = path::openFolder(pool->directory());
        const auto there = folder ? sys::fstat(*folder) : Result<struct stat>(folder.error());
        if (info && there && info->st_dev == there->st_dev)
            return pool->name();
    }
    return {};
}

Result<store::Export> Manager::reserveExport(const InstanceKey &key, const ExportRequest &request, const KeepRequest &keep)
{
    const store::Instance row = TRY(readyRow(key));
    if (request.optimized)
        TRY(TRY(m_s.pools.get(row.pool))->checkStreams());
    store::Export wanted;
    wanted.owner = {store::ExportOwner::Kind::Instance, row.id};
    wanted.uuid = uuidOf(row);
    wanted.withoutSnapshots = request.instanceOnly;
    wanted.optimized = request.optimized;
    wanted.compression = request.compression;
    return m_s.exports.reserve(std::move(wanted), keep);
}

Result<images::Exported> Manager::keepExport(const InstanceKey &key, const ExportRequest &request,
                                             const store::Export &reserved, Progress &progress)
{
    images::Exported exported;
    Undo undo;
    undo.add("kept export", makingRoom(m_s.db, [&] { return m_s.exports.giveUp(reserved); }));
    const auto write = [&](const images::ExportJob &job, const Fd &file) -> Status {
        TRY(sys::call("ftruncate", {}, [&] { return ::ftruncate(file.get(), 0); }));
        TRY(sys::call("lseek", {}, [&] { return ::lseek(file.get(), 0, SEEK_SET); }));
        exported = TRY(images::packExport(m_s.paths.helper, job, file, progress));
        return images::verifyExport(m_s.paths.helper, file, exported, progress);
    };
    TRY_IN("export " + quoted(key.name), withExportJob(key, request, [&](const images::ExportJob &job) {
               return m_s.exports.make(reserved, [&](const Fd &file) -> Result<images::Exported> {
                   TRY(m_s.undo.withRoom(poolBeside(file), [&] { return write(job, file); }));
                   return exported;
               });
           }));
    undo.keep();
    return exported;
}

Result<std::vector<store::Export>> Manager::keptExports(const InstanceKey &key)
{
    return m_s.exports.list({store::ExportOwner::Kind::Instance, TRY(find(key)).id});
}

} // namespace lxmgr::instances
