// Exports that the server keeps, of instances and of custom volumes: list, get, rename, delete, download.
// handlers_exchange.cpp and handlers_volume_exchange.cpp make them.
#include "api/operations.h"
#include "api/types.h"
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

/// Whose exports a request is about.
struct Subject {
    store::ExportOwner owner;
    std::string project; ///< Of the request.
    std::string home;    ///< Where it lies.
    std::string url;     ///< Of the instance or volume.
    std::map<std::string, std::vector<std::string>> resources;
    instances::InstanceKey instance; ///< Where it is one.
    bool isVolume() const { return owner.kind == store::ExportOwner::Kind::Volume; }
};

Result<Subject> subjectOf(Context &context, const Request &request)
{
    Subject subject;
    subject.project = subject.home = request.project();
    if (request.params.size() > 1 && request.params[1].first == "type") {
        const instances::VolumeKey key = TRY(customVolumeOf(context, request));
        subject.home = key.project;
        subject.owner = TRY(context.volumeExchange.ownerOf(key));
        subject.url = api::routePath(api::RouteId::VolumeGet, {key.pool, "custom", key.name});
        subject.resources = {
            {"storage_volumes", {urlOfCustomVolume({key.pool, subject.project, key.name})}}
        };
    } else {
        subject.instance = keyOf(request);
        subject.owner = {store::ExportOwner::Kind::Instance, TRY(context.manager.describe(subject.instance)).row.id};
        subject.url = api::routePath(api::RouteId::InstanceGet, {subject.instance.name});
        subject.resources = instanceResources(subject.instance);
    }
    return subject;
}

std::string urlOfBackup(const Subject &subject, const std::string &backup, const std::string &project)
{
    std::string url = subject.url + "/backups/" + http::percentEncode(backup);
    if (project != store::kDefaultProject)
        url += "?project=" + http::percentEncode(project);
    return url;
}

void writeBackup(api::JsonWriter &writer, const Subject &subject, const store::Export &row)
{
    if (subject.isVolume())
        writeJson(writer, toVolumeBackup(row));
    else
        writeJson(writer, toApi(row));
}

void publish(Context &context, const Request &request, const Subject &subject, const std::string &verb,
             const std::string &backup, const StringMap &details = {})
{
    api::Lifecycle event;
    event.action = (subject.isVolume() ? "storage-volume-backup-" : "instance-backup-") + verb;
    event.source = urlOfBackup(subject, backup, subject.home);
    event.requestor = request.peer.requestor();
    for (const auto &[name, value] : details)
        event.context[name] = value;
    context.events.lifecycle(event, subject.home);
}

Status list(Context &context, Request &request, const Responder &responder)
{
    const Subject subject = TRY(subjectOf(context, request));
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const store::Export &row : TRY(context.exports.list(subject.owner))) {
        if (request.recursion() == 0)
            writer.string(urlOfBackup(subject, row.name, subject.project));
        else
            writeBackup(writer, subject, row);
    }
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

Status get(Context &context, Request &request, const Responder &responder)
{
    const Subject subject = TRY(subjectOf(context, request));
    std::string json;
    api::JsonWriter writer(json);
    writeBackup(writer, subject, TRY(context.exports.find(subject.owner, request.param("backup"))));
    responder.sync(std::move(json));
    return {};
}

/// `work` as an operation on the export that the request names.
Status operateOn(Context &context, const Subject &subject, const std::string &backup, const Responder &responder,
                 std::string description, std::function<Status()> work)
{
    TRY(context.exports.find(subject.owner, backup));
    TaskOptions options;
    options.project = subject.project;
    options.description = std::move(description);
    options.resources = subject.resources;
    options.resources["backups"] = {urlOfBackup(subject, backup, subject.project)};
    const auto task = context.operations.run(std::move(options), [work = std::move(work)](Task &) { return work(); });
    responder.async(task->snapshot(), subject.project);
    return {};
}

Status rename(Context &context, Request &request, const Responder &responder)
{
    const Subject subject = TRY(subjectOf(context, request));
    const std::string from = request.param("backup");
    const std::string to = TRY(request.json<api::RenamePost>()).name;
    TRY(checkObjectName("backup", to));
    const auto asked = std::make_shared<Request>(std::move(request));
    return operateOn(context, subject, from, responder, "Renaming backup", [&context, asked, subject, from, to]() -> Status {
        TRY(context.exports.rename(subject.owner, from, to));
        publish(context, *asked, subject, "renamed", to, {{"old_name", from}});
        return {};
    });
}

Status remove(Context &context, Request &request, const Responder &responder)
{
    const Subject subject = TRY(subjectOf(context, request));
    const std::string name = request.param("backup");
    const auto asked = std::make_shared<Request>(std::move(request));
    return operateOn(context, subject, name, responder, "Deleting backup", [&context, asked, subject, name]() -> Status {
        TRY(context.exports.remove(subject.owner, name));
        publish(context, *asked, subject, "deleted", name);
        return {};
    });
}

/// It stays whole for who reads it, though it be deleted meanwhile.
Status download(Context &context, Request &request, const Responder &responder)
{
    const Subject subject = TRY(subjectOf(context, request));
    const store::Export row = TRY(context.exports.find(subject.owner, request.param("backup")));
    std::vector<BodyPart> parts;
    parts.emplace_back(FileRange{TRY(context.exports.openFile(row)), 0, static_cast<std::uint64_t>(row.size)});
    responder.raw(200,
                  {
                      {"Content-Type", "application/octet-stream"}
    },
                  std::move(parts));
    publish(context, request, subject, "retrieved", row.name);
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::InstanceBackupList,   &list    },
    {api::RouteId::InstanceBackupGet,    &get     },
    {api::RouteId::InstanceBackupPost,   &rename  },
    {api::RouteId::InstanceBackupDelete, &remove  },
    {api::RouteId::InstanceBackupExport, &download},
    {api::RouteId::VolumeBackupList,     &list    },
    {api::RouteId::VolumeBackupGet,      &get     },
    {api::RouteId::VolumeBackupPost,     &rename  },
    {api::RouteId::VolumeBackupDelete,   &remove  },
    {api::RouteId::VolumeBackupExport,   &download},
};

} // namespace

Result<std::string> keptCompression(store::Database &db)
{
    return TRY(config::parseServerConfig(TRY(store::serverConfig(db)))).backupsCompression.value_or("gzip");
}

std::span<const HandlerRow> keptExportHandlers() { return kRows; }

} // namespace lxmgr::daemon
