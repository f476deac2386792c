// image copy and image refresh.
#include "api/images.h"
#include "api/operations.h"
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/context.h"
#include "cli/image_source.h"

#include <algorithm>

namespace lxmgr::cli
{

namespace
{

std::vector<std::string> namesFor(const Arguments &arguments, const ImageOrigin &origin)
{
    std::vector<std::string> names = arguments.values("alias");
    if (arguments.has("copy-aliases") && origin.image)
        for (const api::ImageAlias &alias : origin.image->aliases)
            if (std::ranges::find(names, alias.name) == names.end())
                names.push_back(alias.name);
    return names;
}

Result<std::string> pull(Context &context, const Arguments &arguments, const ImageOrigin &origin)
{
    api::ImagesPost post;
    post.isPublic = arguments.has("public");
    post.autoUpdate = arguments.has("auto-update");
    for (const std::string &name : namesFor(arguments, origin))
        post.aliases.push_back({name, {}});
    if (arguments.has("profile"))
        post.profiles = arguments.values("profile");
    post.source.type = "image";
    nameOrigin(post.source, origin);
    const api::Operation done = TRY(atAnyAddress(origin, [&](const std::string &server) {
        post.source.server = server;
        return runWithProgress(context, "POST", "/1.0/images", api::toJson(post), "Copying");
    }));
    return done.metadata.text("fingerprint");
}

/// For a server that the other one cannot reach.
Result<std::string> relay(Context &context, const Arguments &arguments, const std::string &from, const ImageOrigin &origin)
{
    if (arguments.has("auto-update"))
        return Error(Code::Unsupported, "--auto-update: an image that is carried over has no server to be updated from (--mode pull)");
    const std::vector<std::string> names = namesFor(arguments, origin);
    const std::string fingerprint = TRY(carryImage(context, from, *origin.image, arguments.has("public")));
    for (const std::string &name : names)
        TRY(context.client().request("POST", "/1.0/images/aliases", api::toJson(api::ImageAliasEntry{name, "", fingerprint})));
    if (arguments.has("profile")) {
        api::ImagePut put;
        put.profiles = arguments.values("profile");
        TRY(context.client().request("PATCH", client::path("/1.0/images", {fingerprint}), api::toJson(put)));
    }
    return fingerprint;
}

/// The source uploads it, with a secret that the target gives for that.
Result<std::string> push(Context &context, const Arguments &arguments, const std::string &from, const ImageOrigin &origin)
{
    if (arguments.has("auto-update"))
        return Error(Code::Unsupported, "--auto-update: an image that is pushed has no server to be updated from (--mode pull)");
    const Place place = TRY(placeOf(context, context.client(), context.remote()));
    if (place.addresses.empty())
        return Error(Code::Unavailable, "remote " + quoted(context.remote()) + " answers nobody on the network")
            .hint("set core.https_address there, or --mode relay");
    api::ImagesPost post;
    post.isPublic = arguments.has("public");
    post.properties = origin.image->properties;
    for (const std::string &name : namesFor(arguments, origin))
        post.aliases.push_back({name, {}});
    if (arguments.has("profile"))
        post.profiles = arguments.values("profile");
    post.source.type = "image";
    post.source.mode = "push";
    post.source.fingerprint = origin.fingerprint;
    const client::Answer token = TRY(context.client().request("POST", "/1.0/images", api::toJson(post)));
    const std::string secret = TRY(client::Client::parse<api::Operation>(token.metadata)).metadata.text("secret");
    client::Client source = TRY(context.clientOf(from));
    Result<api::Operation> done = Error(Code::Internal, "");
    for (const std::string &address : place.addresses) {
        const api::ImageExportPost wanted{address, secret, place.certificate, context.client().options().project};
        done = source.run("POST", client::path("/1.0/images", {origin.fingerprint, "export"}), api::toJson(wanted));
        if (done || done.error().code != Code::Unavailable)
            break;
    }
    if (!done) {
        (void)context.client().request("DELETE", token.operation); // it is used up where the upload had begun
        return std::move(done.error());
    }
    return origin.fingerprint;
}

} // namespace

Result<int> imageCopy(Context &context, const Arguments &arguments)
{
    const std::string mode = arguments.value("mode", "");
    if (!mode.empty() && mode != "pull" && mode != "push" && mode != "relay")
        return Error(Code::Usage, "--mode " + quoted(mode) + " is none of pull, push, relay");
    const std::string from = context.remote();
    const std::string to = arguments.bareRemote.empty() ? TRY(context.remotes())->defaultName() : arguments.bareRemote;
    if (to == from)
        return Error(Code::Usage, "the image is on " + quoted(to) + " already").hint("'lxmgr image alias create' gives it another name");
    const Remote target = TRY(TRY(context.remotes())->get(to));
    if (target.isImageServer())
        return Error(Code::Unsupported, "remote " + quoted(to) + " is an image server: nothing can be copied to it");
    const Remote source = TRY(TRY(context.remotes())->get(from));
    if (source.isImageServer() && !mode.empty() && mode != "pull")
        return Error(Code::Unsupported, "--mode " + mode + ": what image servers have is fetched by the server itself");
    const ImageOrigin origin = TRY(originOf(context, from, arguments.word(0),
                                            mode == "relay" || mode == "push"  ? Want::Image
                                            : arguments.has("copy-aliases") ? Want::SourceAndImage
                                                                            : Want::Source));
    if (mode == "pull" && !origin.reachable)
        return Error(Code::Unavailable, "remote " + quoted(from) + " answers nobody on the network")
            .hint("set core.https_address there, or leave --mode pull out");
    TRY(context.use(to));
    const std::string fingerprint = mode == "push"                          ? TRY(push(context, arguments, from, origin))
                                    : mode == "relay" || !origin.reachable ? TRY(relay(context, arguments, from, origin))
                                                                           : TRY(pull(context, arguments, origin));
    context.say("Image copied with fingerprint: " + fingerprint);
    return 0;
}

Result<int> imageRefresh(Context &context, const Arguments &arguments)
{
    for (const std::string &image : arguments.words) {
        const std::string fingerprint = TRY(fingerprintOf(context.client(), image));
        const api::Operation done = TRY(runWithProgress(context, "POST", client::path("/1.0/images", {fingerprint, "refresh"}), {}, "Refreshing " + image));
        const std::string now = done.metadata.text("fingerprint");
        context.say(escaped(image) + (now == fingerprint ? " is the newest there is" : " is now " + now.substr(0, 12)));
    }
    return 0;
}

} // namespace lxmgr::cli
