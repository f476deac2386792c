// The server itself: root, configuration, events, operations, hardware, and what only our own tools ask.
#include "daemon/context.h"

#include "api/envelope.h"
#include "api/operations.h"
#include "api/server.h"
#include "api/undo.h"
#include "backup/retention.h"
#include "images/export_writer.h"
#include "base/log.h"
#include "base/text.h"
#include "config/server_config.h"
#include "daemon/extensions.h"
#include "hardware/hardware.h"
#include "instances/warnings.h"
#include "kernel/files.h"
#include "store/server_config.h"
#include "tls/password.h"
#include "version.h"

#include <QTimer>
#include <mutex>
#include <set>
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
    environment.addresses = context.https.addresses();
    environment.certificate = context.https.certificate();
    environment.certificateFingerprint = context.https.fingerprint();
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

/// What readers are shown in place of a password.
constexpr std::string_view kHidden = "true";

Result<api::Json> serverConfig(Context &context)
{
    api::Json config = api::Json::object();
    for (const auto &[key, value] : TRY(store::serverConfig(context.db)))
        config[key] = key == config::kTrustPassword ? std::string(kHidden) : value;
    return config;
}

Status serverGet(Context &context, Request &request, const Responder &responder)
{
    api::Server server;
    for (const std::string_view extension : kExtensions)
        server.apiExtensions.emplace_back(extension);
    if (!request.caller.known()) {
        server.auth = "untrusted";
        responder.sync(server);
        return {};
    }
    const api::Requestor requestor = request.peer.requestor();
    server.authUserName = requestor.username;
    server.authUserMethod = requestor.protocol;
    server.environment = TRY(environmentOf(context, request.project()));
    if (request.caller.trusted())
        server.config = TRY(serverConfig(context));
    responder.sync(api::toJson(server), api::etagOf(server.config.dump()));
    return {};
}

void publishChange(Context &context, const Request &request)
{
    api::Lifecycle event;
    event.action = "config-updated";
    event.source = "/1.0";
    event.requestor = request.peer.requestor();
    context.events.hostLifecycle(event);
}

/// A password in `config` becomes its hash. What readers are shown in place of one keeps the one in `stored`, so that a client can
/// write back what it read.
Status hidePassword(StringMap &config, const StringMap &stored)
{
    const std::string key(config::kTrustPassword);
    const auto given = config.find(key);
    const auto kept = stored.find(key);
    if (given == config.end() || (kept != stored.end() && given->second == kept->second))
        return {};
    if (given->second == kHidden) {
        if (kept == stored.end())
            return Error(Code::Invalid, key + ": 'true' is what is shown in place of a password, and none is set");
        given->second = kept->second;
    } else if (given->second.empty()) {
        config.erase(given);
    } else {
        given->second = TRY(tls::hashPassword(given->second));
    }
    return {};
}

Status serverChange(Context &context, Request &request, const Responder &responder)
{
    const auto put = TRY(request.json<api::ServerPut>());
    TRY(api::checkEtag(request.ifMatch(), api::etagOf(TRY(serverConfig(context)).dump())));
    const StringMap stored = TRY(store::serverConfig(context.db));
    StringMap config = request.id() == api::RouteId::ServerPut ? StringMap{} : stored;
    const api::Json::Object *keys = put.config.asObject();
    for (const auto &[key, value] : keys ? *keys : api::Json::Object{}) {
        // Numbers and truths are taken as text, as other servers do.
        const std::string *text = value.asString();
        if (value.isNull())
            config.erase(key);
        else
            config[key] = text ? *text : value.dump();
    }
    TRY(hidePassword(config, stored));
    const config::ServerConfig typed = TRY(config::parseServerConfig(config));
    TRY_IN("backups.compression_algorithm", images::parseExportCompression(typed.backupsCompression.value_or("")));
    TRY_IN("backups.retention", backup::parseRetention(typed.backupsRetention.value_or("")));
    // One change after the other: what is recorded last is also what is listened at.
    static std::mutex oneByOne;
    const std::lock_guard lock(oneByOne);
    const config::ServerConfig before = TRY(config::parseServerConfig(TRY(store::serverConfig(context.db))));
    TRY(context.https.listen(typed.httpsAddress.value_or("")));
    if (const Status recorded = store::setServerConfig(context.db, config); !recorded) {
        if (const Status back = context.https.listen(before.httpsAddress.value_or("")); !back)
            log::error(back.error().message);
        return recorded;
    }
    instances::resolve(context.db, instances::WarningType::HttpsUnavailable, instances::kAboutServer);
    context.trust.setTrustAuthority(typed.trustCaCertificates.value_or(false));
    context.schedulesChanged();
    publishChange(context, request);
    responder.sync();
    return {};
}

