// The one table of handlers, put together from the families' rows.
#include "daemon/context.h"

#include "base/text.h"
#include "http/target.h"

namespace lxmgr::daemon
{

Result<HandlerTable> handlerTable()
{
    HandlerTable table{};
    for (const auto rows : {serverHandlers(), certificateHandlers(), instanceHandlers(), snapshotHandlers(), exchangeHandlers(), keptExportHandlers(),
                            volumeExchangeHandlers(), backupHandlers(), executionHandlers(), fileHandlers(), diffHandlers(),
                            imageHandlers(), imageSourceHandlers(), configurationHandlers(), profileHandlers(), networkHandlers(), networkRuleHandlers(),
                            storageHandlers(), volumeHandlers(), undoHandlers(), warningHandlers(), metadataHandlers(), metricsHandlers(), absentHandlers()})
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

Status checkProject(const Request &request, const std::string &project)
{
    if (project.empty() || request.caller.mayUse(project))
        return {};
    return Error(Code::NotFound, "Project not found: " + quoted(project));
}

Status checkNoBody(const Request &request)
{
    const api::Json body = request.body.empty() ? api::Json() : TRY_IN("request body", api::Json::parse(request.body));
    if (!body.isNull() && (!body.asObject() || !body.asObject()->empty()))
        return Error(Code::Invalid, "request body: this request takes none ({})");
    return {};
}

std::vector<std::string> visibleUrls(const Request &request, std::vector<std::string> urls)
{
    if (request.caller.trusted())
        return urls;
    std::erase_if(urls, [&](const std::string &url) {
        const auto target = http::parseTarget(url);
        const std::string_view project = target ? target->query.value("project") : std::string_view();
        return !request.caller.mayUse(project.empty() ? std::string_view(store::kDefaultProject) : project);
    });
    return urls;
}

Status operate(Context &context, const Request &request, const Responder &responder, std::string description,
               std::function<Status(Task &)> work, bool mayCancel, std::map<std::string, std::vector<std::string>> resources)
{
    const instances::InstanceKey key = keyOf(request);
    TRY(context.manager.describe(key));
    TaskOptions options;
    options.project = key.project;
    options.description = std::move(description);
    options.resources = instanceResources(key);
    options.resources.merge(std::move(resources));
    options.mayCancel = mayCancel;
    const auto task = context.operations.run(std::move(options), std::move(work));
    if (mayCancel)
        task->setOnCancel([&context] { context.manager.wakeWaiters(); });
    responder.async(task->snapshot(), key.project);
    return {};
}

std::map<std::string, std::vector<std::string>> instanceResources(const instances::InstanceKey &key)
{
    return {{"instances", {urlOf("instances", key.name, key.project)}}, {"containers", {urlOf("containers", key.name, key.project)}}};
}

} // namespace lxmgr::daemon
