// Instances as archives: exporting one as the answer or into a descriptor that came along, and importing one.
#include "api/envelope.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/context.h"
#include "daemon/convert.h"
#include "http/target.h"
#include "kernel/files.h"
#include "kernel/sys.h"

#include <atomic>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace lxmgr::daemon
{

namespace
{

using instances::InstanceKey;

Result<instances::ExportRequest> exportRequest(const api::InstanceBackupsPost &post)
{
    if (post.optimizedStorage)
        return Error(Code::Unsupported, "optimized_storage is not supported: an archive holds files, which every "
                                        "storage driver takes (leave it out)");
    instances::ExportRequest wanted;
    wanted.instanceOnly = post.instanceOnly || post.containerOnly;
    wanted.compression = post.compressionAlgorithm;
    (void)TRY(images::parseExportCompression(wanted.compression));
    return wanted;
}

/// Cancelled once the client has gone.
class ClientProgress final : public Progress
{
public:
    explicit ClientProgress(const Responder &responder) : m_responder(responder) {}
    void report(const std::string &) override {}
    bool cancelled() const override { return m_responder.gone(); }

private:
    const Responder &m_responder;
};

/// The archive is the answer. What fails before its first byte is told as an error; later the answer is cut off.
Status streamExport(Context &context, const InstanceKey &key, const instances::ExportRequest &wanted,
                    const Responder &responder)
{
    int ends[2];
    TRY(sys::call("pipe2", {}, [&] { return ::pipe2(ends, O_CLOEXEC); }));
    Fd from(ends[0]);
    const Fd to(ends[1]); // stays open until `whole` is settled, and with it the end of the stream
    const auto whole = std::make_shared<std::atomic<bool>>(false);
    bool begun = false;
    ClientProgress progress(responder);
    const auto exported = context.manager.exportInstance(key, wanted, to, progress, [&] {
        begun = true;
        responder.stream(200,
                         {
                             {"Content-Type", "application/octet-stream"}
        },
                         std::move(from), [whole] { return whole->load(); });
    });
    *whole = static_cast<bool>(exported);
    if (!exported && begun && exported.error().code != Code::Cancelled)
        log::error(exported.error().message);
    if (!exported)
        return exported.error();
    return {};
}

std::string leftOut(const images::Exported &exported)
{
    return exported.socketsLeftOut == 0
               ? std::string()
               : std::to_string(exported.socketsLeftOut) + " sockets left out: an archive cannot hold them";
}

/// The archive is written to what the client opened.
Status writeExport(Context &context, const InstanceKey &key, const instances::ExportRequest &wanted, Request &request,
                   const Responder &responder)
{
    const auto to = std::make_shared<Fd>(std::move(request.fds.front()));
    const long flags = TRY(sys::call("fcntl", {}, [&] { return ::fcntl(to->get(), F_GETFL); }));
    if ((flags & O_ACCMODE) == O_RDONLY)
        return Error(Code::Invalid, "the descriptor that came along cannot be written to");
    TRY(context.manager.describe(key));
    TaskOptions options;
    options.project = key.project;
    options.description = "Backing up instance";
    options.resources = instanceResources(key);
    options.mayCancel = true;
    options.progressKey = "create_backup_progress";
    const auto task = context.operations.run(std::move(options), [&context, key, wanted, to](Task &running) -> Status {
        const images::Exported exported = TRY(context.manager.exportInstance(key, wanted, *to, running));
        running.setMetadata("size", static_cast<std::int64_t>(exported.size.count));
        running.setMetadata("hash", exported.hash);
        if (const std::string warning = leftOut(exported); !warning.empty())
            running.setMetadata("warnings", api::Json(warning));
        return {};
    });
    responder.async(task->snapshot(), key.project);
    return {};
}

/// The server keeps the archive. Its name is told at once, as clients take it from there.
Status keepExport(Context &context, Request &request, const Responder &responder, const api::InstanceBackupsPost &post,
                  instances::ExportRequest wanted)
{
    const InstanceKey key = keyOf(request);
    if (wanted.compression.empty())
        wanted.compression = TRY(keptCompression(context.db));
    const store::Export reserved =
        TRY(context.manager.reserveExport(key, wanted, {post.name, millisOf(post.expiresAt)}));
    TaskOptions options;
    options.project = key.project;
    options.description = "Backing up instance";
    options.resources = instanceResources(key);
    options.resources["backups"] = {"/1.0/backups/" + reserved.name}; // lxc 5.0 takes the name from just this
    options.mayCancel = true;
    options.progressKey = "create_backup_progress";
    const auto task = context.operations.run(std::move(options), [&context, key, wanted, reserved](Task &running) -> Status {
        const images::Exported exported = TRY(context.manager.keepExport(key, wanted, reserved, running));
        running.setMetadata("size", static_cast<std::int64_t>(exported.size.count));
        if (const std::string warning = leftOut(exported); !warning.empty())
            running.setMetadata("warnings", api::Json(warning));
        return {};
    });
    responder.async(task->snapshot(), key.project);
    return {};
}

Status backupCreate(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::InstanceBackupsPost>());
    const instances::ExportRequest wanted = TRY(exportRequest(post));
    if (!request.fds.empty())
        return writeExport(context, keyOf(request), wanted, request, responder);
    if (request.header("Accept").find("application/octet-stream") != std::string_view::npos)
        return streamExport(context, keyOf(request), wanted, responder);
    return keepExport(context, request, responder, post, wanted);
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::InstanceBackupCreate, &backupCreate},
};

/// What came in one piece, as a file like what did not.
Result<std::shared_ptr<Fd>> uploaded(Request &request)
{
    if (request.bodyFile)
        return std::make_shared<Fd>(std::move(request.bodyFile));
    if (request.body.empty())
        return Error(Code::Invalid, "the upload is empty");
    auto file = std::make_shared<Fd>(TRY(sys::memfd_create("import", MFD_CLOEXEC)));
    TRY(files::writeAll(*file, request.body));
    return file;
}

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
    if (const std::string config = header("config"); !config.empty())
        for (const auto &[name, value] : TRY_IN("header config", http::parseQuery(config)))
            wanted.config[name] = value;
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
