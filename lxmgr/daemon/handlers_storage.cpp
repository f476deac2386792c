// Storage pools.
#include "api/envelope.h"
#include "api/operations.h"
#include "api/storage.h"
#include "base/text.h"
#include "daemon/context.h"
#include "daemon/convert.h"
#include "daemon/lists.h"
#include "storage/available.h"

#include <algorithm>

namespace lxmgr::daemon
{

namespace
{

std::string urlOfPool(const std::string &name) { return api::routePath(api::RouteId::PoolGet, {name}); }

void publish(Context &context, const Request &request, const char *action, const std::string &url)
{
    api::Lifecycle event;
    event.action = action;
    event.source = url;
    event.requestor = request.peer.requestor();
    context.events.hostLifecycle(event);
}

bool usesPool(const DeviceMap &devices, const std::string &pool)
{
    return std::ranges::any_of(devices, [&](const auto &device) {
        const auto found = device.second.find("pool");
        return found != device.second.end() && found->second == pool;
    });
}

/// URLs of what lies in each pool, and of the profiles that put instances there.
Result<std::map<std::string, std::vector<std::string>>> poolUsers(Context &context)
{
    std::map<std::string, std::vector<std::string>> users;
    for (const store::Instance &instance : TRY(store::listInstances(context.db, "")))
        users[instance.pool].push_back(urlOf("instances", instance.name, instance.project));
    for (const store::Volume &volume : TRY(store::listVolumes(context.db, "", "")))
        users[volume.pool].push_back(api::routePath(api::RouteId::VolumeGet, {volume.pool, "custom", volume.name}) +
                                     (volume.project == store::kDefaultProject ? "" : "?project=" + volume.project));
    const auto profiles = TRY(store::listProfiles(context.db, ""));
    for (const store::StoragePool &pool : TRY(store::listPools(context.db)))
        for (const store::Profile &profile : profiles)
            if (usesPool(profile.devices, pool.name))
                users[pool.name].push_back(urlOf("profiles", profile.name, profile.project));
    return users;
}

Result<store::StoragePool> findPool(Context &context, const Request &request)
{
    auto row = store::findPool(context.db, request.param("name"));
    if (!row && row.error().code == Code::NotFound)
        return Error(Code::NotFound, "Storage pool not found");
    return row;
}

api::StoragePool toApi(Context &context, const store::StoragePool &row, std::vector<std::string> users)
{
    api::StoragePool pool;
    pool.name = row.name;
    pool.description = row.description;
    pool.driver = row.driver;
    pool.config = context.pools.shownConfig(row);
    pool.usedBy = std::move(users);
    if (!context.pools.get(row.name))
        pool.status = "Unavailable";
    return pool;
}

std::string etagOfPool(Context &context, const store::StoragePool &row)
{
    api::StoragePool writable;
    writable.description = row.description;
    writable.config = context.pools.shownConfig(row);
    return api::etagOf(api::toJson(writable));
}

/// Where a pool lies on the host is for the host's own people.
api::StoragePool shown(const Request &request, api::StoragePool pool)
{
    pool.usedBy = visibleUrls(request, std::move(pool.usedBy));
    if (!request.caller.trusted())
        pool.config.clear();
    return pool;
}

Status poolList(Context &context, Request &request, const Responder &responder)
{
    auto users = TRY(poolUsers(context));
    const auto rows = TRY(store::listPools(context.db));
    sendList(request, responder, rows, [](const store::StoragePool &row) { return urlOfPool(row.name); },
             [&](const store::StoragePool &row) { return shown(request, toApi(context, row, std::move(users[row.name]))); });
    return {};
}

Status poolGet(Context &context, Request &request, const Responder &responder)
{
    const store::StoragePool row = TRY(findPool(context, request));
    auto users = TRY(poolUsers(context));
    responder.sync(api::toJson(shown(request, toApi(context, row, std::move(users[row.name])))), etagOfPool(context, row));
    return {};
}

Status poolCreate(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::StoragePoolPut>());
    store::StoragePool row;
    row.name = post.name;
    row.driver = post.driver;
    row.description = post.description.value_or("");
    row.config = post.config.value_or(StringMap{});
    if (row.driver.empty())
        return Error(Code::Invalid, "the driver is missing (such as overlay, dir or btrfs)");
    TRY(context.pools.create(row));
    publish(context, request, "storage-pool-created", urlOfPool(row.name));
    responder.created(urlOfPool(row.name));
    return {};
}

Status poolChange(Context &context, Request &request, const Responder &responder)
{
    const store::StoragePool row = TRY(findPool(context, request));
    TRY(api::checkEtag(request.ifMatch(), etagOfPool(context, row)));
    const auto put = TRY(request.json<api::StoragePoolPut>());
    if (!put.driver.empty() && put.driver != row.driver)
        return Error(Code::Invalid, "the driver of storage pool " + quoted(row.name) + " cannot be changed");
    const bool replace = request.id() == api::RouteId::PoolPut;
    StringMap config = replace ? StringMap{} : row.config;
    for (const auto &[key, value] : put.config.value_or(StringMap{}))
        config[key] = value;
    TRY(context.pools.change(row.name, put.description.value_or(replace ? "" : row.description), config));
    publish(context, request, "storage-pool-updated", urlOfPool(row.name));
    responder.sync();
    return {};
}

Status poolDelete(Context &context, Request &request, const Responder &responder)
{
    const store::StoragePool row = TRY(findPool(context, request));
    const auto users = TRY(poolUsers(context));
    if (const auto found = users.find(row.name); found != users.end())
        return Error(Code::WrongState, "storage pool " + quoted(row.name) + " is used by " + join(found->second, ", "));
    TRY(context.pools.remove(row.name));
    context.exports.sweep(); // of what could be undone in it
    publish(context, request, "storage-pool-deleted", urlOfPool(row.name));
    responder.sync();
    return {};
}

Status poolDetach(Context &context, Request &request, const Responder &responder)
{
    TRY(checkNoBody(request));
    const store::StoragePool row = TRY(findPool(context, request));
    TRY(context.manager.detachPool(row.name));
    publish(context, request, "storage-pool-deleted", urlOfPool(row.name));
    responder.sync();
    return {};
}

Status poolResources(Context &context, Request &request, const Responder &responder)
{
    const instances::Pools::Use pool = TRY(context.pools.get(request.param("name")));
    const storage::Space space = TRY(pool->space());
    api::StorageResources resources;
    resources.space = {space.used.count, space.total.count};
    resources.inodes = {space.inodesTotal - space.inodesFree, space.inodesTotal};
    responder.sync(resources);
    return {};
}

Status driverList(Context &context, Request &, const Responder &responder)
{
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const storage::DriverState &state : storage::driverStates(context.paths.stateDir))
        writeJson(writer, api::StorageDriverState{std::string(state.name), std::string(state.summary), state.available,
                                                  state.reason});
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::PoolList,      &poolList     },
    {api::RouteId::PoolCreate,    &poolCreate   },
    {api::RouteId::PoolGet,       &poolGet      },
    {api::RouteId::PoolPut,       &poolChange   },
    {api::RouteId::PoolPatch,     &poolChange   },
    {api::RouteId::PoolDelete,    &poolDelete   },
    {api::RouteId::PoolDetach,    &poolDetach   },
    {api::RouteId::PoolResources, &poolResources},
    {api::RouteId::DriverList,    &driverList   },
};

} // namespace

std::span<const HandlerRow> storageHandlers() { return kRows; }

} // namespace lxmgr::daemon
