// storage volume copy and move: on one host, or between two.
#include "api/operations.h"
#include "api/storage.h"
#include "base/text.h"
#include "base/types.h"
#include "cli/between.h"
#include "cli/context.h"
#include "cli/handlers.h"
#include "cli/progress.h"
#include "cli/transfer.h"

namespace lxmgr::cli
{

namespace
{

constexpr std::string_view kPools = "/1.0/storage-pools";

/// "<pool>/<volume>[/<snapshot>]".
struct Place {
    std::string pool, volume, snapshot;
};
Result<Place> placeOf(const std::string &word)
{
    const std::vector<std::string> parts = split(word, '/');
    if (parts.size() < 2 || parts.size() > 3 || parts[0].empty() || parts[1].empty())
        return Error(Code::Usage, quoted(word) + " is not <pool>/<volume>");
    return Place{parts[0], parts[1], parts.size() == 3 ? parts[2] : ""};
}

std::string volumePath(const std::string &pool, const std::string &volume) { return client::path(kPools, {pool, "volumes", "custom", volume}); }

/// A volume, or a snapshot of one, on its way to another host.
struct Journey {
    Host source, target;
    Parcel parcel;
    std::vector<std::string> users; ///< Of the volume.
};

Result<Journey> journeyOf(Context &context, const Arguments &arguments, const Place &from, const Place &to, const std::string &host, std::string what)
{
    Host source = TRY(hostAt(context, context.remote(), kVolumeWares)), target = TRY(hostAt(context, host, kVolumeWares));
    if (const auto project = arguments.value("target-project")) {
        TRY(checkObjectName("project", *project));
        target.client.setProject(*project);
    }
    const auto volume = TRY(source.client.get<api::StorageVolume>(volumePath(from.pool, from.volume)));
    api::StorageVolumesPost post;
    post.name = to.volume;
    post.type = "custom";
    post.contentType = "filesystem";
    post.description = volume.description;
    for (const auto &[key, value] : volume.config)
        if (!key.starts_with("volatile."))
            post.config.emplace(key, value);
    post.source.type = "migration";
    post.source.name = from.volume;
    post.source.pool = from.pool;
    post.source.volumeOnly = arguments.has("volume-only");
    post.source.refresh = arguments.has("refresh");
    const auto leaving = [name = from.volume, only = post.source.volumeOnly](const api::Json &where) {
        api::StorageVolumePost leave;
        leave.name = name;
        leave.migration = true;
        leave.volumeOnly = only;
        leave.target = where;
        return api::toJson(leave);
    };
    const auto arriving = [post](const Handover &handover) { return bodyWith(post, handover); };
    const std::string path = volumePath(from.pool, from.volume);
    return Journey{std::move(source), std::move(target),
                   {from.snapshot.empty() ? path : path + client::path("/snapshots", {from.snapshot}), leaving, client::path(kPools, {to.pool, "volumes", "custom"}), arriving,
                    std::move(what) + from.volume + " to " + host},
                   volume.usedBy};
}

Result<int> moveToHost(Context &context, const Arguments &arguments, const Place &from, const Place &to, const std::string &host)
{
    Journey journey = TRY(journeyOf(context, arguments, from, to, host, "Moving "));
    if (!journey.users.empty())
        return Error(Code::WrongState, "storage volume " + quoted(from.volume) + " is used by " + join(journey.users, ", ") + " (lxmgr storage volume detach)");
    TRY(transfer(context, journey.source, journey.target, journey.parcel, arguments.value("mode", "")));
    // All of it is there and recorded: only now does it go here.
    if (const auto deleted = journey.source.client.request("DELETE", volumePath(from.pool, from.volume)); !deleted)
        return Error(deleted.error()).in("it is on " + quoted(host) + " now, and still here: delete " + quoted(from.volume));
    return 0;
}

} // namespace

Result<int> volumeCopy(Context &context, const Arguments &arguments)
{
    const Place from = TRY(placeOf(arguments.word(0))), to = TRY(placeOf(arguments.word(1)));
    if (!to.snapshot.empty())
        return Error(Code::Usage, quoted(arguments.word(1)) + " is not <pool>/<volume>");
    const std::string host = TRY(destinationOf(context, arguments));
    if (!TRY(isOneHost(context, arguments, host))) {
        Journey journey = TRY(journeyOf(context, arguments, from, to, host, "Copying "));
        TRY(transfer(context, journey.source, journey.target, journey.parcel, arguments.value("mode", "")));
        return 0;
    }
    TRY(checkOneHost(arguments));
    client::Client there = TRY(context.clientOf(host)); // it may be another project of the same daemon
    if (const auto project = arguments.value("target-project")) {
        TRY(checkObjectName("project", *project));
        there.setProject(*project);
    }
    api::StorageVolumesPost post;
    post.name = to.volume;
    post.type = "custom";
    post.contentType = "filesystem";
    post.source.type = "copy";
    post.source.name = from.volume + (from.snapshot.empty() ? "" : "/" + from.snapshot);
    post.source.pool = from.pool;
    post.source.volumeOnly = arguments.has("volume-only");
    post.source.refresh = arguments.has("refresh");
    if (projectOf(there) != projectOf(context.client()))
        post.source.project = projectOf(context.client());
    const client::Answer answer = TRY(there.request("POST", client::path(kPools, {to.pool, "volumes", "custom"}), api::toJson(post)));
    TRY(waitWithProgress(context, answer.operation, "Copying " + from.volume));
    return 0;
}

Result<int> volumeMove(Context &context, const Arguments &arguments)
{
    const Place from = TRY(placeOf(arguments.word(0))), to = TRY(placeOf(arguments.word(1)));
    if (!to.snapshot.empty() || !from.snapshot.empty())
        return Error(Code::Usage, "a snapshot cannot be moved: <pool>/<volume> <pool>/<volume>");
    const std::string host = TRY(destinationOf(context, arguments));
    if (!TRY(isOneHost(context, arguments, host)))
        return moveToHost(context, arguments, from, to, host);
    TRY(checkOneHost(arguments));
    const std::string project = arguments.value("target-project", projectOf(TRY(context.clientOf(host))));
    api::StorageVolumePost post;
    post.name = to.volume;
    post.pool = to.pool == from.pool ? "" : to.pool;
    post.project = project == projectOf(context.client()) ? "" : project;
    TRY(runWithProgress(context, "POST", volumePath(from.pool, from.volume), api::toJson(post),
                        "Moving " + from.volume));
    return 0;
}

} // namespace lxmgr::cli
