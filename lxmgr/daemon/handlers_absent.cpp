// What clients ask every server for and this one has none of: they get what a server without any says, not "not found".
#include "daemon/context.h"
#include "daemon/project_networks.h"

#include "base/text.h"

namespace lxmgr::daemon
{

namespace
{

Status none(Context &, Request &, const Responder &responder)
{
    responder.sync("[]");
    return {};
}

Status noneOfNetwork(Context &context, Request &request, const Responder &responder)
{
    TRY(checkHasNetworks(context, request));
    TRY(context.networks.find(request.param("name")));
    responder.sync("[]");
    return {};
}

Status noneOfPool(Context &context, Request &request, const Responder &responder)
{
    TRY(store::findPool(context.db, request.param("name")));
    responder.sync("[]");
    return {};
}

/// 500, as LXD answers; clients look at environment.server_clustered first.
Status noCluster(Context &, Request &, const Responder &responder)
{
    responder.error(500, "Server is not clustered");
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::NetworkPeerList, &noneOfNetwork},
    {api::RouteId::NetworkBalancerList, &noneOfNetwork},
    {api::RouteId::NetworkZoneList, &none},
    {api::RouteId::BucketList, &noneOfPool},
    {api::RouteId::ClusterMembers, &noCluster},
};

} // namespace

std::span<const HandlerRow> absentHandlers() { return kRows; }

} // namespace lxmgr::daemon
