// Exports that the server keeps: list, get, rename, delete, download. handlers_exchange.cpp makes them.
#include "base/text.h"
#include "config/server_config.h"
#include "daemon/context.h"
#include "daemon/convert.h"
#include "http/target.h"
#include "store/server_config.h"

namespace lxmgr::daemon
{

namespace
{

using instances::InstanceKey;

std::map<std::string, std::vector<std::string>> resourcesOf(const InstanceKey &key, const std::string &backup)
{
    return {
        {"backups", {urlOfBackup(key, backup)}}
    };
}

Status list(Context &context, Request &request, const Responder &responder)
{
    const InstanceKey key = keyOf(request);
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const store::Export &row : TRY(context.manager.keptExports(key))) {
        if (request.recursion() == 0)
            writer.string(urlOfBackup(key, row.name));
        else
            writeJson(writer, toApi(row));
    }
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

Status get(Context &context, Request &request, const Responder &responder)
{
    responder.sync(toApi(TRY(context.manager.keptExport(keyOf(request), request.param("backup")))));
    return {};
}

Status rename(Context &context, Request &request, const Responder &responder)
{
    const InstanceKey key = keyOf(request);
    const std::string from = request.param("backup");
    const std::string to = TRY(request.json<api::RenamePost>()).name;
    TRY(checkObjectName("backup", to));
    TRY(context.manager.keptExport(key, from));
    return operate(context, request, responder, "Renaming instance backup",
                   [&context, key, from, to](Task &) { return context.manager.renameKeptExport(key, from, to); }, false,
                   resourcesOf(key, from));
}

Status remove(Context &context, Request &request, const Responder &responder)
{
    const InstanceKey key = keyOf(request);
    const std::string name = request.param("backup");
    TRY(context.manager.keptExport(key, name));
    return operate(context, request, responder, "Deleting instance backup",
                   [&context, key, name](Task &) { return context.manager.deleteKeptExport(key, name); }, false,
                   resourcesOf(key, name));
}

/// It stays whole for who reads it, though it be deleted meanwhile.
Status download(Context &context, Request &request, const Responder &responder)
{
    const InstanceKey key = keyOf(request);
    const store::Export row = TRY(context.manager.keptExport(key, request.param("backup")));
    std::vector<BodyPart> parts;
    parts.emplace_back(FileRange{TRY(context.exports.openFile(row)), 0, static_cast<std::uint64_t>(row.size)});
    responder.raw(200,
                  {
                      {"Content-Type", "application/octet-stream"}
    },
                  std::move(parts));
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::InstanceBackupList,   &list    },
    {api::RouteId::InstanceBackupGet,    &get     },
    {api::RouteId::InstanceBackupPost,   &rename  },
    {api::RouteId::InstanceBackupDelete, &remove  },
    {api::RouteId::InstanceBackupExport, &download},
};

} // namespace

std::string urlOfBackup(const InstanceKey &key, const std::string &backup)
{
    std::string url = api::routePath(api::RouteId::InstanceBackupGet, {key.name, backup});
    if (key.project != store::kDefaultProject)
        url += "?project=" + http::percentEncode(key.project);
    return url;
}

Result<std::string> keptCompression(store::Database &db)
{
    return TRY(config::parseServerConfig(TRY(store::serverConfig(db)))).backupsCompression.value_or("gzip");
}

std::span<const HandlerRow> keptExportHandlers() { return kRows; }

} // namespace lxmgr::daemon
