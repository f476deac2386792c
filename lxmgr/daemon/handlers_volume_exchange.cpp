// Custom volumes as archives: exported as those of instances are, and imported.
#include "base/text.h"
#include "daemon/archives.h"
#include "daemon/convert.h"

namespace lxmgr::daemon
{

namespace
{

using instances::VolumeKey;

Status backupCreate(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::StorageVolumeBackupsPost>());
    instances::ExportRequest wanted =
        TRY(volumeExportRequest(post.volumeOnly, post.optimizedStorage, post.compressionAlgorithm));
    const VolumeKey key = TRY(customVolumeOf(context, request));
    TRY(context.volumes.find(key));
    const storage::InUse inUse = TRY(volumeInUse(context, key));
    const WriteArchive write = [&context, key, wanted, inUse](const Fd &to, Progress &progress,
                                                              const std::function<void()> &begun) {
        return context.volumeExchange.exportVolume(key, wanted, inUse, to, progress, begun);
    };
    TaskOptions options;
    options.project = request.project();
    options.description = "Backing up storage volume";
    options.resources = {
        {"storage_volumes", {urlOfCustomVolume({key.pool, options.project, key.name})}}
    };
    if (!request.fds.empty())
        return passArchive(context, request, responder, std::move(options), write);
    if (request.header("Accept").find("application/octet-stream") != std::string_view::npos)
        return streamArchive(responder, write);
    if (wanted.compression.empty())
        wanted.compression = TRY(keptCompression(context.db));
    const store::Export reserved = TRY(context.volumeExchange.reserve(key, wanted, {post.name, millisOf(post.expiresAt)}));
    return keepArchive(context, responder, std::move(options), reserved,
                       [&context, by = request.peer.requestor(), key, wanted, inUse,
                        reserved](Progress &progress) -> Result<images::Exported> {
                           auto exported = TRY(context.volumeExchange.keep(key, wanted, inUse, reserved, progress));
                           announceVolume(context, by, "storage-volume-backup-created", key);
                           return exported;
                       });
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::VolumeBackupCreate, &backupCreate},
};

} // namespace

std::span<const HandlerRow> volumeExchangeHandlers() { return kRows; }

Status importVolume(Context &context, Request &request, const Responder &responder)
{
    const std::string *name = request.familyHeader("name");
    const std::string home = TRY(store::homeOf(context.db, request.project(), store::Shared::Volumes));
    instances::VolumeImport wanted{{request.param("name"), home, name ? *name : ""},
                                   TRY(configHeader(request))};
    TRY(context.pools.custom(wanted.key.pool));
    const auto file = TRY(uploaded(request));
    const auto index = std::make_shared<config::VolumeExportIndex>(TRY(context.volumeExchange.look(*file, Progress::none())));
    if (wanted.key.name.empty())
        wanted.key.name = index->volume.name;
    TRY(checkObjectName("storage volume", wanted.key.name));
    TaskOptions options;
    options.project = request.project();
    options.description = "Importing storage volume";
    options.resources = {
        {"storage_volumes", {urlOfCustomVolume({wanted.key.pool, options.project, wanted.key.name})}}
    };
    options.mayCancel = true;
    options.progressKey = "create_volume_from_backup_progress";
    const auto task = context.operations.run(
        std::move(options), [&context, by = request.peer.requestor(), wanted, index, file](Task &running) -> Status {
            const auto warnings = TRY(context.volumeExchange.import(wanted, *index, *file, running));
            if (!warnings.empty())
                running.setMetadata("warnings", api::Json(join(warnings, "; ")));
            announceVolume(context, by, "storage-volume-created", wanted.key);
            return {};
        });
    responder.async(task->snapshot(), request.project());
    return {};
}

} // namespace lxmgr::daemon
