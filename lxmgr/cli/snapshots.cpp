// snapshot create, list, show, restore, mount, unmount, rename, delete.
#include "cli/snapshots.h"

#include "api/instances.h"
#include "api/operations.h"
#include "api/snapshots.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/handlers.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "config/snapshots.h"

#include <ctime>

namespace lxmgr::cli
{

namespace
{

using api::Snapshot;

// clang-format off
constexpr Column<Snapshot> kColumns[] = {
    {'n', "NAME", "Its name.", [](const Snapshot &s) { return s.name; }},
    {'T', "TAKEN AT", "When it was made.", [](const Snapshot &s) { return dateText(s.createdAt); }},
    {'E', "EXPIRES AT", "When it is deleted; empty: never.", [](const Snapshot &s) { return dateText(s.expiresAt); }},
    {'s', "STATEFUL", "Whether memory is in it.", [](const Snapshot &s) { return yesNo(s.stateful); }},
    {'P', "PROFILES", "Which ones the instance had.", [](const Snapshot &s) { return join(s.profiles, "\n"); }},
};
// clang-format on

/// The name that the daemon gave, from ".../snapshots/<name>".
std::string givenName(const api::Operation &done)
{
    if (!done.resources)
        return {};
    const auto list = done.resources->find("instances_snapshots");
    if (list == done.resources->end() || list->second.empty())
        return {};
    const std::string &url = list->second.front();
    const std::string path = url.substr(0, url.find('?'));
    return path.substr(path.rfind('/') + 1);
}

} // namespace

Result<std::optional<api::Time>> expiryOf(const Arguments &arguments)
{
    if (arguments.has("no-expiry") && arguments.has("expires"))
        return Error(Code::Usage, "either --no-expiry or --expires, not both");
    if (arguments.has("no-expiry"))
        return std::optional(api::Time{});
    const auto span = arguments.value("expires");
    if (!span)
        return std::optional<api::Time>();
    const auto expiry = TRY_IN("--expires", config::Codec<config::SnapshotExpiry>::parse(*span));
    return std::optional(api::Time::fromUnix(expiry.after(std::time(nullptr))));
}

ColumnSet snapshotColumns() { return describe<Snapshot>("snapshot list", "nTEs", kColumns); }

std::optional<SnapshotWord> snapshotWord(const std::string &word)
{
    const std::size_t slash = word.find('/');
    if (slash == std::string::npos)
        return std::nullopt;
    return SnapshotWord{word.substr(0, slash), word.substr(slash + 1)};
}

Result<std::string> snapshotPath(const std::string &instance, const std::string &snapshot)
{
    TRY(checkObjectName("snapshot", snapshot));
    return client::path(TRY(instancePath(instance, "snapshots")), {snapshot});
}

Result<int> snapshotCreate(Context &context, const Arguments &arguments)
{
    const std::string instance = arguments.word(0), name = arguments.word(1);
    api::SnapshotsPost post;
    post.name = name;
    post.expiresAt = TRY(expiryOf(arguments));
    const std::string path = TRY(instancePath(instance, "snapshots"));
    if (arguments.has("reuse") && name.empty())
        return Error(Code::Usage, "--reuse needs the name of the snapshot to make anew");
    if (arguments.has("reuse")) {
        const auto gone = runWithProgress(context, "DELETE", TRY(snapshotPath(instance, name)), {}, "Deleting " + name);
        if (!gone && gone.error().code != Code::NotFound)
            return gone.error();
    }
    const api::Operation done =
        TRY(runWithProgress(context, "POST", path, api::toJson(post), "Snapshotting " + instance));
    if (name.empty())
        context.say("Snapshot " + instance + "/" + givenName(done) + " created");
    return 0;
}

Result<int> snapshotList(Context &context, const Arguments &arguments)
{
    const std::string path = TRY(instancePath(arguments.word(0), "snapshots"));
    const client::Answer answer = TRY(context.client().request("GET", path, {}, {{"recursion", "1"}}));
    TRY(printList<Snapshot>(context, arguments, snapshotColumns(), kColumns, answer.metadata));
    return 0;
}

Result<int> snapshotShow(Context &context, const Arguments &arguments)
{
    const std::string path = TRY(snapshotPath(arguments.word(0), arguments.word(1)));
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(path))));
    return 0;
}

Result<int> snapshotRestore(Context &context, const Arguments &arguments)
{
    TRY(snapshotPath(arguments.word(0), arguments.word(1)));
    api::InstancePut put;
    put.restore = arguments.word(0) + "/" + arguments.word(1);
    put.restoreFiles = arguments.values("files");
    for (std::size_t i = 2; i < arguments.words.size(); ++i)
        put.restoreFiles.push_back(arguments.words[i]);
    if (put.restoreFiles.size() > arguments.values("files").size() && !arguments.has("files"))
        return Error(Code::Usage, "what is " + quoted(arguments.word(2)) + "? Single files are named after --files");
    TRY(runWithProgress(context, "PUT", TRY(instancePath(arguments.word(0))), api::toJson(put),
                        "Restoring " + arguments.word(0)));
    return 0;
}

Result<int> snapshotMount(Context &context, const Arguments &arguments)
{
    const std::string path = TRY(snapshotPath(arguments.word(0), arguments.word(1))) + "/mount";
    const client::Answer answer = TRY(context.client().request("POST", path));
    context.printLine(TRY(client::Client::parse<api::SnapshotMount>(answer.metadata)).path);
    return 0;
}

Result<int> snapshotUnmount(Context &context, const Arguments &arguments)
{
    TRY(context.client().request("DELETE", TRY(snapshotPath(arguments.word(0), arguments.word(1))) + "/mount"));
    return 0;
}

Result<int> snapshotRename(Context &context, const Arguments &arguments)
{
    TRY(checkObjectName("snapshot", arguments.word(2)));
    api::SnapshotPost post;
    post.name = arguments.word(2);
    TRY(runWithProgress(context, "POST", TRY(snapshotPath(arguments.word(0), arguments.word(1))), api::toJson(post),
                        "Renaming " + arguments.word(1)));
    return 0;
}

Result<int> snapshotDelete(Context &context, const Arguments &arguments)
{
    const std::string instance = arguments.word(0);
    for (std::size_t i = 1; i < arguments.words.size(); ++i) {
        const std::string path = TRY(snapshotPath(instance, arguments.words[i]));
        if (arguments.has("interactive") && !confirmed("Delete " + instance + "/" + arguments.words[i]))
            continue;
        TRY(runWithProgress(context, "DELETE", arguments.has("purge") ? path + "?purge=1" : path, {},
                            "Deleting " + instance + "/" + arguments.words[i]));
    }
    return 0;
}

} // namespace lxmgr::cli
