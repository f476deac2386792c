// Images that come from other servers: copied, looked for anew, or taken for a new instance.
#include "api/images.h"
#include "api/instances.h"
#include "api/operations.h"
#include "daemon/context.h"
#include "daemon/convert.h"

#include "api/status_codes.h"
#include "base/interrupt.h"
#include "base/text.h"
#include "client/client.h"
#include "client/multipart.h"
#include "http/target.h"
#include "images/fingerprint.h"
#include "instances/policy.h"
#include "kernel/sys.h"
#include "servers/image_server.h"

#include <algorithm>
#include <unistd.h>

namespace lxmgr::daemon
{

namespace
{

template <class Source> Result<instances::RemoteImage> named(Context &context, const Request &request, const Source &source)
{
    if (!source.mode.empty() && source.mode != "pull")
        return Error(Code::Unsupported, "mode " + quoted(source.mode) + ": this server fetches images itself (pull); a client can carry them over (relay)");
    if (source.server.empty())
        return Error(Code::Invalid, "source: no server is given");
    if (source.protocol == "url")
        TRY(servers::parseProtocol(source.protocol));
    const bool secret = !source.secret.empty();
    const instances::RemoteImage wanted{source.server, source.protocol, source.alias.empty() || secret ? source.fingerprint : source.alias, source.secret,
                                        source.certificate, source.project};
    TRY(wanted.check());
    TRY(instances::checkImageServer(context.db, request.project(), wanted.server));
    return wanted;
}

api::Json jsonOf(const std::vector<std::string> &texts)
{
    api::Json list = api::Json::array();
    for (const std::string &text : texts)
        list.append(text);
    return list;
}

Status refresh(Context &context, Request &request, const Responder &responder)
{
    const auto found = store::findImage(context.db, request.project(), request.param("fingerprint"));
    if (!found)
        return found.error().code == Code::NotFound ? Error(Code::NotFound, "Image not found") : found.error();
    if (found->origin)
        TRY(instances::checkImageServer(context.db, request.project(), found->origin->server));
    TaskOptions options;
    options.project = found->project;
    options.description = "Refreshing image";
    options.mayCancel = true;
    options.progressKey = "download_progress";
    options.resources = {{"images", {urlOf("images", found->fingerprint, found->project)}}};
    const auto task = context.operations.run(std::move(options), [&context, before = *found](Task &running) -> Status {
        const store::Image now = TRY(context.images.refresh(before.project, before.fingerprint, running));
        running.setMetadata("refreshed", now.fingerprint != before.fingerprint);
        running.setMetadata("fingerprint", now.fingerprint);
        context.schedulesChanged();
        return {};
    });
    responder.async(task->snapshot(), found->project);
    return {};
}

/// The files of an image as the body of an upload.
Status setBody(client::Request &upload, std::vector<images::ExportFile> files, Task &task)
{
    const auto reader = [&task](Fd file) {
        return [&task, file = std::make_shared<Fd>(std::move(file)), at = std::uint64_t{0}](char *buffer, std::size_t size) mutable -> Result<std::size_t> {
            if (task.cancelled())
                return Error(Code::Cancelled, "cancelled");
            const ssize_t got = TRY(sys::call("pread", {}, [&] { return ::pread(file->get(), buffer, size, static_cast<off_t>(at)); }));
            at += static_cast<std::uint64_t>(got);
            return static_cast<std::size_t>(got);
        };
    };
    upload.headers.set("X-LXD-filename", files.front().filename);
    if (files.size() == 1) {
        upload.headers.set("Content-Type", "application/octet-stream");
        upload.sourceSize = files.front().size.count;
        upload.source = reader(std::move(files.front().file));
        return {};
    }
    std::vector<client::FormPart> parts;
    for (images::ExportFile &file : files)
        parts.push_back({file.part, file.filename, reader(std::move(file.file)), file.size.count});
    client::Form form = client::makeForm(std::move(parts));
    upload.headers.set("Content-Type", form.contentType);
    upload.sourceSize = form.size;
    upload.source = std::move(form.source);
    return {};
}

/// Uploads the image to `post.target`, and waits until it is taken in there.
Status pushTo(Context &context, const store::Image &row, const api::ImageExportPost &post, Task &task)
{
    const Interrupt interrupt = TRY(Interrupt::of(task));
    servers::Site site = TRY(servers::Site::at(post.target, post.certificate, {.quietMs = 600'000, .cancelFd = interrupt.fd()}));
    client::Request upload;
    upload.method = "POST";
    upload.mostBody = 1 << 20;
    upload.headers.set("X-LXD-fingerprint", row.fingerprint);
    upload.headers.set("X-LXD-secret", post.secret);
    TRY(setBody(upload, TRY(context.images.files().exportFiles(row.fingerprint)), task));
    const std::string project = post.project.empty() ? "" : "?project=" + http::percentEncode(post.project);
    task.report("uploading");
    const client::Answer begun = TRY(client::openEnvelope(TRY(site.ask("1.0/images" + project, std::move(upload)))));
    const auto operation = TRY(client::Client::parse<api::Operation>(begun.metadata));
    client::Request wait;
    wait.mostBody = 1 << 20;
    const std::string path = "1.0/operations/" + http::percentEncode(operation.id) + "/wait?secret=" + http::percentEncode(operation.metadata.text("secret"));
    const client::Answer ended = TRY(client::openEnvelope(TRY(site.ask(path, std::move(wait)))));
    const auto end = TRY(client::Client::parse<api::Operation>(ended.metadata));
    return end.statusCode == static_cast<int>(api::StatusCode::Success) ? Status() : Status(api::operationError(end));
}

Status push(Context &context, Request &request, const Responder &responder)
{
    const auto found = store::findImage(context.db, request.project(), request.param("fingerprint"));
    if (!found)
        return found.error().code == Code::NotFound ? Error(Code::NotFound, "Image not found") : found.error();
    const auto post = TRY(request.json<api::ImageExportPost>());
    if (!post.target.starts_with("https://"))
        return Error(Code::Invalid, "target: " + quoted(post.target) + " is no address that begins with https://");
    TRY(servers::Site::at(post.target, post.certificate, {}));
    TRY(instances::checkImageServer(context.db, request.project(), post.target));
    TaskOptions options;
    options.project = found->project;
    options.description = "Copying image";
    options.mayCancel = true;
    options.progressKey = "upload_progress";
    options.resources = {{"images", {urlOf("images", found->fingerprint, found->project)}}};
    const auto task = context.operations.run(std::move(options), [&context, row = *found, post](Task &running) -> Status {
        TRY_IN("server " + quoted(post.target), pushTo(context, row, post, running));
        return {};
    });
    responder.async(task->snapshot(), found->project);
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::ImageRefresh, &refresh},
    {api::RouteId::ImagePush, &push},
};

} // namespace

Result<instances::RemoteImage> remoteImageOf(Context &context, const Request &request, const api::InstanceSource &source)
{
    return named(context, request, source);
}

Result<std::shared_ptr<Task>> newToken(Context &context, TaskOptions options)
{
    constexpr std::ptrdiff_t kMostSecrets = 100; // that nobody has used
    const auto all = context.operations.list();
    if (std::ranges::count_if(all, [](const auto &task) { return task->snapshot().operationClass == "token" && !task->ended(); }) >= kMostSecrets)
        return Error(Code::Unavailable, std::to_string(kMostSecrets) + " secrets have not been used (cancel some: their operations)");
    options.description = "Executing operation";
    options.operationClass = "token";
    if (options.metadata.isNull())
        options.metadata = api::Json::object();
    options.metadata["secret"] = newSecret();
    options.mayCancel = true;
    auto task = context.operations.add(std::move(options));
    task->setOnCancel([weak = std::weak_ptr(task)] {
        if (const auto ended = weak.lock())
            ended->finish(Error(Code::Cancelled, "cancelled"));
    });
    return task;
}

std::shared_ptr<Task> pushTokenOf(Context &context, const Request &request)
{
    const std::string *secret = request.familyHeader("secret");
    const std::string *fingerprint = request.familyHeader("fingerprint");
    if (request.id() != api::RouteId::ImageCreate || !secret || secret->empty() || !fingerprint || fingerprint->empty())
        return nullptr;
    for (const auto &task : context.operations.list())
        if (!task->ended() && task->project() == request.project() && task->knows(*secret)) {
            const api::Operation operation = task->snapshot();
            return operation.operationClass == "token" && operation.metadata.text("push") == *fingerprint ? task : nullptr;
        }
    return nullptr;
}

Status expectPush(Context &context, const Request &request, const api::ImagesPost &post, const Responder &responder)
{
    if (!images::isFingerprint(post.source.fingerprint))
        return Error(Code::Invalid, "source: mode push needs the whole fingerprint of the image");
    if (post.autoUpdate)
        return Error(Code::Unsupported, "auto_update: an image that is pushed has no server to be updated from (mode pull)");
    if (store::findImage(context.db, request.project(), post.source.fingerprint))
        return Error(Code::AlreadyExists, "Image with same fingerprint already exists: " + post.source.fingerprint.substr(0, 12));
    TaskOptions options;
    options.project = request.project();
    options.metadata = api::Json::object();
    options.metadata["push"] = post.source.fingerprint;
    options.metadata["fingerprint"] = post.source.fingerprint;
    options.metadata["public"] = post.isPublic;
    options.metadata["aliases"] = jsonOf(TRY(newAliases(context, request, post.aliases)));
    options.metadata["profiles"] = jsonOf(TRY(imageProfiles(context, request, post.profiles.value_or(std::vector<std::string>{}))));
    api::Json properties = api::Json::object();
    for (const auto &[name, value] : post.properties.value_or(StringMap{}))
        properties[name] = value;
    options.metadata["properties"] = std::move(properties);
    const auto task = TRY(newToken(context, std::move(options)));
    responder.async(task->snapshot(), request.project());
    return {};
}

Status copyImage(Context &context, const Request &request, const api::ImagesPost &post, const Responder &responder)
{
    const bool byUrl = post.source.type == "url";
    const instances::RemoteImage wanted = byUrl ? instances::RemoteImage{post.source.url, "url", {}, {}, {}, {}} : TRY(named(context, request, post.source));
    if (byUrl) {
        TRY(wanted.check());
        TRY(instances::checkImageServer(context.db, request.project(), wanted.server));
    }
    if (byUrl && post.autoUpdate)
        return Error(Code::Unsupported, "auto_update: an image by its address has no server that could have a newer one");
    if (!post.source.imageType.empty() && post.source.imageType != "container")
        return Error(Code::Unsupported, "image_type " + quoted(post.source.imageType) + ": this server runs containers only");
    instances::NewImage details;
    details.project = request.project();
    details.filename = post.filename;
    details.isPublic = post.isPublic;
    details.autoUpdate = post.autoUpdate;
    details.properties = post.properties.value_or(StringMap{});
    if (post.expiresAt && post.expiresAt->isSet())
        details.expiresAt = post.expiresAt->seconds * 1000;
    details.aliases = TRY(newAliases(context, request, post.aliases));
    details.profiles = TRY(imageProfiles(context, request, post.profiles.value_or(std::vector<std::string>{})));
    TaskOptions options;
    options.project = request.project();
    options.description = "Downloading image";
    options.mayCancel = true;
    options.progressKey = "download_progress";
    const auto task = context.operations.run(std::move(options), [&context, wanted, details](Task &running) -> Status {
        const store::Image row = TRY(context.images.copyRemote(details.project, wanted, details, running));
        running.setMetadata("fingerprint", row.fingerprint);
        running.setMetadata("size", row.size);
        context.schedulesChanged();
        return {};
    });
    responder.async(task->snapshot(), request.project());
    return {};
}

std::span<const HandlerRow> imageSourceHandlers() { return kRows; }

} // namespace lxmgr::daemon
