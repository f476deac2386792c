// Instances as archives: exporting one as the answer, into a descriptor that came along, or into a file that the server
// keeps; and importing one.
#include "api/envelope.h"
#include "api/instances.h"
#include "base/text.h"
#include "daemon/archives.h"
#include "daemon/convert.h"

namespace lxmgr::daemon
{

namespace
{

using instances::InstanceKey;

Status backupCreate(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::InstanceBackupsPost>());
    instances::ExportRequest wanted =
        TRY(exportRequest(post.instanceOnly || post.containerOnly, post.optimizedStorage, post.compressionAlgorithm));
    const InstanceKey key = keyOf(request);
    const WriteArchive write = [&context, key, wanted](const Fd &to, Progress &progress, const std::function<void()> &begun) {
        return context.manager.exportInstance(key, wanted, to, progress, begun);
    };
    TRY(context.manager.describe(key));
    TaskOptions options;
    options.project = key.project;
    options.description = "Backing up instance";
    options.resources = instanceResources(key);
    if (!request.fds.empty())
        return passArchive(context, request, responder, std::move(options), write);
    if (request.header("Accept").find("application/octet-stream") != std::string_view::npos)
        return streamArchive(responder, write);
    if (wanted.compression.empty())
        wanted.compression = TRY(keptCompression(context.db));
    const store::Export reserved =
        TRY(context.manager.reserveExport(key, wanted, {post.name, millisOf(post.expiresAt)}));
    return keepArchive(context, responder, std::move(options), reserved, [&context, key, wanted, reserved](Progress &progress) {
        return context.manager.keepExport(key, wanted, reserved, progress);
    });
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::InstanceBackupCreate, &backupCreate},
};

Result<instances::ImportRequest> importRequest(const Request &request)
{
    instances::ImportRequest wanted;
    wanted.project = request.project();
    const auto header = [&](std::string_view name) {
        const std::string *value = request.familyHeader(name);
        return value ? *value : std::string();
    };
    wanted.name = header("name");
    wanted.pool = header("pool");
    if (!header("devices").empty())
        return Error(Code::Unsupported, "header devices: the devices of an archive are changed after it is imported");
    wanted.config = TRY(configHeader(request));
    return wanted;
}

} // namespace

std::span<const HandlerRow> exchangeHandlers() { return kRows; }

Status importInstance(Context &context, Request &request, const Responder &responder)
{
    instances::ImportRequest wanted = TRY(importRequest(request));
    const auto file = TRY(uploaded(request));
    const auto index =
        std::make_shared<config::ExportIndex>(TRY(context.manager.lookAtImport(*file, Progress::none())));
    if (wanted.name.empty())
        wanted.name = index->name;
    TRY(checkInstanceName(wanted.name));
    const InstanceKey key{wanted.project, wanted.name};
    TaskOptions options;
    options.project = key.project;
    options.description = "Restoring backup";
    options.resources = instanceResources(key);
    options.mayCancel = true;
    options.progressKey = "create_instance_from_backup_progress";
    const auto task =
        context.operations.run(std::move(options), [&context, wanted, index, file](Task &running) -> Status {
            const instances::Imported imported = TRY(context.manager.importInstance(wanted, *index, *file, running));
            if (!imported.warnings.empty())
                running.setMetadata("warnings", api::Json(join(imported.warnings, "; ")));
            return {};
        });
    responder.async(task->snapshot(), key.project);
    return {};
}

} // namespace lxmgr::daemon
