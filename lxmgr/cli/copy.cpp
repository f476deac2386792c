// copy and move: an instance or a snapshot becomes another instance, or gets another name or pool.
#include "api/instances.h"
#include "api/moves.h"
#include "api/operations.h"
#include "api/snapshots.h"
#include "base/text.h"
#include "base/types.h"
#include "cli/between.h"
#include "cli/context.h"
#include "cli/handlers.h"
#include "cli/new_instance.h"
#include "cli/snapshots.h"

namespace lxmgr::cli
{

namespace
{

/// "web1" or "web1/snap0", checked.
Result<api::InstanceSource> sourceOf(const std::string &word)
{
    api::InstanceSource source;
    source.type = "copy";
    source.source = word;
    if (const auto snapshot = snapshotWord(word))
        TRY(snapshotPath(snapshot->instance, snapshot->snapshot));
    else
        TRY(instancePath(word));
    return source;
}

/// What it is to be in the project that it goes to.
Result<api::MovedPut> definitionThere(Context &context, const Arguments &arguments)
{
    Arguments others = arguments;
    others.flags.erase("storage"); // of the move, not of a device
    api::InstancesPost wanted;
    TRY(addOptions(wanted, others));
    if (!wanted.devices.empty())
        TRY(completeDevices(wanted, TRY(context.client().get<api::Instance>(TRY(instancePath(arguments.word(0))))).expandedDevices));
    return api::MovedPut{wanted.profiles, wanted.config, wanted.devices};
}

} // namespace

Result<int> copy(Context &context, const Arguments &arguments)
{
    const std::string to = TRY(destinationOf(context, arguments));
    if (!TRY(isOneHost(context, arguments, to)))
        return copyBetween(context, arguments, to);
    TRY(checkOneHost(arguments));
    const std::string from = arguments.word(0);
    api::InstancesPost post;
    post.source = TRY(sourceOf(from));
    post.source.instanceOnly = arguments.has("instance-only");
    post.source.refresh = arguments.has("refresh");
    post.name = arguments.word(1);
    post.type = "container";
    if (!post.name.empty())
        TRY(checkInstanceName(post.name));
    if (const auto snapshot = snapshotWord(from); post.name.empty() && arguments.has("target-project"))
        post.name = snapshot ? snapshot->instance : from; // it keeps its own where that is free
    if (post.source.refresh && post.name.empty())
        return Error(Code::Usage, "--refresh needs the name of the copy to bring up to date");
    TRY(addOptions(post, arguments));
    if (!post.devices.empty()) {
        const auto snapshot = snapshotWord(from);
        const std::string path = snapshot ? TRY(snapshotPath(snapshot->instance, snapshot->snapshot)) : TRY(instancePath(from));
        TRY(completeDevices(post, TRY(context.client().get<api::Snapshot>(path)).expandedDevices));
    }
    client::Client there = TRY(context.clientOf(to)); // it may be another project of the same daemon
    if (const auto project = arguments.value("target-project"))
        there.setProject(*project);
    if (there.options().project != context.client().options().project)
        post.source.project = projectOf(context.client());
    const client::Answer answer = TRY(there.request("POST", "/1.0/instances", api::toJson(post)));
    if (post.name.empty()) {
        post.name = nameOf(TRY(client::Client::parse<api::Operation>(answer.metadata)));
        context.printLine("Instance name is: " + post.name);
        TRY(context.flush());
    }
    TRY(waitWithProgress(context, answer.operation, "Copying " + from));
    return 0;
}

Result<int> move(Context &context, const Arguments &arguments)
{
    const std::string host = TRY(destinationOf(context, arguments));
    if (!TRY(isOneHost(context, arguments, host)))
        return moveBetween(context, arguments, host);
    TRY(checkOneHost(arguments));
    // Two names of a remote may stand for two projects of the same daemon.
    const std::string project = arguments.value("target-project", projectOf(TRY(context.clientOf(host))));
    const bool leaves = project != projectOf(context.client());
    for (const char *flag : {"config", "device", "profile", "no-profiles", "instance-only"})
        if (arguments.has(flag) && (!leaves || std::string_view(flag) == "instance-only"))
            return Error(Code::Usage, std::string("--") + flag + " is for a move to another " +
                                          (leaves ? "host" : "host or project; here it is changed by 'lxmgr config' and its like"));
    const std::string from = arguments.word(0), to = arguments.word(1);
    const auto pool = arguments.value("storage");
    if (to.empty() && !pool && !leaves)
        return Error(Code::Usage, "where to? (a new name, --storage with another pool, or --target-project with another project)");
    if (snapshotWord(from) && (pool || leaves))
        return Error(Code::Usage, "a snapshot lies where its instance does: move that");
    if (!pool && !leaves)
        return renameInstance(context, arguments);
    api::InstancePost post;
    post.name = to.empty() ? from : to;
    post.migration = !leaves;
    post.pool = pool.value_or("");
    api::Json document = TRY(api::Json::parse(api::toJson(post)));
    if (leaves) {
        document["project"] = project;
        const api::MovedPut definition = TRY(definitionThere(context, arguments));
        const api::Json there = TRY(api::Json::parse(api::toJson(definition)));
        for (const auto &[name, value] : *there.asObject())
            document[name] = value;
    }
    TRY(runWithProgress(context, "POST", TRY(instancePath(from)), document.dump(), "Moving " + from));
    return 0;
}

} // namespace lxmgr::cli
