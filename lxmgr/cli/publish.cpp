// publish: an instance or a snapshot becomes an image.
#include "api/images.h"
#include "api/instances.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/handlers.h"
#include "cli/keys.h"
#include "cli/snapshots.h"
#include "config/snapshots.h"

#include <ctime>

namespace lxmgr::cli
{

namespace
{

/// A date, or a span from now on.
Result<api::Time> expiryOf(const std::string &text)
{
    if (const auto date = api::Time::parse(text))
        return *date;
    const auto span = config::Codec<config::SnapshotExpiry>::parse(text);
    if (!span)
        return Error(Code::Usage, "--expire " + quoted(text) + " is neither a span (90d, 2y) nor a date (2030-01-31T00:00:00Z)");
    return api::Time::fromUnix(span->after(std::time(nullptr)));
}

Result<api::ImagesPost> postOf(const Arguments &arguments)
{
    api::ImagesPost post;
    post.source.type = "instance";
    post.source.name = arguments.word(0);
    if (const auto snapshot = snapshotWord(post.source.name)) {
        TRY(snapshotPath(snapshot->instance, snapshot->snapshot));
        post.source.type = "snapshot";
        if (arguments.has("force"))
            return Error(Code::Usage, "a snapshot does not run: --force stops an instance");
    } else {
        TRY(instancePath(post.source.name));
    }
    post.properties.emplace();
    for (std::size_t i = 1; i < arguments.words.size(); ++i) {
        const KeyValue pair = TRY(keyValue(arguments.words[i]));
        (*post.properties)[pair.key] = pair.value;
    }
    post.isPublic = arguments.has("public");
    post.compressionAlgorithm = arguments.value("compression", "");
    if (arguments.has("profile"))
        post.profiles = arguments.values("profile");
    if (const auto expire = arguments.value("expire"))
        post.expiresAt = TRY(expiryOf(*expire));
    if (!arguments.has("reuse"))
        for (const std::string &alias : arguments.values("alias"))
            post.aliases.push_back({alias, ""});
    return post;
}

std::string aliasPath(const std::string &alias) { return client::path("/1.0/images/aliases", {alias}); }

/// The alias names the new image; one that it named before and that has no name left is deleted.
Status reuse(Context &context, const std::string &alias, const std::string &fingerprint)
{
    const auto before = context.client().get<api::ImageAliasEntry>(aliasPath(alias));
    if (!before && before.error().code != Code::NotFound)
        return before.error();
    if (!before) {
        TRY(context.client().request("POST", "/1.0/images/aliases", api::toJson(api::ImageAliasEntry{alias, "", fingerprint})));
        return {};
    }
    TRY(context.client().request("PUT", aliasPath(alias), api::toJson(api::ImageAliasPut{before->description, fingerprint})));
    const std::string path = client::path("/1.0/images", {before->target});
    if (before->target != fingerprint && TRY(context.client().get<api::Image>(path)).aliases.empty())
        TRY(runWithProgress(context, "DELETE", path, {}, "Deleting the image before"));
    return {};
}

Status changeState(Context &context, const std::string &name, const char *action, const std::string &doing)
{
    api::InstanceStatePut put;
    put.action = action;
    put.timeout = -1; // the guest takes as long as it needs
    TRY(runWithProgress(context, "PUT", TRY(instancePath(name, "state")), api::toJson(put), doing + " " + name));
    return {};
}

} // namespace

Result<int> publish(Context &context, const Arguments &arguments)
{
    const api::ImagesPost post = TRY(postOf(arguments));
    const std::string &name = post.source.name;
    const bool stops = arguments.has("force") &&
                       TRY(context.client().get<api::Instance>(TRY(instancePath(name)))).status != "Stopped";
    if (stops)
        TRY(changeState(context, name, "stop", "Stopping"));
    const auto done = runWithProgress(context, "POST", "/1.0/images", api::toJson(post), "Publishing " + name);
    if (stops)
        TRY(changeState(context, name, "start", "Starting"));
    const std::string fingerprint = TRY(done).metadata.text("fingerprint");
    if (arguments.has("reuse"))
        for (const std::string &alias : arguments.values("alias"))
            TRY_IN("alias " + quoted(alias), reuse(context, alias, fingerprint));
    context.say("Instance published with fingerprint: " + fingerprint);
    return 0;
}

} // namespace lxmgr::cli
