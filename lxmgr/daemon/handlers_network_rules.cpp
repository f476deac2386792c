// Forwards of networks, access control lists, and what the doctor finds.
#include "daemon/context.h"
#include "daemon/convert.h"
#include "daemon/lists.h"
#include "daemon/project_networks.h"

#include "api/envelope.h"
#include "api/network_rules.h"
#include "api/operations.h"
#include "base/text.h"
#include "instances/policy.h"
#include "network/network.h"
#include "store/profiles.h"

namespace lxmgr::daemon
{

namespace
{

void publish(Context &context, const Request &request, const char *action, const std::string &url, StringMap details = {})
{
    api::Lifecycle event;
    event.action = action;
    event.source = url;
    event.requestor = request.peer.requestor();
    for (const auto &[key, value] : details)
        event.context[key] = value;
    context.events.hostLifecycle(event);
}

void merge(StringMap &config, const std::optional<StringMap> &changes, bool replace)
{
    if (replace)
        config.clear();
    for (const auto &[key, value] : changes.value_or(StringMap{}))
        config[key] = value;
    std::erase_if(config, [](const auto &pair) { return pair.second.empty(); });
}

// --- forwards ---

std::string urlOfForward(const std::string &network, const std::string &address)
{
    return api::routePath(api::RouteId::NetworkForwardGet, {network, address});
}

api::NetworkForward toApi(const store::NetworkForward &row)
{
    return {row.listenAddress, row.description, row.config, row.ports};
}

Status forwardList(Context &context, Request &request, const Responder &responder)
{
    TRY(checkHasNetworks(context, request));
    const std::string &network = request.param("name");
    const auto rows = TRY(context.networks.forwards(network));
    const auto url = [&](const store::NetworkForward &row) { return urlOfForward(network, row.listenAddress); };
    sendList(request, responder, rows, url, [](const store::NetworkForward &row) { return toApi(row); });
    return {};
}

Status forwardCreate(Context &context, Request &request, const Responder &responder)
{
    TRY(checkHasNetworks(context, request));
    const auto post = TRY(request.json<api::NetworkForwardPut>());
    store::NetworkForward row;
    row.listenAddress = post.listenAddress;
    row.description = post.description.value_or("");
    merge(row.config, post.config, true);
    row.ports = post.ports.value_or(api::Rows{});
    const std::string url = urlOfForward(request.param("name"), TRY(context.networks.createForward(request.param("name"), row)));
    publish(context, request, "network-forward-created", url);
    responder.created(url);
    return {};
}

Status forwardGet(Context &context, Request &request, const Responder &responder)
{
    TRY(checkHasNetworks(context, request));
    const std::string json = api::toJson(toApi(TRY(context.networks.findForward(request.param("name"), request.param("address")))));
    responder.sync(json, api::etagOf(json));
    return {};
}

Status forwardChange(Context &context, Request &request, const Responder &responder)
{
    TRY(checkHasNetworks(context, request));
    store::NetworkForward row = TRY(context.networks.findForward(request.param("name"), request.param("address")));
    TRY(api::checkEtag(request.ifMatch(), api::etagOf(api::toJson(toApi(row)))));
    const auto put = TRY(request.json<api::NetworkForwardPut>());
    const bool replace = request.id() == api::RouteId::NetworkForwardPut;
    row.description = put.description.value_or(replace ? "" : row.description);
    merge(row.config, put.config, replace);
    row.ports = put.ports.value_or(replace ? api::Rows{} : row.ports);
    TRY(context.networks.changeForward(request.param("name"), row));
    publish(context, request, "network-forward-updated", urlOfForward(request.param("name"), row.listenAddress));
    responder.sync();
    return {};
}

Status forwardDelete(Context &context, Request &request, const Responder &responder)
{
    TRY(checkHasNetworks(context, request));
    TRY(context.networks.removeForward(request.param("name"), request.param("address")));
    publish(context, request, "network-forward-deleted", urlOfForward(request.param("name"), request.param("address")));
    responder.sync();
    return {};
}

// --- access control lists ---

std::string urlOfAcl(const std::string &name) { return api::routePath(api::RouteId::NetworkAclGet, {name}); }

struct UsedAcl {
    store::NetworkAcl row;
    std::vector<std::string> users; ///< URLs.
};

/// URLs of networks, and of instances and profiles with a card, that each list is used by.
Result<std::map<std::string, std::vector<std::string>>> aclUsers(Context &context, const Request &request)
{
    std::map<std::string, std::vector<std::string>> users;
    for (const auto &[acl, networks] : TRY(context.networks.aclUsers()))
        for (const std::string &network : networks)
            users[acl].push_back(api::routePath(api::RouteId::NetworkGet, {network}));
    for (const instances::Described &described : TRY(context.manager.describeAll("")))
        for (const std::string &acl : instances::listsOf(described.expanded.devices))
            users[acl].push_back(urlOf("instances", described.row.name, described.row.project));
    for (const store::Profile &profile : TRY(store::listProfiles(context.db, "")))
        for (const std::string &acl : instances::listsOf(profile.devices))
            users[acl].push_back(urlOf("profiles", profile.name, profile.project));
    for (auto &[acl, urls] : users)
        urls = visibleUrls(request, std::move(urls));
    return users;
}

api::NetworkAcl toApi(const UsedAcl &acl)
{
    api::NetworkAcl out{acl.row.name, acl.row.description, acl.row.ingress, acl.row.egress, acl.row.config, {}};
    out.usedBy = acl.users;
    return out;
}

std::string etagOfAcl(const store::NetworkAcl &row) { return api::etagOf(api::toJson(toApi(UsedAcl{row, {}}))); }

Result<store::NetworkAcl> findAcl(Context &context, const Request &request)
{
    auto row = store::findAcl(context.db, TRY(projectOfNetworks(context, request)), request.param("name"));
    if (!row && row.error().code == Code::NotFound)
        return Error(Code::NotFound, "Network ACL not found");
    return row;
}

Status aclList(Context &context, Request &request, const Responder &responder)
{
    auto users = TRY(aclUsers(context, request));
    std::vector<UsedAcl> acls;
    for (store::NetworkAcl &row : TRY(store::listAcls(context.db, TRY(projectOfNetworks(context, request))))) {
        std::vector<std::string> own = std::move(users[row.name]);
        acls.push_back({std::move(row), std::move(own)});
    }
    const auto url = [](const UsedAcl &acl) { return urlOfAcl(acl.row.name); };
    sendList(request, responder, acls, url, [](const UsedAcl &acl) { return toApi(acl); });
    return {};
}

Status aclCreate(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::NetworkAclPut>());
    TRY(checkMakesNetworks(context, request, "access control list"));
    store::NetworkAcl row;
    row.name = post.name;
    row.description = post.description.value_or("");
    merge(row.config, post.config, true);
    row.ingress = post.ingress.value_or(api::Rows{});
    row.egress = post.egress.value_or(api::Rows{});
    TRY(context.networks.createAcl(row));
    publish(context, request, "network-acl-created", urlOfAcl(row.name));
    responder.created(urlOfAcl(row.name));
    return {};
}

Status aclGet(Context &context, Request &request, const Responder &responder)
{
    const store::NetworkAcl row = TRY(findAcl(context, request));
    auto users = TRY(aclUsers(context, request));
    responder.sync(api::toJson(toApi(UsedAcl{row, users[row.name]})), etagOfAcl(row));
    return {};
}

Status aclChange(Context &context, Request &request, const Responder &responder)
{
    store::NetworkAcl row = TRY(findAcl(context, request));
    TRY(api::checkEtag(request.ifMatch(), etagOfAcl(row)));
    const auto put = TRY(request.json<api::NetworkAclPut>());
    const bool replace = request.id() == api::RouteId::NetworkAclPut;
    row.description = put.description.value_or(replace ? "" : row.description);
    merge(row.config, put.config, replace);
    row.ingress = put.ingress.value_or(replace ? api::Rows{} : row.ingress);
    row.egress = put.egress.value_or(replace ? api::Rows{} : row.egress);
    TRY(context.networks.changeAcl(row));
    publish(context, request, "network-acl-updated", urlOfAcl(row.name));
    responder.sync();
    return {};
}

Status aclRename(Context &context, Request &request, const Responder &responder)
{
    const store::NetworkAcl row = TRY(findAcl(context, request));
    const auto post = TRY(request.json<api::NetworkAclPut>());
    TRY(context.networks.renameAcl(row.project, row.name, post.name));
    publish(context, request, "network-acl-renamed", urlOfAcl(post.name), {{"old_name", row.name}});
    responder.created(urlOfAcl(post.name));
    return {};
}

Status aclDelete(Context &context, Request &request, const Responder &responder)
{
    const store::NetworkAcl row = TRY(findAcl(context, request));
    TRY(context.networks.removeAcl(row.project, row.name));
    publish(context, request, "network-acl-deleted", urlOfAcl(row.name));
    responder.sync();
    return {};
}

// --- doctor ---

Status networkDoctor(Context &context, Request &request, const Responder &responder)
{
    TRY(checkHasNetworks(context, request));
    const network::Network network = TRY(context.networks.find(request.param("name")));
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    std::vector<network::Problem> problems = network::diagnose(network);
    std::ranges::move(TRY(context.networks.proxyProblems(network.name)), std::back_inserter(problems));
    for (const network::Problem &problem : problems)
        writeJson(writer, api::NetworkProblem{problem.what, problem.cause, problem.cure});
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::NetworkForwardList, &forwardList},
    {api::RouteId::NetworkForwardCreate, &forwardCreate},
    {api::RouteId::NetworkForwardGet, &forwardGet},
    {api::RouteId::NetworkForwardPut, &forwardChange},
    {api::RouteId::NetworkForwardPatch, &forwardChange},
    {api::RouteId::NetworkForwardDelete, &forwardDelete},
    {api::RouteId::NetworkAclList, &aclList},
    {api::RouteId::NetworkAclCreate, &aclCreate},
    {api::RouteId::NetworkAclGet, &aclGet},
    {api::RouteId::NetworkAclPut, &aclChange},
    {api::RouteId::NetworkAclPatch, &aclChange},
    {api::RouteId::NetworkAclRename, &aclRename},
    {api::RouteId::NetworkAclDelete, &aclDelete},
    {api::RouteId::NetworkDoctor, &networkDoctor},
};

} // namespace

std::span<const HandlerRow> networkRuleHandlers() { return kRows; }

} // namespace lxmgr::daemon
