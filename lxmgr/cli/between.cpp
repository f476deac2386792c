#include "cli/between.h"

#include "api/instances.h"
#include "api/snapshots.h"
#include "api/types.h"
#include "base/text.h"
#include "base/types.h"
#include "cli/new_instance.h"
#include "cli/progress.h"
#include "cli/snapshots.h"
#include "cli/transfer.h"

namespace lxmgr::cli
{

namespace
{

/// What the source is, as far as it is a matter of its definition.
struct Definition {
    api::StringMap config;
    api::Devices devices, expandedDevices;
    std::vector<std::string> profiles;
    std::string description, architecture;
    bool ephemeral = false;
};

/// Of what is here only what is nobody else's: a copy has addresses and ids of its own, a moved one keeps its own.
enum class Identity { New, Kept };

Status complete(api::InstancesPost &post, const Definition &source, const Arguments &arguments, Identity identity)
{
    TRY(addOptions(post, arguments));
    TRY(completeDevices(post, source.expandedDevices));
    for (const auto &[key, value] : source.config)
        if (identity == Identity::Kept || !key.starts_with("volatile."))
            post.config.emplace(key, value);
    for (const auto &[name, keys] : source.devices)
        post.devices.emplace(name, keys);
    if (!post.profiles)
        post.profiles = source.profiles;
    post.architecture = source.architecture;
    if (identity == Identity::New)
        return {};
    if (post.description.empty())
        post.description = source.description;
    post.ephemeral = post.ephemeral || source.ephemeral;
    return {};
}

/// What can be said of it here where the other host lacks something.
Error withCure(Error error, const std::string &to)
{
    if (error.message.find("Profile not found") != std::string::npos)
        return std::move(error).hint("make it on " + quoted(to) + ", or give others: --profile <profile>, --no-profiles");
    if (error.message.find("torage pool not found") != std::string::npos)
        return std::move(error).hint("give one of " + quoted(to) + ": --storage <pool>");
    return error;
}

/// Whether `post` names what an earlier move of `source` has brought there, which was cut off before it was deleted here: it is then
/// brought up to date. WrongState where it has a life of its own by now.
Result<bool> cameBefore(client::Client &target, const api::InstancesPost &post, const Definition &source, const std::string &host)
{
    const auto there = target.get<api::Instance>(TRY(instancePath(post.name)));
    if (!there)
        return there.error().code == Code::NotFound ? Result<bool>(false) : there.error();
    const auto uuid = source.config.find("volatile.uuid"), other = there->config.find("volatile.uuid");
    if (uuid == source.config.end() || other == there->config.end() || uuid->second != other->second)
        return false; // another one, whose name is taken
    if (there->lastUsedAt.isSet())
        return Error(Code::WrongState, quoted(post.name) + " has come to " + quoted(host) +
                                           " by a move that was cut off before it was deleted here, and was started there since")
            .hint("delete the one that is not wanted, here or there");
    return true;
}

/// An instance on its way.
struct Journey {
    Host source, target;
    Parcel parcel;
};

Result<Journey> journeyOf(Context &context, const Arguments &arguments, const std::string &to, Identity identity, std::string what)
{
    const std::string from = arguments.word(0);
    const auto snapshot = snapshotWord(from);
    const std::string path = snapshot ? TRY(snapshotPath(snapshot->instance, snapshot->snapshot)) : TRY(instancePath(from));
    Host source = TRY(hostAt(context, context.remote(), kInstanceWares)), target = TRY(hostAt(context, to, kInstanceWares));
    if (const auto project = arguments.value("target-project"))
        target.client.setProject(*project);
    Definition definition;
    if (snapshot) {
        auto was = TRY(source.client.get<api::Snapshot>(path));
        definition = {std::move(was.config), std::move(was.devices), std::move(was.expandedDevices), std::move(was.profiles), {}, was.architecture, false};
    } else {
        auto is = TRY(source.client.get<api::Instance>(path));
        if (identity == Identity::Kept && is.statusCode != static_cast<int>(api::StatusCode::Stopped))
            return Error(Code::WrongState, "Instance is running: " + quoted(from) + " (stop it before moving it)");
        if (const auto protection = is.expandedConfig.find("security.protection.delete");
            identity == Identity::Kept && protection != is.expandedConfig.end() && parseBool(protection->second).value_or(false))
            return Error(Code::WrongState, "The instance is protected from being deleted: " + quoted(from))
                .hint("copy it, or: lxmgr config set " + context.remote() + ":" + from + " security.protection.delete=false");
        definition = {std::move(is.config),   std::move(is.devices), std::move(is.expandedDevices), std::move(is.profiles), is.description,
                      is.architecture, is.ephemeral};
    }
    api::InstancesPost post;
    post.type = "container";
    post.name = arguments.words.size() > 1 ? arguments.word(1) : snapshot ? snapshot->instance : from;
    TRY(checkInstanceName(post.name));
    TRY(complete(post, definition, arguments, identity));
    post.source.type = "migration";
    post.source.instanceOnly = arguments.has("instance-only");
    post.source.refresh = arguments.has("refresh") || (identity == Identity::Kept && TRY(cameBefore(target.client, post, definition, to)));
    const auto leaving = [only = post.source.instanceOnly](const api::Json &where) {
        api::InstancePost leave;
        leave.migration = true;
        leave.instanceOnly = only;
        leave.target = where;
        return api::toJson(leave);
    };
    const auto arriving = [post](const Handover &handover) { return bodyWith(post, handover); };
    return Journey{std::move(source), std::move(target), {path, leaving, "/1.0/instances", arriving, std::move(what)}};
}

} // namespace

Result<std::string> destinationOf(Context &context, const Arguments &arguments)
{
    if (!arguments.bareRemote.empty())
        return arguments.bareRemote;
    if (arguments.words.size() < 2)
        return context.remote();
    const std::string named = arguments.remoteOf(1);
    return named.empty() ? TRY(context.remotes())->defaultName() : named;
}

Result<bool> isOneHost(Context &context, const Arguments &arguments, const std::string &to)
{
    const std::string &one = context.remote(), &other = to;
    if (one == other)
        return true;
    if (arguments.has("mode"))
        return false;
    std::string fingerprints[2];
    for (const auto &[name, fingerprint] : {std::pair{one, &fingerprints[0]}, std::pair{other, &fingerprints[1]}}) {
        client::Client client = TRY(context.clientOf(name));
        const auto server = TRY(client.get<api::Server>("/1.0"));
        if (server.environment)
            *fingerprint = server.environment->certificateFingerprint;
    }
    return !fingerprints[0].empty() && fingerprints[0] == fingerprints[1];
}

std::string projectOf(const client::Client &client)
{
    const std::string &project = client.options().project;
    return project.empty() ? "default" : project;
}

Status checkOneHost(const Arguments &arguments)
{
    if (arguments.has("mode"))
        return Error(Code::Usage, "--mode says how it gets to another host, and this is one host");
    return {};
}

Result<int> copyBetween(Context &context, const Arguments &arguments, const std::string &to)
{
    Journey journey = TRY(journeyOf(context, arguments, to, Identity::New, "Copying " + arguments.word(0) + " to " + to));
    if (Status done = transfer(context, journey.source, journey.target, journey.parcel, arguments.value("mode", "")); !done)
        return withCure(std::move(done.error()), to);
    return 0;
}

Result<int> moveBetween(Context &context, const Arguments &arguments, const std::string &to)
{
    const std::string from = arguments.word(0);
    if (snapshotWord(from))
        return Error(Code::Usage, "a snapshot lies where its instance does (lxmgr copy makes an instance of it elsewhere)");
    Journey journey = TRY(journeyOf(context, arguments, to, Identity::Kept, "Moving " + from + " to " + to));
    if (Status done = transfer(context, journey.source, journey.target, journey.parcel, arguments.value("mode", "")); !done)
        return withCure(std::move(done.error()), to);
    // All of it is there and recorded: only now does it go here.
    Progress progress(context, "Deleting " + from);
    const auto deleted = journey.source.client.run("DELETE", TRY(instancePath(from)), {}, progress.watcher());
    if (!deleted)
        return Error(deleted.error()).in("it is on " + quoted(to) + " now, and still here: delete " + quoted(from));
    return 0;
}

} // namespace lxmgr::cli
