// Networks: managed bridges, and the host's own interfaces beside them.
#include "daemon/context.h"
#include "daemon/convert.h"
#include "daemon/project_networks.h"

#include "api/envelope.h"
#include "api/instance_state.h"
#include "api/networks.h"
#include "api/operations.h"
#include "base/text.h"
#include "instances/policy.h"
#include "network/interfaces.h"
#include "network/network.h"

#include <algorithm>
#include <set>

namespace lxmgr::daemon
{

namespace
{

void publish(Context &context, const Request &request, const char *action, const std::string &name, StringMap details = {})
{
    api::Lifecycle event;
    event.action = action;
    event.source = api::routePath(api::RouteId::NetworkGet, {name});
    event.requestor = request.peer.requestor();
    for (const auto &[key, value] : details)
        event.context[key] = value;
    context.events.hostLifecycle(event);
}

using Users = std::map<std::string, std::vector<std::string>>;

void addUsers(Users &users, const DeviceMap &devices, const std::string &url)
{
    std::set<std::string> names;
    for (const auto &[device, keys] : devices)
        if (const auto network = keys.find("network"); network != keys.end())
            names.insert(network->second);
    for (const std::string &name : names)
        users[name].push_back(url);
}

/// URLs of instances and profiles with a NIC on each network.
Result<Users> networkUsers(Context &context)
{
    Users users;
    for (const instances::Described &described : TRY(context.manager.describeAll("")))
        addUsers(users, described.expanded.devices, urlOf("instances", described.row.name, described.row.project));
    for (const store::Profile &profile : TRY(store::listProfiles(context.db, "")))
        addUsers(users, profile.devices, urlOf("profiles", profile.name, profile.project));
    return users;
}

Status checkUnused(Context &context, const std::string &name, const std::string &cure)
{
    const Users users = TRY(networkUsers(context));
    const auto found = users.find(name);
    if (found == users.end())
        return {};
    return Error(Code::WrongState, "network " + quoted(name) + " is used by " + join(found->second, ", ")).hint(cure);
}

api::Network toApi(Context &context, const store::Network &row, Users &users)
{
    api::Network network;
    network.name = row.name;
    network.description = row.description;
    network.config = row.config;
    network.usedBy = std::move(users[row.name]);
    if (context.networks.isBroken(row.name))
        network.status = "Unavailable";
    return network;
}

api::Network unmanaged(const network::Interface &interface)
{
    api::Network network;
    network.name = interface.name;
    network.type = interface.apiType();
    network.managed = false;
    network.status.clear();
    network.locations.reset();
    return network;
}

api::Network shown(const Request &request, api::Network network)
{
    network.usedBy = visibleUrls(request, std::move(network.usedBy));
    return network;
}

Status networkList(Context &context, Request &request, const Responder &responder)
{
    const std::string project = TRY(projectOfNetworks(context, request));
    const bool own = project != store::kDefaultProject;
    const auto managed = TRY(store::listNetworks(context.db, project));
    Users users = request.recursion() == 0 ? Users() : TRY(networkUsers(context));
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    const auto write = [&](const api::Network &network) {
        if (request.recursion() == 0)
            writer.string("/1.0/networks/" + network.name);
        else
            writeJson(writer, network);
    };
    // The host's interfaces are shown where its networks are, as LXD does.
    for (const network::Interface &interface : request.caller.trusted() && !own ? TRY(network::hostInterfaces()) : std::vector<network::Interface>{})
        if (std::ranges::find(managed, interface.name, &store::Network::name) == managed.end() && interface.kind != "veth")
            write(unmanaged(interface));
    for (const store::Network &row : managed)
        write(shown(request, toApi(context, row, users)));
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

/// NotFound also for an interface of the host that is no network of ours.
Result<store::Network> findManaged(Context &context, const Request &request)
{
    TRY(checkHasNetworks(context, request));
    auto row = store::findNetwork(context.db, store::kDefaultProject, request.param("name"));
    if (row || row.error().code != Code::NotFound)
        return row;
    if (request.caller.trusted() && request.id() != api::RouteId::NetworkGet && network::hostInterface(request.param("name")))
        return Error(Code::Invalid, "Network " + quoted(request.param("name")) + " is the host's own and not managed by lxmgr");
    return Error(Code::NotFound, "Network not found");
}

std::string etagOfNetwork(const store::Network &row)
{
    api::Network writable;
    writable.description = row.description;
    writable.config = row.config;
    return api::etagOf(api::toJson(writable));
}

Status networkGet(Context &context, Request &request, const Responder &responder)
{
    TRY(checkHasNetworks(context, request));
    const auto row = findManaged(context, request);
    if (row) {
        Users users = TRY(networkUsers(context));
        responder.sync(api::toJson(shown(request, toApi(context, *row, users))), etagOfNetwork(*row));
        return {};
    }
    if (!request.caller.trusted())
        return row.error();
    const auto interface = network::hostInterface(request.param("name"));
    if (!interface)
        return row.error();
    responder.sync(unmanaged(*interface));
    return {};
}

Status networkCreate(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::NetworkPut>());
    if (!post.type.empty() && post.type != "bridge")
        return Error(Code::Unsupported, "network type " + quoted(post.type) + " is not supported by this version (bridge)");
    TRY(checkMakesNetworks(context, request, "network"));
    store::Network row;
    row.name = post.name;
    row.description = post.description.value_or("");
    row.config = post.config.value_or(StringMap{});
    std::erase_if(row.config, [](const auto &pair) { return pair.second.empty(); });
    TRY(context.networks.create(row));
    publish(context, request, "network-created", row.name);
    responder.created(api::routePath(api::RouteId::NetworkGet, {row.name}));
    return {};
}

Status networkChange(Context &context, Request &request, const Responder &responder)
{
    store::Network row = TRY(findManaged(context, request));
    TRY(api::checkEtag(request.ifMatch(), etagOfNetwork(row)));
    const auto put = TRY(request.json<api::NetworkPut>());
    if (!put.type.empty() && put.type != row.type)
        return Error(Code::Invalid, "the type of network " + quoted(row.name) + " cannot be changed");
    if (request.id() == api::RouteId::NetworkPut) {
        row.description = put.description.value_or("");
        row.config = put.config.value_or(StringMap{});
    } else {
        row.description = put.description.value_or(row.description);
        for (const auto &[name, value] : put.config.value_or(StringMap{}))
            row.config[name] = value;
    }
    std::erase_if(row.config, [](const auto &pair) { return pair.second.empty(); });
    TRY(context.networks.change(row.name, row.description, row.config));
    publish(context, request, "network-updated", row.name);
    responder.sync();
    return {};
}

Status networkRename(Context &context, Request &request, const Responder &responder)
{
    const store::Network row = TRY(findManaged(context, request));
    const auto post = TRY(request.json<api::NetworkPut>());
    TRY(checkUnused(context, row.name, "take it from them first"));
    TRY(context.networks.rename(row.name, post.name));
    publish(context, request, "network-renamed", post.name, {{"old_name", row.name}});
    responder.created(api::routePath(api::RouteId::NetworkGet, {post.name}));
    return {};
}

Status networkDelete(Context &context, Request &request, const Responder &responder)
{
    const store::Network row = TRY(findManaged(context, request));
    TRY(checkUnused(context, row.name, "take it from them first"));
    TRY(context.networks.remove(row.name));
    publish(context, request, "network-deleted", row.name);
    responder.sync();
    return {};
}

Status networkState(Context &context, Request &request, const Responder &responder)
{
    TRY(checkHasNetworks(context, request));
    if (!request.caller.trusted())
        (void)TRY(findManaged(context, request));
    const auto interface = network::hostInterface(request.param("name"));
    if (!interface)
        return Error(Code::NotFound, "Network not found");
    const api::NicState nic = nicState(*interface);
    api::NetworkState state;
    state.addresses = nic.addresses;
    state.counters = nic.counters;
    state.hwaddr = nic.hwaddr;
    state.mtu = nic.mtu;
    state.state = nic.state;
    state.type = nic.type;
    if (interface->kind == "bridge") {
        const netlink::BridgeFacts facts = TRY(netlink::bridgeFacts(interface->name));
        api::BridgeState bridge{facts.id, facts.stp, facts.forwardDelay, facts.vlanDefault, facts.vlanFiltering, {}};
        for (const network::Interface &port : TRY(network::hostInterfaces()))
            if (port.master == interface->index)
                bridge.upperDevices.push_back(port.name);
        state.bridge = std::move(bridge);
    }
    if (interface->kind == "vlan")
        state.vlan = api::VlanState{netlink::linkName(interface->peer), interface->vlan};
    responder.sync(state);
    return {};
}

std::string_view leaseType(network::Lease::Type type)
{
    switch (type) {
    case network::Lease::Type::Static:
        return "static";
    case network::Lease::Type::Gateway:
        return "gateway";
    case network::Lease::Type::Dynamic:
        break;
    }
    return "dynamic";
}

Status networkLeases(Context &context, Request &request, const Responder &responder)
{
    TRY(checkHasNetworks(context, request));
    const network::Network network = TRY(context.networks.find(request.param("name")));
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const network::Lease &lease : TRY(network::leases(network)))
        writeJson(writer, api::NetworkLease{lease.hostname, lease.mac, lease.address, std::string(leaseType(lease.type)), "none"});
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::NetworkList, &networkList},
    {api::RouteId::NetworkCreate, &networkCreate},
    {api::RouteId::NetworkGet, &networkGet},
    {api::RouteId::NetworkPut, &networkChange},
    {api::RouteId::NetworkPatch, &networkChange},
    {api::RouteId::NetworkRename, &networkRename},
    {api::RouteId::NetworkDelete, &networkDelete},
    {api::RouteId::NetworkStateGet, &networkState},
    {api::RouteId::NetworkLeases, &networkLeases},
};

} // namespace

