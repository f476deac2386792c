#include "daemon/archives.h"

#include "api/envelope.h"
#include "base/log.h"
#include "http/target.h"
#include "kernel/files.h"
#include "kernel/program.h"
#include "kernel/sys.h"

#include <atomic>
#include <fcntl.h>
#include <sys/mman.h>

namespace lxmgr::daemon
{

namespace
{

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

std::string leftOut(const images::Exported &exported)
{
    return exported.socketsLeftOut == 0
               ? std::string()
               : std::to_string(exported.socketsLeftOut) + " sockets left out: an archive cannot hold them";
}

void tellOf(const images::Exported &exported, Task &task)
{
    task.setMetadata("size", static_cast<std::int64_t>(exported.size.count));
    task.setMetadata("hash", exported.hash);
    if (const std::string warning = leftOut(exported); !warning.empty())
        task.setMetadata("warnings", api::Json(warning));
}

} // namespace

Result<instances::ExportRequest> exportRequest(bool withoutSnapshots, bool optimized, const std::string &compression)
{
    (void)TRY(images::parseExportCompression(compression));
    return instances::ExportRequest{withoutSnapshots, compression, optimized};
}

Result<instances::ExportRequest> volumeExportRequest(bool withoutSnapshots, bool optimized, const std::string &compression)
{
    if (optimized)
        return Error(Code::Unsupported, "optimized_storage is for instances: an archive of a volume holds files, which every "
                                        "storage driver takes (leave it out)");
    return exportRequest(withoutSnapshots, false, compression);
}

Status streamArchive(const Responder &responder, const WriteArchive &write)
{
    auto [from, writing] = TRY(program::Pipe::create());
    const Fd to(std::move(writing)); // stays open until `whole` is settled, and with it the end of the stream
    const auto whole = std::make_shared<std::atomic<bool>>(false);
    bool begun = false;
    ClientProgress progress(responder);
    const auto exported = write(to, progress, [&] {
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

Status passArchive(Context &context, Request &request, const Responder &responder, TaskOptions options, WriteArchive write)
{
    const auto to = std::make_shared<Fd>(std::move(request.fds.front()));
    const long flags = TRY(sys::call("fcntl", {}, [&] { return ::fcntl(to->get(), F_GETFL); }));
    if ((flags & O_ACCMODE) == O_RDONLY)
        return Error(Code::Invalid, "the descriptor that came along cannot be written to");
    options.mayCancel = true;
    options.progressKey = "create_backup_progress";
    const std::string project = options.project;
    const auto task =
        context.operations.run(std::move(options), [to, write = std::move(write)](Task &running) -> Status {
            tellOf(TRY(write(*to, running, {})), running);
            return {};
        });
    responder.async(task->snapshot(), project);
    return {};
}

Status keepArchive(Context &context, const Responder &responder, TaskOptions options, const store::Export &reserved,
                   std::function<Result<images::Exported>(Progress &progress)> keep)
{
    options.resources["backups"] = {"/1.0/backups/" + reserved.name}; // lxc 5.0 takes the name from just this
    options.mayCancel = true;
    options.progressKey = "create_backup_progress";
    const std::string project = options.project;
    const auto task = context.operations.run(std::move(options), [&context, keep = std::move(keep)](Task &running) -> Status {
        tellOf(TRY(keep(running)), running);
        context.schedulesChanged(); // it may expire
        return {};
    });
    responder.async(task->snapshot(), project);
    return {};
}

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

Result<StringMap> configHeader(const Request &request)
{
    StringMap keys;
    const std::string *text = request.familyHeader("config");
    if (text && !text->empty())
        for (const auto &[name, value] : TRY_IN("header config", http::parseQuery(*text)))
            keys[name] = value;
    return keys;
}

} // namespace lxmgr::daemon
