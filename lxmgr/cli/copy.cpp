// copy and move: an instance or a snapshot becomes another instance, or gets another name or pool.
#include "api/instances.h"
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

std::string projectOf(const client::Client &client)
{
    const std::string &project = client.options().project;
    return project.empty() ? "default" : project;
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
    if (post.source.refresh && post.name.empty())
        return Error(Code::Usage, "--refresh needs the name of the copy to bring up to date");
    TRY(addOptions(post, arguments));
    if (!post.devices.empty()) {
        const auto snapshot = snapshotWord(from);
        const std::string path = snapshot ? TRY(snapshotPath(snapshot->instance, snapshot->snapshot)) : TRY(instancePath(from));
        TRY(completeDevices(post, TRY(context.client().get<api::Snapshot>(path)).expandedDevices));
    }
    client::Client there = TRY(context.clientOf(to)); // it may be another project of the same daemon
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
    if (const client::Client there = TRY(context.clientOf(host)); projectOf(there) != projectOf(context.client()))
        return Error(Code::Unsupported, "an instance stays in its project: " + quoted(projectOf(context.client())) + " is not " + quoted(projectOf(there)))
            .hint("copy it, and delete it then");
    for (const char *flag : {"config", "device", "profile", "no-profiles", "instance-only"})
        if (arguments.has(flag))
            return Error(Code::Usage, std::string("--") + flag + " is for a move to another host; here it is changed by 'lxmgr config' and its like");
    const std::string from = arguments.word(0), to = arguments.word(1);
    const auto pool = arguments.value("storage");
    if (to.empty() && !pool)
        return Error(Code::Usage, "where to? (a new name, or --storage with another pool)");
    if (snapshotWord(from) && pool)
        return Error(Code::Usage, "a snapshot lies where its instance does: move that");
    if (!pool)
        return renameInstance(context, arguments);
    api::InstancePost post;
    post.name = to.empty() ? from : to;
    post.migration = true;
    post.pool = *pool;
    TRY(runWithProgress(context, "POST", TRY(instancePath(from)), api::toJson(post), "Moving " + from));
    return 0;
}

} // namespace lxmgr::cli
