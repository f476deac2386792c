// Storage volumes: custom ones with their snapshots; those of instances and images can be looked at.
#include "api/envelope.h"
#include "api/filter.h"
#include "api/operations.h"
#include "api/storage.h"
#include "api/types.h"
#include "base/text.h"
#include "daemon/context.h"
#include "daemon/convert.h"
#include "daemon/lists.h"
#include "http/target.h"

#include <algorithm>

namespace lxmgr::daemon
{

namespace
{

using instances::VolumeKey;

/// As the caller calls it, whose project may use the volumes of another.
VolumeKey namedIn(const Request &request)
{
    return {request.param("name"), request.project(), request.param("volume")};
}

std::string urlOfVolume(const std::string &pool, std::string_view type, const std::string &name,
                        const std::string &project, const std::string &snapshot = {})
{
    std::string url = snapshot.empty() ? api::routePath(api::RouteId::VolumeGet, {pool, type, name})
                                       : api::routePath(api::RouteId::VolumeSnapshotGet, {pool, type, name, snapshot});
    if (project != store::kDefaultProject)
        url += "?project=" + http::percentEncode(project);
    return url;
}
std::string urlOfVolume(const VolumeKey &key) { return urlOfVolume(key.pool, "custom", key.name, key.project); }

void publish(Context &context, const api::Requestor &by, const char *action, const VolumeKey &key,
             const std::string &snapshot = {}, const StringMap &details = {})
{
    publishVolume(context, by, {action, key, snapshot, details});
}

Status needPool(Context &context, const std::string &pool)
{
    if (const auto row = store::findPool(context.db, pool); !row && row.error().code == Code::NotFound)
        return Error(Code::NotFound, "Storage pool not found");
    return {};
}

/// Instances' volumes change with their instances, images' never.
Status needCustom(const Request &request)
{
    const std::string &type = request.param("type");
    if (type == "custom")
        return {};
    if (type == "container" || type == "image")
        return Error(Code::Invalid, "a volume of type " + quoted(type) + " belongs to its " +
                                        (type == "image" ? "image" : "instance") + " and is changed with it");
    return Error(Code::Invalid, "volumes of type " + quoted(type) + " are not supported by this version (custom)");
}

/// Instances with a device of the volume, their own or a profile's, and such profiles.
class UserIndex
{
public:
    static Result<UserIndex> create(Context &context)
    {
        UserIndex index;
        index.m_homes = TRY(store::homes(context.db, store::Shared::Volumes));
        index.m_instances = TRY(context.manager.describeAll(""));
        index.m_profiles = TRY(store::listProfiles(context.db, ""));
        return index;
    }
    std::vector<std::string> of(const VolumeKey &key) const
    {
        std::vector<std::string> urls;
        for (const instances::Described &instance : m_instances) {
            if (isHome(instance.row.project, key) && instances::usesVolume(instance.expanded.devices, key))
                urls.push_back(urlOf("instances", instance.row.name, instance.row.project));
        }
        for (const store::Profile &profile : m_profiles)
            if (isHome(profile.project, key) && instances::usesVolume(profile.devices, key))
                urls.push_back(urlOf("profiles", profile.name, profile.project));
        return urls;
    }

private:
    bool isHome(const std::string &project, const VolumeKey &key) const
    {
        const auto home = m_homes.find(project);
        return home != m_homes.end() && home->second == key.project;
    }

