// Warnings: what the server has found amiss; seen, acknowledged and forgotten by administrators.
#include "daemon/context.h"
#include "daemon/convert.h"
#include "daemon/lists.h"

#include "api/envelope.h"
#include "api/operations.h"
#include "api/warnings.h"
#include "base/text.h"
#include "store/warnings.h"

#include <array>

namespace lxmgr::daemon
{

namespace
{

using store::WarningStatus;
using Kind = store::WarningSubject::Kind;

constexpr std::array<std::string_view, 3> kStatusWords = {"new", "acknowledged", "resolved"}; // as the enum has them

std::string urlOfSubject(const store::Warning &row)
{
    switch (row.subject.kind) {
    case Kind::Server: return {};
    case Kind::Instance: return urlOf("instances", row.name, row.project);
    case Kind::Pool: return urlOf("storage-pools", row.name, store::kDefaultProject);
    case Kind::Network: return urlOf("networks", row.name, row.project);
    case Kind::Image: return urlOf("images", row.name, row.project);
    case Kind::Volume: return urlOfCustomVolume({row.pool, row.project, row.name});
    }
    return {};
}

std::string urlOfWarning(const std::string &uuid) { return api::routePath(api::RouteId::WarningGet, {uuid}); }

api::Warning toApi(const store::Warning &row)
{
    api::Warning warning;
    warning.uuid = row.uuid;
    warning.location = "none"; // as of every server that is in no cluster
    warning.project = row.project;
    warning.type = row.type;
    warning.count = row.count;
    warning.firstSeenAt = timeOf(row.firstSeen);
    warning.lastSeenAt = timeOf(row.lastSeen);
    warning.lastMessage = row.message;
    warning.severity = api::warningSeverity(row.type);
    warning.status = kStatusWords[static_cast<std::size_t>(row.status)];
    warning.entityUrl = urlOfSubject(row);
    return warning;
}

Result<store::Warning> warningOf(Context &context, const Request &request)
{
    auto row = store::findWarning(context.db, request.param("uuid"));
    return row || row.error().code != Code::NotFound ? std::move(row) : Error(Code::NotFound, "Warning not found");
}

Status list(Context &context, Request &request, const Responder &responder)
{
    const std::string *const project = request.query.find("project"); // those of all, and of none, where it is not said
    auto rows = TRY(store::listWarnings(context.db));
    std::erase_if(rows, [&](const store::Warning &row) { return project && row.project != *project; });
    sendList(request, responder, rows, [](const store::Warning &row) { return urlOfWarning(row.uuid); }, toApi);
    return {};
}

Status get(Context &context, Request &request, const Responder &responder)
{
    const std::string json = api::toJson(toApi(TRY(warningOf(context, request))));
    responder.sync(json, api::etagOf(json));
    return {};
}

void publish(Context &context, const Request &request, const char *action, const std::string &uuid)
{
    api::Lifecycle event;
    event.action = action;
    event.source = urlOfWarning(uuid);
    event.requestor = request.peer.requestor();
    context.events.hostLifecycle(event);
}

Status change(Context &context, Request &request, const Responder &responder)
{
    const store::Warning row = TRY(warningOf(context, request));
    TRY(api::checkEtag(request.ifMatch(), api::etagOf(api::toJson(toApi(row)))));
    const auto put = TRY(request.json<api::WarningPut>());
    if (put.status != "new" && put.status != "acknowledged")
        return Error(Code::Invalid, R"(Status may only be set to "acknowledged" or "new")");
    const bool acknowledged = put.status == "acknowledged";
    TRY(store::setWarningStatus(context.db, row.uuid, acknowledged ? WarningStatus::Acknowledged : WarningStatus::New));
    publish(context, request, acknowledged ? "warning-acknowledged" : "warning-reset", row.uuid);
    responder.sync();
    return {};
}

Status forget(Context &context, Request &request, const Responder &responder)
{
    const store::Warning row = TRY(warningOf(context, request));
    TRY(store::deleteWarning(context.db, row.uuid));
    publish(context, request, "warning-deleted", row.uuid);
    responder.sync();
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::WarningList, &list},
    {api::RouteId::WarningGet, &get},
    {api::RouteId::WarningPut, &change},
    {api::RouteId::WarningPatch, &change},
    {api::RouteId::WarningDelete, &forget},
};

} // namespace

std::span<const HandlerRow> warningHandlers() { return kRows; }

} // namespace lxmgr::daemon
