// Images that come from other servers: copied, looked for anew, or taken for a new instance.
#include "daemon/context.h"
#include "daemon/convert.h"

#include "base/text.h"
#include "instances/policy.h"
#include "servers/image_server.h"

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
                                        source.certificate};
    TRY(wanted.check());
    TRY(instances::checkImageServer(context.db, request.project(), wanted.server));
    return wanted;
}

/// Where the profiles of an instance come from: no image has any of its own.
Status checkProfiles(const std::optional<std::vector<std::string>> &profiles)
{
    if (profiles && !profiles->empty() && *profiles != std::vector<std::string>{"default"})
        return Error(Code::Unsupported, "profiles of an image are not supported by this version");
    return {};
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

constexpr HandlerRow kRows[] = {
    {api::RouteId::ImageRefresh, &refresh},
};

} // namespace

Result<instances::RemoteImage> remoteImageOf(Context &context, const Request &request, const api::InstanceSource &source)
{
    return named(context, request, source);
}

Status copyImage(Context &context, const Request &request, const api::ImagesPost &post, const Responder &responder)
{
    const bool byUrl = post.source.type == "url";
    const instances::RemoteImage wanted = byUrl ? instances::RemoteImage{post.source.url, "url", {}, {}, {}} : TRY(named(context, request, post.source));
    if (byUrl) {
        TRY(wanted.check());
        TRY(instances::checkImageServer(context.db, request.project(), wanted.server));
    }
    if (byUrl && post.autoUpdate)
        return Error(Code::Unsupported, "auto_update: an image by its address has no server that could have a newer one");
    TRY(checkProfiles(post.profiles));
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