    std::map<std::string, std::string> m_homes;
    std::vector<instances::Described> m_instances;
    std::vector<store::Profile> m_profiles;
};

Status refuseUsed(Context &context, const Request &request, const VolumeKey &key)
{
    const std::vector<std::string> users = TRY(UserIndex::create(context)).of(key);
    if (users.empty())
        return {};
    std::vector<std::string> seen = visibleUrls(request, users);
    if (seen.size() < users.size())
        seen.emplace_back(seen.empty() ? "another project" : "other projects");
    return Error(Code::WrongState, "storage volume " + quoted(key.name) + " is used by " + join(seen, ", ") + " (lxmgr storage volume detach)");
}

api::StorageVolume toApi(const store::Volume &row, std::vector<std::string> users)
{
    api::StorageVolume volume;
    volume.name = row.name;
    volume.description = row.description;
    volume.config = row.config;
    volume.project = row.project;
    volume.createdAt = timeOf(row.createdAt);
    volume.usedBy = std::move(users);
    return volume;
}

api::StorageVolumeSnapshot toApi(const VolumeKey &key, const store::VolumeSnapshot &row)
{
    api::StorageVolumeSnapshot snapshot;
    snapshot.name = key.name + "/" + row.name;
    snapshot.description = row.description;
    snapshot.config = row.config;
    snapshot.createdAt = timeOf(row.createdAt);
    if (row.expiresAt > 0)
        snapshot.expiresAt = timeOf(row.expiresAt);
    return snapshot;
}
/// That of an instance: what its root disk was.
api::StorageVolumeSnapshot toApi(const std::string &instance, const store::Snapshot &row)
{
    store::VolumeSnapshot disk;
    disk.name = row.name;
    disk.createdAt = row.createdAt;
    disk.expiresAt = row.expiresAt;
    return toApi(VolumeKey{"", "", instance}, disk);
}

/// A snapshot among the volumes.
api::StorageVolume asVolume(api::StorageVolume volume, const api::StorageVolumeSnapshot &snapshot)
{
    volume.name = snapshot.name;
    volume.description = snapshot.description;
    volume.config = snapshot.config;
    volume.createdAt = snapshot.createdAt;
    volume.usedBy.clear();
    return volume;
}

std::string etagOfVolume(const store::Volume &row)
{
    return api::etagOf(api::toJson(api::StorageVolumePut{row.description, row.config, {}}));
}
std::string etagOfSnapshot(const store::VolumeSnapshot &row)
{
    return api::etagOf(api::toJson(api::StorageVolumeSnapshotPut{row.description, timeOf(row.expiresAt)}));
}

Status appendCustom(Context &context, const Request &request, std::vector<api::StorageVolume> &volumes)
{
    const bool all = request.query.flag("all-projects");
    const std::string home = TRY(store::homeOf(context.db, request.project(), store::Shared::Volumes));
    const UserIndex users = TRY(UserIndex::create(context));
    for (const store::Volume &row : TRY(context.volumes.list(request.param("name"), all ? "" : home))) {
        if (all && !request.caller.mayUse(row.project))
            continue;
        const VolumeKey key{row.pool, row.project, row.name};
        const api::StorageVolume volume = toApi(row, visibleUrls(request, users.of(key)));
        volumes.push_back(volume);
        for (const store::VolumeSnapshot &snapshot : TRY(context.volumes.snapshots(key)))
            volumes.push_back(asVolume(volume, toApi(key, snapshot)));
    }
    return {};
}

Status appendInstances(Context &context, const Request &request, std::vector<api::StorageVolume> &volumes)
{
    const bool all = request.query.flag("all-projects");
    const instances::SnapshotsByInstance snapshots = TRY(context.manager.snapshotsOfAll());
    for (const store::Instance &row : TRY(store::listInstances(context.db, all ? "" : request.project()))) {
        if (row.pool != request.param("name") || !request.caller.mayUse(row.project))
            continue;
        api::StorageVolume volume;
        volume.name = row.name;
        volume.type = "container";
        volume.project = row.project;
        volume.createdAt = timeOf(row.createdAt);
        volume.usedBy = {urlOf("instances", row.name, row.project)};
        volumes.push_back(volume);
        if (const auto own = snapshots.find(row.id); own != snapshots.end())
            for (const store::Snapshot &snapshot : own->second)
                volumes.push_back(asVolume(volume, toApi(row.name, snapshot)));
    }
    return {};
}

Status appendImages(Context &context, const Request &request, std::vector<api::StorageVolume> &volumes)
{
    const instances::Pools::Use pool = TRY(context.pools.get(request.param("name")));
    for (const std::string &fingerprint : TRY(pool->listImages())) {
        api::StorageVolume volume;
        volume.name = fingerprint;
        volume.type = "image";
        volumes.push_back(std::move(volume));
    }
    return {};
}

Status volumeList(Context &context, Request &request, const Responder &responder)
{
    TRY(needPool(context, request.param("name")));
    const std::string &type = request.param("type");
    std::vector<api::StorageVolume> volumes;
    if (type.empty() || type == "container")
        TRY(appendInstances(context, request, volumes));
    if (type.empty() || type == "custom")
        TRY(appendCustom(context, request, volumes));
    if ((type.empty() || type == "image") && request.caller.trusted()) // they are shared by all projects
        TRY(appendImages(context, request, volumes));
    const auto filter = TRY(api::Filter::parse(request.query.value("filter")));
    const bool all = request.query.flag("all-projects");
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const api::StorageVolume &volume : volumes) {
        if (!filter.matches(volume))
            continue;
        const std::size_t slash = volume.name.find('/');
        if (request.recursion() == 0)
            writer.string(urlOfVolume(request.param("name"), volume.type, volume.name.substr(0, slash), all ? volume.project : request.project(),
                                      slash == std::string::npos ? "" : volume.name.substr(slash + 1)));
        else
            writeJson(writer, volume);
    }
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

Status volumeGet(Context &context, Request &request, const Responder &responder)
{
    if (request.param("type") == "container") {
        TRY(needPool(context, request.param("name")));
        std::vector<api::StorageVolume> volumes;
        TRY(appendInstances(context, request, volumes));
        const auto found = std::ranges::find(volumes, request.param("volume"), &api::StorageVolume::name);
        if (found == volumes.end())
            return Error(Code::NotFound, "Storage volume not found");
        responder.sync(*found);
        return {};
    }
    const VolumeKey key = TRY(customVolumeOf(context, request));
    const store::Volume row = TRY(context.volumes.find(key));
    responder.sync(api::toJson(toApi(row, visibleUrls(request, TRY(UserIndex::create(context)).of(key)))), etagOfVolume(row));
    return {};
}

Status copyVolume(Context &context, const Request &request, const Responder &responder, const store::Volume &wanted,
                  const api::StorageVolumeSource &source)
{
    TRY(checkProject(request, source.project));
    instances::Volumes::Source from;
    const std::size_t slash = source.name.find('/');
    const std::string there = source.project.empty() ? request.project() : source.project;
    from.key = {source.pool.empty() ? wanted.pool : source.pool, TRY(store::homeOf(context.db, there, store::Shared::Volumes)),
                source.name.substr(0, slash)};
    if (slash != std::string::npos)
        from.snapshot = source.name.substr(slash + 1);
    from.with = source.volumeOnly || from.snapshot ? storage::WithSnapshots::No : storage::WithSnapshots::Yes;
    from.refresh = source.refresh;
    TRY(context.volumes.find(from.key));
    const VolumeKey key{wanted.pool, wanted.project, wanted.name};
    const bool refresh = from.refresh && store::findVolume(context.db, key.pool, key.project, key.name);
    if (refresh)
        TRY(context.manager.checkVolumeIdle(key, request.project(), "stop it before refreshing it"));
    TaskOptions options;
    options.project = request.project();
    options.description = refresh ? "Refreshing storage volume" : "Copying storage volume";
    options.mayCancel = true;
    options.resources = {
        {"storage_volumes", {urlOfVolume({key.pool, request.project(), key.name})}}
    };
    const auto task = context.operations.run(
        std::move(options), [&context, by = request.peer.requestor(), from, wanted, key, refresh](Task &running) -> Status {
            TRY(context.volumes.copy(from, wanted, running));
            publish(context, by, refresh ? "storage-volume-updated" : "storage-volume-created", key);
            return {};
        });
    responder.async(task->snapshot(), request.project());
    return {};
}

Status volumeCreate(Context &context, Request &request, const Responder &responder)
{
    if (request.header("Content-Type").starts_with("application/octet-stream")) {
        TRY(needPool(context, request.param("name")));
        return importVolume(context, request, responder);
    }
    const auto post = TRY(request.json<api::StorageVolumesPost>());
    TRY(needPool(context, request.param("name")));
    const std::string type = request.param("type").empty() ? post.type : request.param("type");
    if (!type.empty() && type != "custom")
        return Error(Code::Invalid, "only volumes of type 'custom' are made by themselves, not " + quoted(type));
    if (!post.contentType.empty() && post.contentType != "filesystem")
        return Error(Code::Unsupported, "volumes of content type " + quoted(post.contentType) +
                                            " are not supported by this version (filesystem)");
    store::Volume row;
    row.project = TRY(store::homeOf(context.db, request.project(), store::Shared::Volumes));
    row.pool = request.param("name");
    row.name = post.name;
    row.description = post.description;
    row.config = post.config;
    if (post.source.type == "copy")
        return copyVolume(context, request, responder, row, post.source);
    if (post.source.type == "migration") {
        TRY(checkObjectName("storage volume", row.name));
        return migrateVolumeIn(context, request, responder, post.source, row);
    }
    if (!post.source.type.empty() && post.source.type != "none")
        return Error(Code::Unsupported,
                     "a source of type " + quoted(post.source.type) + " is not supported by this version (copy, migration)");
    TRY(context.volumes.create(row));
    const VolumeKey key{row.pool, row.project, row.name};
    publish(context, request.peer.requestor(), "storage-volume-created", key);
    responder.created(urlOfVolume({key.pool, request.project(), key.name}));
    return {};
}

Status volumeChange(Context &context, Request &request, const Responder &responder)
{
    const VolumeKey key = TRY(customVolumeOf(context, request));
    const store::Volume row = TRY(context.volumes.find(key));
    TRY(api::checkEtag(request.ifMatch(), etagOfVolume(row)));
    const auto put = TRY(request.json<api::StorageVolumePut>());
    if (!put.restore.empty()) {
        TRY(context.manager.checkVolumeIdle(key, request.project(), "stop it before restoring"));
        TRY(context.volumes.restore(key, put.restore));
        publish(context, request.peer.requestor(), "storage-volume-restored", key,
                {
        },
                {{"snapshot", put.restore}});
        responder.sync();
        return {};
    }
    const bool replace = request.id() == api::RouteId::VolumePut;
    StringMap config = replace ? StringMap{} : row.config;
    for (const auto &[name, value] : put.config.value_or(StringMap{}))
        config[name] = value;
    TRY(context.volumes.update(key, put.description.value_or(replace ? "" : row.description), config));
    publish(context, request.peer.requestor(), "storage-volume-updated", key);
    responder.sync();
    return {};
}

/// `named`: what the caller calls it then.
Status moveVolume(Context &context, const Request &request, const Responder &responder, const VolumeKey &from,
                  const VolumeKey &to, const VolumeKey &named)
{
    TaskOptions options;
    options.project = request.project();
    options.description = "Moving storage volume";
    options.mayCancel = true;
    options.resources = {
        {"storage_volumes", {urlOfVolume(named)}}
    };
    const auto task = context.operations.run(
        std::move(options), [&context, by = request.peer.requestor(), from, to](Task &running) -> Status {
            TRY(context.volumes.move(from, to, running));
            publish(context, by, "storage-volume-renamed", to,
                    {
            },
                    {{"old_name", from.name}, {"old_pool", from.pool}});
            return {};
        });
    responder.async(task->snapshot(), request.project());
    return {};
}

Status volumePost(Context &context, Request &request, const Responder &responder)
{
    const VolumeKey key = TRY(customVolumeOf(context, request));
    const auto post = TRY(request.json<api::StorageVolumePost>());
    TRY(context.volumes.find(key));
    if (post.migration)
        return migrateVolumeOut(context, request, responder, {key, {}, !post.volumeOnly}, post.target);
    TRY(checkProject(request, post.project));
    TRY(refuseUsed(context, request, key));
    const VolumeKey named{post.pool.empty() ? key.pool : post.pool, post.project.empty() ? request.project() : post.project,
                          post.name.empty() ? key.name : post.name};
    if (!store::findProject(context.db, named.project))
        return Error(Code::NotFound, "Project not found: " + quoted(named.project));
    const VolumeKey to{named.pool, TRY(store::homeOf(context.db, named.project, store::Shared::Volumes)), named.name};
    if (to.pool != key.pool || to.project != key.project) {
        TRY(needPool(context, to.pool));
        return moveVolume(context, request, responder, key, to, named);
    }
    TRY(context.volumes.rename(key, to.name));
    publish(context, request.peer.requestor(), "storage-volume-renamed", to,
            {
    },
            {{"old_name", key.name}});
    responder.created(urlOfVolume(named));
    return {};
}

Status volumeDelete(Context &context, Request &request, const Responder &responder)
{
    const VolumeKey key = TRY(customVolumeOf(context, request));
    TRY(context.volumes.find(key));
    TRY(refuseUsed(context, request, key));
    TRY(context.volumes.remove(key, keepOf(request)));
    context.exports.sweep();
    publish(context, request.peer.requestor(), "storage-volume-deleted", key);
    responder.sync();
    return {};
}

Status volumeState(Context &context, Request &request, const Responder &responder)
{
    api::StorageVolumeState state;
    if (request.param("type") == "container") {
        TRY(needPool(context, request.param("name")));
        const instances::Pools::Use pool = TRY(context.pools.get(request.param("name")));
        state.usage.used = TRY(pool->usage(request.project(), request.param("volume"))).count;
        state.usage.total = TRY(pool->limit(request.project(), request.param("volume"))).value_or(Bytes{}).count;
    } else {
        const auto usage = TRY(context.volumes.usage(TRY(customVolumeOf(context, request))));
        state.usage.used = usage.used.count;
        state.usage.total = usage.limit.value_or(Bytes{}).count;
    }
    responder.sync(state);
    return {};
}

// --- snapshots ---

/// Of a custom volume, or of the instance whose root disk it is.
Result<std::vector<api::StorageVolumeSnapshot>> snapshotsOf(Context &context, const Request &request)
{
    std::vector<api::StorageVolumeSnapshot> snapshots;
    if (request.param("type") == "container") {
        TRY(needPool(context, request.param("name")));
        const VolumeKey key = namedIn(request);
        for (const store::Snapshot &row : TRY(context.manager.snapshots({key.project, key.name})))
            snapshots.push_back(toApi(key.name, row));
        return snapshots;
    }
    const VolumeKey key = TRY(customVolumeOf(context, request));
    for (const store::VolumeSnapshot &row : TRY(context.volumes.snapshots(key)))
        snapshots.push_back(toApi(key, row));
    return snapshots;
}

Status snapshotList(Context &context, Request &request, const Responder &responder)
{
    const VolumeKey key = namedIn(request);
    const auto url = [&](const api::StorageVolumeSnapshot &snapshot) {
        return urlOfVolume(key.pool, request.param("type"), key.name, key.project, snapshot.name.substr(key.name.size() + 1));
    };
    sendList(request, responder, TRY(snapshotsOf(context, request)), url, [](const api::StorageVolumeSnapshot &snapshot) { return snapshot; });
    return {};
}

Status snapshotGet(Context &context, Request &request, const Responder &responder)
{
    if (request.param("type") == "container") {
        const std::string name = request.param("volume") + "/" + request.param("snapshot");
        const auto all = TRY(snapshotsOf(context, request));
        const auto found = std::ranges::find(all, name, &api::StorageVolumeSnapshot::name);
        if (found == all.end())
            return Error(Code::NotFound, "Snapshot not found: " + quoted(name));
        responder.sync(*found);
        return {};
    }
    const VolumeKey key = TRY(customVolumeOf(context, request));
    const store::VolumeSnapshot row = TRY(context.volumes.snapshot(key, request.param("snapshot")));
    responder.sync(api::toJson(toApi(key, row)), etagOfSnapshot(row));
    return {};
}

Status run(Context &context, const Request &request, const Responder &responder, std::string description,
           std::function<Status(Task &)> work)
{
    TaskOptions options;
    options.project = request.project();
    options.description = std::move(description);
    options.resources = {
        {"storage_volumes", {urlOfVolume(namedIn(request))}}
    };
    const auto task = context.operations.run(std::move(options), std::move(work));
    responder.async(task->snapshot(), request.project());
    return {};
}

Status snapshotCreate(Context &context, Request &request, const Responder &responder)
{
    const VolumeKey key = TRY(customVolumeOf(context, request));
    const auto post = TRY(request.json<api::StorageVolumeSnapshotsPost>());
    TRY(context.volumes.find(key));
    if (!post.name.empty())
        TRY(checkObjectName("snapshot", post.name));
    instances::SnapshotRequest wanted;
    wanted.name = post.name;
    if (post.expiresAt)
        wanted.expiresAt = millisOf(*post.expiresAt);
    return run(context, request, responder, "Snapshotting storage volume",
               [&context, by = request.peer.requestor(), key, wanted, description = post.description](Task &task) -> Status {
                   const std::string name = TRY(context.volumes.createSnapshot(key, wanted, description));
                   task.setResources({
                       {"storage_volume_snapshots", {urlOfVolume(key.pool, "custom", key.name, task.project(), name)}}
                   });
                   publish(context, by, "storage-volume-snapshot-created", key, name);
                   return {};
               });
}

Status snapshotChange(Context &context, Request &request, const Responder &responder)
{
    const VolumeKey key = TRY(customVolumeOf(context, request));
    store::VolumeSnapshot row = TRY(context.volumes.snapshot(key, request.param("snapshot")));
    TRY(api::checkEtag(request.ifMatch(), etagOfSnapshot(row)));
    const auto put = TRY(request.json<api::StorageVolumeSnapshotPut>());
    const bool replace = request.id() == api::RouteId::VolumeSnapshotPut;
    row.description = put.description.value_or(replace ? "" : row.description);
    row.expiresAt = put.expiresAt ? millisOf(*put.expiresAt) : replace ? 0 : row.expiresAt;
    TRY(context.volumes.updateSnapshot(key, row));
    publish(context, request.peer.requestor(), "storage-volume-snapshot-updated", key, row.name);
    responder.sync();
    return {};
}

Status snapshotPost(Context &context, Request &request, const Responder &responder)
{
    const VolumeKey key = TRY(customVolumeOf(context, request));
    const auto post = TRY(request.json<api::SnapshotPost>());
    if (post.migration)
        return migrateVolumeOut(context, request, responder, {TRY(customVolumeOf(context, request)), request.param("snapshot"), false}, post.target);
    const std::string from = request.param("snapshot");
    TRY(context.volumes.snapshot(key, from));
    return run(context, request, responder, "Renaming storage volume snapshot",
               [&context, by = request.peer.requestor(), key, from, to = post.name](Task &) -> Status {
                   TRY(context.volumes.renameSnapshot(key, from, to));
                   publish(context, by, "storage-volume-snapshot-renamed", key, to,
                           {
                               {"old_name", from}
                   });
                   return {};
               });
}

Status snapshotDelete(Context &context, Request &request, const Responder &responder)
{
    const VolumeKey key = TRY(customVolumeOf(context, request));
    const std::string name = request.param("snapshot");
    TRY(context.volumes.snapshot(key, name));
    return run(context, request, responder, "Deleting storage volume snapshot",
               [&context, by = request.peer.requestor(), key, name, keep = keepOf(request)](Task &) -> Status {
                   TRY(context.volumes.deleteSnapshot(key, name, keep));
                   publish(context, by, "storage-volume-snapshot-deleted", key, name);
                   return {};
               });
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::VolumeList,           &volumeList    },
    {api::RouteId::VolumeCreate,         &volumeCreate  },
    {api::RouteId::VolumeListOfType,     &volumeList    },
    {api::RouteId::VolumeCreateOfType,   &volumeCreate  },
    {api::RouteId::VolumeGet,            &volumeGet     },
    {api::RouteId::VolumePut,            &volumeChange  },
    {api::RouteId::VolumePatch,          &volumeChange  },
    {api::RouteId::VolumePost,           &volumePost    },
    {api::RouteId::VolumeDelete,         &volumeDelete  },
    {api::RouteId::VolumeStateGet,       &volumeState   },
    {api::RouteId::VolumeSnapshotList,   &snapshotList  },
    {api::RouteId::VolumeSnapshotCreate, &snapshotCreate},
    {api::RouteId::VolumeSnapshotGet,    &snapshotGet   },
    {api::RouteId::VolumeSnapshotPut,    &snapshotChange},
    {api::RouteId::VolumeSnapshotPatch,  &snapshotChange},
    {api::RouteId::VolumeSnapshotPost,   &snapshotPost  },
    {api::RouteId::VolumeSnapshotDelete, &snapshotDelete},
};

} // namespace