std::span<const HandlerRow> networkHandlers() { return kRows; }

Result<std::string> projectOfNetworks(Context &context, const Request &request)
{
    const bool lists = request.id() == api::RouteId::NetworkList || request.id() == api::RouteId::NetworkAclList;
    if (!lists || !request.query.flag("all-projects"))
        return TRY(instances::hasOwnNetworks(context.db, request.project())) ? request.project() : std::string(store::kDefaultProject);
    for (const std::string &project : request.caller.projects)
        if (!TRY(instances::hasOwnNetworks(context.db, project)))
            return std::string(store::kDefaultProject);
    return request.caller.trusted() || request.caller.projects.empty() ? std::string(store::kDefaultProject) : *request.caller.projects.begin();
}

Status checkHasNetworks(Context &context, const Request &request)
{
    return TRY(instances::hasOwnNetworks(context.db, request.project())) ? Error(Code::NotFound, "Network not found") : Status();
}

Status checkMakesNetworks(Context &context, const Request &request, const std::string &what)
{
    if (!TRY(instances::hasOwnNetworks(context.db, request.project())))
        return {};
    return Error(Code::Invalid, "project " + quoted(request.project()) + " has networks of its own (features.networks=true), and no " + what +
                                    " can be made there: bridges, and what belongs to them, are in project default")
        .hint("make it there (--project default) and give NICs its bridge as parent=, or, while project " + request.project() +
              " is empty: lxmgr project set " + request.project() + " features.networks=false");
}

} // namespace lxmgr::daemon
