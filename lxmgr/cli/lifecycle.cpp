// start, stop, restart, pause, resume, delete, rename.
#include "api/instances.h"
#include "api/operations.h"
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/attach.h"
#include "cli/context.h"
#include "cli/snapshots.h"
#include "cli/terminal.h"

#include <algorithm>
#include <cstdio>
#include <functional>

namespace lxmgr::cli
{

namespace
{

/// Those named, or with --all those for which `action` makes sense.
Result<std::vector<std::string>> targets(Context &context, const Arguments &arguments, std::string_view action)
{
    if (!arguments.has("all"))
        return arguments.words;
    std::vector<std::string> names;
    for (const api::Instance &instance :
         TRY(context.client().get<std::vector<api::Instance>>("/1.0/instances", {
                                                                                    {"recursion", "1"}
    }))) {
        const bool stopped = instance.status == "Stopped";
        const bool frozen = instance.status == "Frozen";
        if (action == "start"      ? stopped
            : action == "unfreeze" ? frozen
            : action == "freeze"   ? !stopped && !frozen
                                   : !stopped)
            names.push_back(instance.name);
    }
    return names;
}

Result<api::InstanceStatePut> stateChange(const Arguments &arguments, const std::string &action)
{
    api::InstanceStatePut put;
    put.action = action;
    put.force = arguments.has("force");
    // -1: the guest takes as long as it needs.
    put.timeout = action == "stop" || action == "restart" ? -1 : 0;
    if (const auto seconds = arguments.value("timeout"); seconds && action != "start")
        put.timeout = TRY_IN("--timeout", parseSigned(*seconds, -1, 86400));
    return put;
}

Status changeState(Context &context, const std::string &name, const api::InstanceStatePut &put, std::string_view doing)
{
    TRY(runWithProgress(context, "PUT", TRY(instancePath(name, "state")), api::toJson(put),
                        std::string(doing) + " " + name));
    return {};
}

/// Does `one` to each name. With several, what fails does not keep the others from being done; the last line says how
/// many.
Result<int> forEach(Context &context, const std::vector<std::string> &names,
                    const std::function<Status(const std::string &)> &one)
{
    if (names.size() == 1) {
        TRY(one(names[0]));
        return 0;
    }
    std::optional<Error> first;
    std::size_t failed = 0;
    for (const std::string &name : names) {
        if (Status done = one(name); !done) {
            context.warn("Error: " + escaped(name) + ": " + escaped(done.error().message));
            ++failed;
            if (!first)
                first = done.error();
        }
    }
    if (!first)
        return 0;
    return Error(first->code,
                 std::to_string(failed) + " of " + std::to_string(names.size()) + " instances failed, see above");
}

Result<int> change(Context &context, const Arguments &arguments, const std::string &action, std::string_view doing)
{
    const api::InstanceStatePut put = TRY(stateChange(arguments, action));
    const std::vector<std::string> names = TRY(targets(context, arguments, action));
    if (arguments.has("console") && names.size() != 1)
        return Error(Code::Usage, "--console needs exactly one instance");
    const int status =
        TRY(forEach(context, names, [&](const std::string &name) { return changeState(context, name, put, doing); }));
    return arguments.has("console") ? attachConsole(context, names.front()) : Result<int>(status);
}

Status startOne(Context &context, const Arguments &arguments, const std::string &name)
{
    api::InstanceStatePut put = TRY(stateChange(arguments, "start"));
    Status started = changeState(context, name, put, "Starting");
    // Asked only when starting was refused: what is paused is resumed, as users of other managers expect.
    if (!started && started.error().code == Code::WrongState) {
        const Result<api::Instance> now = context.client().get<api::Instance>(TRY(instancePath(name)));
        if (now && now->status == "Frozen") {
            put.action = "unfreeze";
            started = changeState(context, name, put, "Resuming");
        }
    }
    TRY(std::move(started));
    return arguments.has("wait") ? waitUntilBooted(context, arguments, name) : Status();
}

/// Stops it first where --force says so. The daemon refuses a running instance itself: nothing is asked before.
Status deleteOne(Context &context, const Arguments &arguments, const std::string &name)
{
    const auto snapshot = snapshotWord(name);
    const std::string path = snapshot ? TRY(snapshotPath(snapshot->instance, snapshot->snapshot)) : TRY(instancePath(name));
    const std::string target = arguments.has("purge") ? path + "?purge=1" : path;
    if (arguments.has("interactive") && !confirmed("Delete " + name + " and everything in it"))
        return {};
    if (snapshot) {
        TRY(runWithProgress(context, "DELETE", target, {}, "Deleting " + name));
        return {};
    }
    if (!arguments.has("force")) {
        Result<api::Operation> done = runWithProgress(context, "DELETE", target, {}, "Deleting " + name);
        if (!done && done.error().code == Code::WrongState)
            return std::move(done.error()).hint("stop it first or use --force");
        return done ? Status() : std::move(done.error());
    }
    const api::Instance now = TRY(context.client().get<api::Instance>(path));
    if (now.status != "Stopped") {
        const Status stopped =
            changeState(context, name, {.action = "stop", .timeout = -1, .force = true, .stateful = false}, "Stopping");
        // An ephemeral one is gone once it has stopped; one that stopped by itself meanwhile is as good.
        if (!stopped && stopped.error().code != Code::WrongState && stopped.error().code != Code::NotFound)
            return stopped;
        if (now.ephemeral)
            return {};
    }
    TRY(runWithProgress(context, "DELETE", target, {}, "Deleting " + name));
    return {};
}

/// "rename web1/snap0 web1/before", also without the instance in front of the new name.
Result<int> renameSnapshotWord(Context &context, const SnapshotWord &from, const std::string &word)
{
    const SnapshotWord to = snapshotWord(word).value_or(SnapshotWord{from.instance, word});
    if (to.instance != from.instance)
        return Error(Code::Usage, "a snapshot stays with its instance: " + quoted(word) + " is one of " + quoted(to.instance) +
                                      " (lxmgr copy makes an instance of a snapshot)");
    Arguments arguments;
    arguments.words = {from.instance, from.snapshot, to.snapshot};
    return snapshotRename(context, arguments);
}

} // namespace

Result<int> start(Context &context, const Arguments &arguments)
{
    const std::vector<std::string> names = TRY(targets(context, arguments, "start"));
    if (arguments.has("console") && names.size() != 1)
        return Error(Code::Usage, "--console needs exactly one instance");
    const int status =
        TRY(forEach(context, names, [&](const std::string &name) { return startOne(context, arguments, name); }));
    return arguments.has("console") ? attachConsole(context, names.front()) : Result<int>(status);
}

Result<int> stop(Context &context, const Arguments &arguments)
{
    return change(context, arguments, "stop", "Stopping");
}
Result<int> restart(Context &context, const Arguments &arguments)
{
    return change(context, arguments, "restart", "Restarting");
}
Result<int> pause(Context &context, const Arguments &arguments)
{
    return change(context, arguments, "freeze", "Pausing");
}
Result<int> resume(Context &context, const Arguments &arguments)
{
    return change(context, arguments, "unfreeze", "Resuming");
}

Result<int> deleteInstances(Context &context, const Arguments &arguments)
{
    return forEach(context, arguments.words,
                   [&](const std::string &name) { return deleteOne(context, arguments, name); });
}

Result<int> renameInstance(Context &context, const Arguments &arguments)
{
    if (const auto snapshot = snapshotWord(arguments.word(0)))
        return renameSnapshotWord(context, *snapshot, arguments.word(1));
    TRY(checkInstanceName(arguments.word(1)));
    api::InstancePost post;
    post.name = arguments.word(1);
    TRY(runWithProgress(context, "POST", TRY(instancePath(arguments.word(0))), api::toJson(post),
                        "Renaming " + arguments.word(0)));
    return 0;
}

} // namespace lxmgr::cli
