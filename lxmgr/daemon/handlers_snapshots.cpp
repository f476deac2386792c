// Snapshots of instances: list, get, make, change, rename, delete, mount.
#include "daemon/context.h"
#include "daemon/convert.h"
#include "daemon/lists.h"

#include "api/envelope.h"
#include "api/snapshots.h"
#include "base/text.h"
#include "http/target.h"

namespace lxmgr::daemon
{

namespace
{

using instances::InstanceKey;

std::string snapshotUrl(std::string_view collection, const InstanceKey &key, const std::string &snapshot)
{
    std::string url = "/1.0/" + std::string(collection) + "/" + http::percentEncode(key.name) + "/snapshots/" +
                      http::percentEncode(snapshot);
    if (key.project != store::kDefaultProject)
        url += "?project=" + http::percentEncode(key.project);
    return url;
}

std::map<std::string, std::vector<std::string>> snapshotResources(const InstanceKey &key, const std::string &snapshot)
{
    return {{"instances_snapshots", {snapshotUrl("instances", key, snapshot)}}};
}

std::string etagOfSnapshot(const store::Snapshot &row)
{
    return api::etagOf(api::toJson(api::SnapshotPut{timeOf(row.expiresAt)}));
}

Status list(Context &context, Request &request, const Responder &responder)
{
    const InstanceKey key = keyOf(request);
    const auto rows = TRY(context.manager.snapshots(key));
    const auto url = [&](const store::Snapshot &row) { return snapshotUrl(api::familyName(request.family), key, row.name); };
    sendList(request, responder, rows, url, [](const store::Snapshot &row) { return toApi(row); });
    return {};
}

Status get(Context &context, Request &request, const Responder &responder)
{
    const store::Snapshot row = TRY(context.manager.snapshot(keyOf(request), request.param("snapshot")));
    responder.sync(api::toJson(toApi(row)), etagOfSnapshot(row));
    return {};
}

Status create(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::SnapshotsPost>());
    if (post.stateful)
        return Error(Code::Unsupported, "stateful snapshots are not supported by this version");
    if (!post.name.empty())
        TRY(checkObjectName("snapshot", post.name));
    instances::SnapshotRequest wanted;
    wanted.name = post.name;
    if (post.expiresAt)
        wanted.expiresAt = millisOf(*post.expiresAt);
    const InstanceKey key = keyOf(request);
    return operate(
        context, request, responder, "Snapshotting instance",
        [&context, key, wanted](Task &task) -> Status {
            const std::string name = TRY(context.manager.createSnapshot(key, wanted));
            auto resources = instanceResources(key);
            resources.merge(snapshotResources(key, name));
            task.setResources(std::move(resources));
            return {};
        },
        false, post.name.empty() ? std::map<std::string, std::vector<std::string>>{} : snapshotResources(key, post.name));
}

Status change(Context &context, Request &request, const Responder &responder)
{
    const auto put = TRY(request.json<api::SnapshotPut>());
    const InstanceKey key = keyOf(request);
    const std::string name = request.param("snapshot");
    const store::Snapshot row = TRY(context.manager.snapshot(key, name));
    TRY(api::checkEtag(request.ifMatch(), etagOfSnapshot(row)));
    const bool patch = request.id() == api::RouteId::InstanceSnapshotPatch;
    const std::int64_t at = put.expiresAt ? millisOf(*put.expiresAt) : patch ? row.expiresAt : 0;
    return operate(context, request, responder, "Updating snapshot",
                   [&context, key, name, at](Task &) { return context.manager.setSnapshotExpiry(key, name, at); }, false,
                   snapshotResources(key, name));
}

Status post(Context &context, Request &request, const Responder &responder)
{
    const auto body = TRY(request.json<api::SnapshotPost>());
    if (body.migration)
        return migrateOut(context, request, responder, {keyOf(request), request.param("snapshot"), false}, body.target);
    TRY(checkObjectName("snapshot", body.name));
    const InstanceKey key = keyOf(request);
    const std::string name = request.param("snapshot");
    TRY(context.manager.snapshot(key, name));
    return operate(context, request, responder, "Renaming snapshot",
                   [&context, key, name, to = body.name](Task &) { return context.manager.renameSnapshot(key, name, to); },
                   false, snapshotResources(key, name));
}

Status remove(Context &context, Request &request, const Responder &responder)
{
    const InstanceKey key = keyOf(request);
    const std::string name = request.param("snapshot");
    TRY(context.manager.snapshot(key, name));
    return operate(context, request, responder, "Deleting snapshot",
                   [&context, key, name, keep = keepOf(request)](Task &) { return context.manager.deleteSnapshot(key, name, keep); }, false,
                   snapshotResources(key, name));
}

Status mount(Context &context, Request &request, const Responder &responder)
{
    api::SnapshotMount mounted;
    mounted.path = TRY(context.manager.mountSnapshot(keyOf(request), request.param("snapshot")));
    responder.sync(api::toJson(mounted));
    return {};
}

Status unmount(Context &context, Request &request, const Responder &responder)
{
    TRY(context.manager.unmountSnapshot(keyOf(request), request.param("snapshot")));
    responder.sync();
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::InstanceSnapshotList, &list},     {api::RouteId::InstanceSnapshotCreate, &create},
    {api::RouteId::InstanceSnapshotGet, &get},       {api::RouteId::InstanceSnapshotPut, &change},
    {api::RouteId::InstanceSnapshotPatch, &change},  {api::RouteId::InstanceSnapshotPost, &post},
    {api::RouteId::InstanceSnapshotDelete, &remove}, {api::RouteId::InstanceSnapshotMount, &mount},
    {api::RouteId::InstanceSnapshotUnmount, &unmount},
};

} // namespace

std::span<const HandlerRow> snapshotHandlers() { return kRows; }

} // namespace lxmgr::daemon
