#include "instances/volume_exchange.h"

#include "base/failpoint.h"
#include "base/text.h"
#include "base/undo.h"
#include "config/instance_config.h"
#include "images/unpack.h"
#include "instances/journal.h"
#include "instances/packing.h"
#include "kernel/sys.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::instances
{

namespace
{

/// A file of somebody's who lets us read it back.
Result<bool> canBeReadBack(const Fd &to)
{
    const struct stat info = TRY(sys::fstat(to));
    const long flags = TRY(sys::call("fcntl", {}, [&] { return ::fcntl(to.get(), F_GETFL); }));
    return S_ISREG(info.st_mode) && (flags & O_ACCMODE) == O_RDWR;
}

store::Volume rowOf(const VolumeImport &request, const config::VolumeDocument &from)
{
    store::Volume row;
    row.pool = request.key.pool;
    row.project = request.key.project;
    row.name = request.key.name.empty() ? from.name : request.key.name;
    row.description = from.description;
    row.config = config::withoutVolatile(from.config);
    for (const auto &[key, value] : request.config)
        row.config[key] = value; // an empty one counts as none
    return row;
}

std::vector<store::VolumeSnapshot> snapshotRows(const config::VolumeDocument &from)
{
    std::vector<store::VolumeSnapshot> rows;
    for (const config::VolumeSnapshotDocument &snapshot : from.snapshots) {
        store::VolumeSnapshot row;
        row.name = snapshot.name;
        row.description = snapshot.description;
        row.createdAt = snapshot.createdAt;
        row.expiresAt = snapshot.expiresAt;
        row.config = config::withoutVolatile(snapshot.config);
        rows.push_back(std::move(row));
    }
    return rows;
}

} // namespace

Status VolumeExchange::withJob(const VolumeKey &key, const ExportRequest &request, storage::InUse inUse,
                               const std::function<Status(const images::ExportJob &)> &work)
{
    return m_volumes.whileHeld(key, [&](const store::Volume &row, storage::Driver &pool) -> Status {
        config::VolumeExportIndex index{std::string(pool.driverName()), row.pool, TRY(m_volumes.documentOf(row))};
        if (request.instanceOnly)
            index.volume.snapshots.clear();
        images::ExportJob job;
        job.layout = images::Layout::VolumeExport;
        job.compression = TRY(images::parseExportCompression(request.compression));
        job.index = config::writeVolumeExport(index);
        for (const config::VolumeSnapshotDocument &snapshot : index.volume.snapshots)
            job.parts.push_back({"volume-snapshots/" + snapshot.name,
                                 {},
                                 {},
                                 {},
                                 layersOf(TRY(pool.snapshotRoot(row.project, row.name, snapshot.name)))});
        std::unique_ptr<storage::Held> held;
        if (inUse == storage::InUse::Yes)
            held = TRY(pool.hold(row.project, row.name, inUse));
        job.parts.push_back({"volume", {}, {}, {}, layersOf(held ? held->tree() : TRY(pool.root(row.project, row.name)))});
        return work(job);
    });
}

Result<images::Exported> VolumeExchange::exportVolume(const VolumeKey &key, const ExportRequest &request,
                                                      storage::InUse inUse, const Fd &to, Progress &progress,
                                                      const std::function<void()> &begun)
{
    images::Exported exported;
    TRY_IN("export " + titleOf(key), withJob(key, request, inUse, [&](const images::ExportJob &job) -> Status {
               if (begun)
                   begun();
               exported = TRY(images::packExport(m_paths.helper, job, to, progress));
               TRY(failpoint("volume-export.packed"));
               return TRY(canBeReadBack(to)) ? images::verifyExport(m_paths.helper, to, exported, progress) : Status();
           }));
    return exported;
}

Result<store::ExportOwner> VolumeExchange::ownerOf(const VolumeKey &key)
{
    return store::ExportOwner{store::ExportOwner::Kind::Volume, TRY(m_volumes.find(key)).id};
}

Result<store::Export> VolumeExchange::reserve(const VolumeKey &key, const ExportRequest &request, const KeepRequest &keep)
{
    store::Export wanted;
    wanted.owner = TRY(ownerOf(key));
    wanted.withoutSnapshots = request.instanceOnly;
    wanted.compression = request.compression;
    return m_exports.reserve(std::move(wanted), keep);
}

Result<images::Exported> VolumeExchange::keep(const VolumeKey &key, const ExportRequest &request, storage::InUse inUse,
                                              const store::Export &reserved, Progress &progress)
{
    images::Exported exported;
    Undo undo;
    undo.add("kept export", makingRoom(m_db, [&] { return m_exports.giveUp(reserved); }));
    TRY_IN("export " + titleOf(key), withJob(key, request, inUse, [&](const images::ExportJob &job) {
               return m_exports.make(reserved, [&](const Fd &file) -> Result<images::Exported> {
                   exported = TRY(images::packExport(m_paths.helper, job, file, progress));
                   TRY(images::verifyExport(m_paths.helper, file, exported, progress));
                   return exported;
               });
           }));
    undo.keep();
    return exported;
}

Result<config::VolumeExportIndex> VolumeExchange::look(const Fd &file, Progress &progress)
{
    using images::UnpackWork;
    const images::Unpacked texts = TRY_IN(
        "import", images::unpackArchive({m_paths.helper, file, nullptr, nullptr, {}, UnpackWork::VolumeExportTexts}, progress));
    return config::readVolumeExport(texts.metadata);
}

Result<std::vector<std::string>> VolumeExchange::import(const VolumeImport &request, const config::VolumeExportIndex &index,
                                                        const Fd &file, Progress &progress)
{
    std::vector<std::string> warnings, names;
    for (const config::VolumeSnapshotDocument &snapshot : index.volume.snapshots)
        names.push_back(snapshot.name);
    const auto makeTrees = [&](storage::Driver &pool, const store::Volume &row) -> Status {
        storage::Scratch trees = TRY(pool.newVolumeTrees(names));
        const images::Unpacked unpacked =
            TRY(images::unpackArchive({m_paths.helper, file, nullptr, &trees.directory(), TRY(importLimits(pool)),
                                       images::UnpackWork::VolumeExport},
                                      progress));
        if (TRY(config::readVolumeExport(unpacked.metadata)) != index)
            return Error(Code::Invalid, "the archive changed while it was read");
        warnings = unpacked.warnings;
        if (!unpacked.devices.empty())
            warnings.push_back(std::to_string(unpacked.devices.size()) +
                               " device nodes left out: a volume is mounted without them");
        TRY(failpoint("volume-import.unpacked"));
        return pool.createVolume(row.project, row.name, std::move(trees));
    };
    const store::Volume row = rowOf(request, index.volume);
    if (const auto config = config::parseVolumeConfig(row.config); !config)
        return Error(config.error()).in("import " + quoted(row.name)).hint("a key can be left out: --config <key>=");
    Status made = m_volumes.make(row, snapshotRows(index.volume), makeTrees);
    if (!made && made.error().code == Code::AlreadyExists)
        return std::move(made.error()).hint("give another name: lxmgr storage volume import <pool> <file> <name>");
    TRY(std::move(made));
    return warnings;
}

} // namespace lxmgr::instances