Status events(Context &context, Request &request, const Responder &responder)
{
    Events::Wanted wanted;
    wanted.types = TRY(Events::parseTypes(request.query.value("type")));
    wanted.host = request.caller.trusted();
    if (!request.query.flag("all-projects"))
        wanted.projects = {request.project()};
    else if (!request.caller.trusted())
        wanted.projects = request.caller.projects;
    responder.websocket([&context, wanted](const std::shared_ptr<WebSocket> &socket) { context.events.subscribe(socket, wanted); });
    return {};
}

// --- operations ---

/// The one who started it, or one who could do so on the host itself.
bool seesSecrets(const Request &request, const Task &task)
{
    if (request.caller.trusted())
        return true;
    return task.owner() && request.peer.remote() && !request.peer.fingerprint.empty() && task.owner()->fingerprint == request.peer.fingerprint;
}

/// To a stranger an operation is there only if he shows one of its secrets.
bool visible(const Request &request, const Task &task)
{
    if (task.knows(std::string(request.query.value("secret"))))
        return true;
    return request.caller.trusted() || (request.caller.mayUse(task.project()) && task.snapshot().operationClass != "token");
}

api::Operation shown(const Request &request, const Task &task) { return seesSecrets(request, task) ? task.snapshot() : task.publicSnapshot(); }

Result<std::shared_ptr<Task>> findTask(Context &context, const Request &request)
{
    auto task = context.operations.find(request.param("id"));
    if (!task || !visible(request, *task))
        return Error(Code::NotFound, "Operation not found");
    return task;
}

Status operationList(Context &context, Request &request, const Responder &responder)
{
    const bool everything = request.query.flag("all-projects");
    std::map<std::string, std::vector<std::shared_ptr<Task>>> byStatus;
    for (const auto &task : context.operations.list())
        if (visible(request, *task) && (everything || task->project() == request.project()))
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
                writeJson(writer, shown(request, *task));
        }
        writer.endArray();
    }
    writer.endObject();
    responder.sync(std::move(json));
    return {};
}

Status operationGet(Context &context, Request &request, const Responder &responder)
{
    responder.sync(shown(request, *TRY(findTask(context, request))));
    return {};
}

Status operationDelete(Context &context, Request &request, const Responder &responder)
{
    const auto task = TRY(findTask(context, request));
    TRY(task->cancel());
    api::Lifecycle event;
    event.action = "operation-cancelled";
    event.source = urlOf("operations", task->id(), task->project());
    event.requestor = request.peer.requestor();
    context.events.lifecycle(event, task->project());
    responder.sync();
    return {};
}

Status operationWait(Context &context, Request &request, const Responder &responder)
{
    const auto task = TRY(findTask(context, request));
    std::int64_t seconds = -1;
    if (const std::string *text = request.query.find("timeout"))
        seconds = TRY_IN("timeout", parseSigned(*text, -1, 1'000'000));
    const bool secrets = seesSecrets(request, *task);
    const auto answer = [task, responder, secrets] { responder.sync(secrets ? task->snapshot() : task->publicSnapshot()); };
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

Status resources(Context &, Request &request, const Responder &responder)
{
    api::Resources found = hardware::read({});
    responder.sync(request.caller.trusted() ? found : hardware::anonymous(std::move(found)));
    return {};
}

Status cluster(Context &, Request &, const Responder &responder)
{
    responder.sync(R"({"server_name":"","enabled":false,"member_config":[]})");
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
    {api::RouteId::InternalReady, &internalReady},
    {api::RouteId::InternalShutdown, &internalShutdown},
    {api::RouteId::InternalRecover, &internalRecover},
};

} // namespace

std::span<const HandlerRow> serverHandlers() { return kRows; }

} // namespace lxmgr::daemon
