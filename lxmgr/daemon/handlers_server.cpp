// The server itself: root, configuration, events, operations, hardware, and what only our own tools ask.
#include "daemon/context.h"

#include "api/envelope.h"
#include "backup/retention.h"
#include "images/export_writer.h"
#include "base/text.h"
#include "config/server_config.h"
#include "daemon/extensions.h"
#include "daemon/resources.h"
#include "kernel/files.h"
#include "store/server_config.h"
#include "version.h"

#include <QTimer>
#include <sys/utsname.h>
#include <unistd.h>

namespace lxmgr::daemon
{

namespace
{

Status root(Context &, Request &, const Responder &responder)
{
    responder.sync(R"(["/1.0"])");
    return {};
}

/// os-release(5): NAME and VERSION_ID.
void fillSystem(api::Environment &environment)
{
    const auto text = files::read("/etc/os-release", 65536);
    for (const std::string &line : split(text ? *text : std::string(), '\n')) {
        const std::size_t equals = line.find('=');
        if (equals == std::string::npos)
            continue;
        std::string value = line.substr(equals + 1);
        if (value.size() >= 2 && value.front() == '"')
            value = value.substr(1, value.size() - 2);
        if (line.substr(0, equals) == "NAME")
            environment.osName = value;
        else if (line.substr(0, equals) == "VERSION_ID")
            environment.osVersion = value;
    }
}

Result<api::Environment> environmentOf(Context &context, const std::string &project)
{
    utsname host{};
    ::uname(&host);
    api::Environment environment;
    environment.architectures = {host.machine};
    if (environment.architectures.front() == "x86_64")
        environment.architectures.emplace_back("i686");
    environment.driverVersion = LXMGR_VERSION;
    environment.firewall = "nftables";
    environment.kernel = host.sysname;
    environment.kernelArchitecture = host.machine;
    environment.kernelFeatures = {{"idmapped_mounts", "true"}, {"seccomp_listener", "true"}, {"unpriv_fscaps", "true"}};
    environment.kernelVersion = host.release;
    fillSystem(environment);
    environment.project = project;
    environment.serverName = host.nodename;
    environment.serverPid = ::getpid();
    environment.serverVersion = LXMGR_VERSION;
    std::vector<std::string> used;
    for (const store::StoragePool &pool : TRY(store::listPools(context.db)))
        if (std::ranges::find(used, pool.driver) == used.end())
            used.push_back(pool.driver);
    environment.storage = join(used, " | ");
    environment.storageVersion = host.release;
    for (const std::string_view driver : storage::Driver::driverNames())
        environment.storageSupportedDrivers.push_back({std::string(driver), host.release, false});
    return environment;
}

Result<api::Json> serverConfig(Context &context)
{
    api::Json config = api::Json::object();
    for (const auto &[key, value] : TRY(store::serverConfig(context.db)))
        config[key] = value;
    return config;
}

Status serverGet(Context &context, Request &request, const Responder &responder)
{
    api::Server server;
    for (const std::string_view extension : kExtensions)
        server.apiExtensions.emplace_back(extension);
    server.authUserName = request.peer.requestor().username;
    server.authUserMethod = "unix";
    server.environment = TRY(environmentOf(context, request.project()));
    server.config = TRY(serverConfig(context));
    responder.sync(api::toJson(server), api::etagOf(server.config.dump()));
    return {};
}

Status serverChange(Context &context, Request &request, const Responder &responder)
{
    const auto put = TRY(request.json<api::ServerPut>());
    TRY(api::checkEtag(request.ifMatch(), api::etagOf(TRY(serverConfig(context)).dump())));
    StringMap config = request.id() == api::RouteId::ServerPut ? StringMap{} : TRY(store::serverConfig(context.db));
    const api::Json::Object *keys = put.config.asObject();
    for (const auto &[key, value] : keys ? *keys : api::Json::Object{}) {
        // Numbers and truths are taken as text, as other servers do.
        const std::string *text = value.asString();
        if (value.isNull())
            config.erase(key);
        else
            config[key] = text ? *text : value.dump();
    }
    const config::ServerConfig typed = TRY(config::parseServerConfig(config));
    TRY_IN("backups.compression_algorithm", images::parseExportCompression(typed.backupsCompression.value_or("")));
    TRY_IN("backups.retention", backup::parseRetention(typed.backupsRetention.value_or("")));
    TRY(store::setServerConfig(context.db, config));
    responder.sync();
    return {};
}

Status events(Context &context, Request &request, const Responder &responder)
{
    const unsigned types = TRY(Events::parseTypes(request.query.value("type")));
    const std::string project = request.query.flag("all-projects") ? std::string() : request.project();
    responder.websocket([&context, types, project](const std::shared_ptr<WebSocket> &socket) { context.events.subscribe(socket, types, project); });
    return {};
}

// --- operations ---

Result<std::shared_ptr<Task>> findTask(Context &context, const Request &request)
{
    auto task = context.operations.find(request.param("id"));
    if (!task)
        return Error(Code::NotFound, "Operation not found");
    return task;
}

Status operationList(Context &context, Request &request, const Responder &responder)
{
    const bool everything = request.query.flag("all-projects");
    std::map<std::string, std::vector<std::shared_ptr<Task>>> byStatus;
    for (const auto &task : context.operations.list())
        if (everything || task->project() == request.project())
            byStatus[lower(task->snapshot().status)].push_back(task);
    std::string json;
    api::JsonWriter writer(json);
    writer.beginObject();
    for (const auto &[status, tasks] : byStatus) {
        writer.key(status);
        writer.beginArray();
        for (const auto &task : tasks) {
            if (request.recursion() == 0)
                writer.string("/1.0/operations/" + task->id());
            else
                writeJson(writer, task->snapshot());
        }
        writer.endArray();
    }
    writer.endObject();
    responder.sync(std::move(json));
    return {};
}

Status operationGet(Context &context, Request &request, const Responder &responder)
{
    responder.sync(TRY(findTask(context, request))->snapshot());
    return {};
}

Status operationDelete(Context &context, Request &request, const Responder &responder)
{
    const auto task = TRY(findTask(context, request));
    TRY(task->cancel());
    responder.sync();
    return {};
}

Status operationWait(Context &context, Request &request, const Responder &responder)
{
    const auto task = TRY(findTask(context, request));
    std::int64_t seconds = -1;
    if (const std::string *text = request.query.find("timeout"))
        seconds = TRY_IN("timeout", parseSigned(*text, -1, 1'000'000));
    const auto answer = [task, responder] { responder.sync(task->snapshot()); };
    task->whenEnded(answer);
    if (seconds >= 0)
        context.server.runOnServerThread([answer, seconds] { QTimer::singleShot(std::chrono::seconds(seconds), answer); });
    return {};
}

Status operationWebsocket(Context &context, Request &request, const Responder &responder)
{
    const auto task = TRY(findTask(context, request));
    auto attach = TRY(task->takeSocket(std::string(request.query.value("secret"))));
    responder.websocket(std::move(attach));
    return {};
}

// --- the host, and what this server has none of ---

Status resources(Context &, Request &, const Responder &responder)
{
    responder.sync(TRY(readResources()).dump());
    return {};
}

Status cluster(Context &, Request &, const Responder &responder)
{
    responder.sync(R"({"server_name":"","enabled":false,"member_config":[]})");
    return {};
}

Status emptyList(Context &, Request &, const Responder &responder)
{
    responder.sync("[]");
    return {};
}

Status internalReady(Context &context, Request &, const Responder &responder)
{
    context.whenReady([responder] { responder.sync(); });
    return {};
}

Status internalShutdown(Context &context, Request &, const Responder &responder)
{
    context.manager.shutdown();
    responder.sync();
    context.quit(false);
    return {};
}

std::string resultName(instances::Found::Result result)
{
    switch (result) {
    case instances::Found::Result::Lost: return "lost";
    case instances::Found::Result::Recovered: return "recovered";
    case instances::Found::Result::Failed: break;
    }
    return "failed";
}

Status internalRecover(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::RecoverPost>());
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const instances::Found &found : TRY(context.manager.recoverLost(post.apply ? instances::Apply::Yes : instances::Apply::No)))
        writeJson(writer, api::Recovered{found.kind, found.project, found.name, found.pool, resultName(found.result), found.message});
    writer.endArray();
    context.schedulesChanged();
    responder.sync(std::move(json));
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::Root, &root},
    {api::RouteId::ServerGet, &serverGet},
    {api::RouteId::ServerPut, &serverChange},
    {api::RouteId::ServerPatch, &serverChange},
    {api::RouteId::Events, &events},
    {api::RouteId::OperationList, &operationList},
    {api::RouteId::OperationGet, &operationGet},
    {api::RouteId::OperationDelete, &operationDelete},
    {api::RouteId::OperationWait, &operationWait},
    {api::RouteId::OperationWebsocket, &operationWebsocket},
    {api::RouteId::Resources, &resources},
    {api::RouteId::Cluster, &cluster},
    {api::RouteId::WarningList, &emptyList},
    {api::RouteId::CertificateList, &emptyList},
    {api::RouteId::InternalReady, &internalReady},
    {api::RouteId::InternalShutdown, &internalShutdown},
    {api::RouteId::InternalRecover, &internalRecover},
};

} // namespace

std::span<const HandlerRow> serverHandlers() { return kRows; }

} // namespace lxmgr::daemon