std::span<const HandlerRow> volumeHandlers() { return kRows; }

Result<VolumeKey> customVolumeOf(Context &context, const Request &request)
{
    TRY(needPool(context, request.param("name")));
    TRY(needCustom(request));
    VolumeKey key = namedIn(request);
    key.project = TRY(store::homeOf(context.db, key.project, store::Shared::Volumes));
    return key;
}

std::string urlOfCustomVolume(const VolumeKey &key) { return urlOfVolume(key); }

Result<storage::InUse> volumeInUse(Context &context, const VolumeKey &key)
{
    const auto users = TRY(context.manager.instancesWith(key));
    return std::ranges::any_of(users, [](const instances::Described &instance) { return instance.guest.has_value(); }) ? storage::InUse::Yes
                                                                                                                       : storage::InUse::No;
}

void announceVolume(Context &context, const api::Requestor &by, const char *action, const VolumeKey &key)
{
    publishVolume(context, by, {action, key, {}, {}});
}

void publishVolume(Context &context, const api::Requestor &by, const instances::VolumeEvent &event)
{
    api::Lifecycle told;
    told.action = event.action;
    told.source = urlOfVolume(event.key.pool, "custom", event.key.name, event.key.project, event.snapshot);
    told.requestor = by;
    for (const auto &[name, value] : event.context)
        told.context[name] = value;
    context.events.lifecycle(told, event.key.project);
    context.schedulesChanged();
}

} // namespace lxmgr::daemon
