// The one table of handlers, put together from the families' rows.
#include "daemon/context.h"

#include "http/target.h"

namespace lxmgr::daemon
{

Result<HandlerTable> handlerTable()
{
    HandlerTable table{};
    for (const auto rows : {serverHandlers(), instanceHandlers(), executionHandlers(), fileHandlers(), imageHandlers(), configurationHandlers()})
        for (const HandlerRow &row : rows)
            table[static_cast<std::size_t>(row.route)] = row.handler;
    for (std::size_t i = 0; i < table.size(); ++i)
        if (!table[i])
            return Error(Code::Internal, "route " + std::string(api::kRoutes[i].pattern) + " has no handler");
    return table;
}

std::string urlOf(std::string_view collection, const std::string &name, const std::string &project)
{
    std::string url = "/1.0/" + std::string(collection) + "/" + http::percentEncode(name);
    if (project != store::kDefaultProject)
        url += "?project=" + http::percentEncode(project);
    return url;
}

std::map<std::string, std::vector<std::string>> instanceResources(const instances::InstanceKey &key)
{
    return {{"instances", {urlOf("instances", key.name, key.project)}}, {"containers", {urlOf("containers", key.name, key.project)}}};
}

} // namespace lxmgr::daemon
