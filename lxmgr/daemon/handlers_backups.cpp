// The backup repository: backups made, listed, verified, restored, deleted and pruned.
#include "api/backups.h"
#include "api/envelope.h"
#include "base/text.h"
#include "daemon/context.h"
#include "daemon/convert.h"
#include "daemon/lists.h"
#include "http/target.h"

namespace lxmgr::daemon
{

namespace
{

using instances::BackupKey;

std::string backupUrl(const BackupKey &key)
{
    std::string url = "/1.0/lxmgr/backups/" + http::percentEncode(key.instance) + "/" + http::percentEncode(key.name);
    if (key.project != store::kDefaultProject)
        url += "?project=" + http::percentEncode(key.project);
    return url;
}

BackupKey backupOf(const Request &request) { return {request.project(), request.param("instance"), request.param("backup")}; }

BackupKey backupOrLatest(const Request &request)
{
    BackupKey key = backupOf(request);
    if (key.name == instances::kLatestBackup)
        key.name.clear();
    return key;
}

api::RepositoryBackup toApi(const instances::Backup &backup)
{
    return {backup.key.instance, backup.key.name, backup.key.project, backup.description, timeOf(backup.createdAt)};
}

api::BackupSizes toApi(const backup::Sizes &sizes) { return {sizes.original, sizes.compressed, sizes.deduplicated}; }

TaskOptions optionsOf(const std::string &project, std::string description)
{
    TaskOptions options;
    options.project = project;
    options.description = std::move(description);
    options.mayCancel = true;
    options.progressKey = "backup_progress";
    return options;
}

Status list(Context &context, Request &request, const Responder &responder)
{
    const std::string *instance = request.query.find("instance");
    const auto backups = TRY(context.backups.list(request.project(), instance ? *instance : ""));
    const auto url = [](const instances::Backup &backup) { return backupUrl(backup.key); };
    sendList(request, responder, backups, url, [](const instances::Backup &backup) { return toApi(backup); });
    return {};
}

Status create(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::RepositoryBackupsPost>());
    TRY(checkInstanceName(post.instance));
    if (!post.name.empty())
        TRY(instances::checkBackupName(post.name));
    const instances::BackupRequest wanted{{request.project(), post.instance, post.name}, post.description, post.instanceOnly, post.verify};
    TRY(context.manager.describe({wanted.key.project, wanted.key.instance}));
    TaskOptions options = optionsOf(wanted.key.project, "Backing up instance");
    options.resources = instanceResources({wanted.key.project, wanted.key.instance});
    const auto task = context.operations.run(std::move(options), [&context, wanted](Task &running) -> Status {
        const instances::BackupMade made = TRY(context.backups.create(wanted, running));
        auto resources = instanceResources({made.key.project, made.key.instance});
        resources["backups"] = {backupUrl(made.key)};
        running.setResources(std::move(resources));
        running.setMetadata("size", static_cast<std::int64_t>(made.sizes.original));
        running.setMetadata("added", static_cast<std::int64_t>(made.sizes.deduplicated));
        if (!made.warnings.empty())
            running.setMetadata("warnings", api::Json(join(made.warnings, "; ")));
        return {};
    });
    responder.async(task->snapshot(), wanted.key.project);
    return {};
}

Status get(Context &context, Request &request, const Responder &responder)
{
    const instances::BackupDetails found = TRY(context.backups.describe(backupOrLatest(request)));
    const config::ExportedInstance &was = found.index.instance;
    api::RepositoryBackupDetails details;
    details.instance = found.backup.key.instance;
    details.name = found.backup.key.name;
    details.project = found.backup.key.project;
    details.description = found.backup.description;
    details.createdAt = timeOf(found.backup.createdAt);
    details.size = toApi(found.sizes);
    details.files = found.sizes.files;
    details.architecture = was.definition.architecture;
    details.config = was.definition.config;
    details.devices = was.definition.devices;
    details.profiles = was.definition.profiles;
    for (const config::ExportedInstance &snapshot : found.index.snapshots)
        details.snapshots.push_back(snapshot.name);
    responder.sync(details);
    return {};
}

Status remove(Context &context, Request &request, const Responder &responder)
{
    const BackupKey key = backupOf(request);
    TRY(context.backups.find(key));
    const auto task = context.operations.run(optionsOf(key.project, "Deleting backup"), [&context, key](Task &running) -> Status {
        return context.backups.remove(key, running);
    });
    responder.async(task->snapshot(), key.project);
    return {};
}

Status restore(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::RepositoryRestorePost>());
    instances::BackupRestore wanted;
    wanted.key = backupOrLatest(request);
    wanted.into.project = wanted.key.project;
    wanted.into.name = post.name.empty() ? wanted.key.instance : post.name;
    wanted.into.pool = post.pool;
    wanted.into.config = post.config;
    TRY(checkInstanceName(wanted.into.name));
    TRY(context.backups.find(wanted.key));
    TaskOptions options = optionsOf(wanted.key.project, "Restoring backup");
    options.resources = instanceResources({wanted.into.project, wanted.into.name});
    const auto task = context.operations.run(std::move(options), [&context, wanted](Task &running) -> Status {
        const instances::Imported imported = TRY(context.backups.restore(wanted, running));
        if (!imported.warnings.empty())
            running.setMetadata("warnings", api::Json(join(imported.warnings, "; ")));
        return {};
    });
    responder.async(task->snapshot(), wanted.key.project);
    return {};
}

Status verify(Context &context, Request &request, const Responder &responder)
{
    const BackupKey key = backupOrLatest(request);
    TRY(context.backups.find(key));
    const auto task = context.operations.run(optionsOf(key.project, "Verifying backup"), [&context, key](Task &running) -> Status {
        return context.backups.verify(key, running);
    });
    responder.async(task->snapshot(), key.project);
    return {};
}

Status repositoryGet(Context &context, Request &, const Responder &responder)
{
    const instances::RepositoryState state = TRY(context.backups.state());
    responder.sync(api::BackupRepository{state.folder, state.exists, state.info.encryption, state.info.id,
                                         backup::formatRetention(state.retention), toApi(state.info.sizes)});
    return {};
}

Status repositoryVerify(Context &context, Request &request, const Responder &responder)
{
    const auto task = context.operations.run(optionsOf(request.project(), "Verifying backup repository"),
                                             [&context](Task &running) -> Status { return context.backups.verifyAll(running); });
    responder.async(task->snapshot(), request.project());
    return {};
}

Status repositoryPrune(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::BackupPrunePost>());
    const instances::BackupPrune wanted{request.project(), post.instances, TRY_IN("retention", backup::parseRetention(post.retention)), post.dryRun};
    for (const std::string &instance : wanted.instances)
        TRY(checkInstanceName(instance));
    const auto task = context.operations.run(optionsOf(wanted.project, "Pruning backups"), [&context, wanted](Task &running) -> Status {
        api::Json all = api::Json::array();
        for (const instances::BackupPruned &one : TRY(context.backups.prune(wanted, running)))
            all.append(TRY(api::Json::parse(api::toJson(api::PrunedBackup{
                one.backup.key.instance, one.backup.key.name, timeOf(one.backup.createdAt), one.kept, one.rule}))));
        running.setMetadata("backups", std::move(all));
        return {};
    });
    responder.async(task->snapshot(), wanted.project);
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::BackupList,       &list            },
    {api::RouteId::BackupCreate,     &create          },
    {api::RouteId::BackupGet,        &get             },
    {api::RouteId::BackupDelete,     &remove          },
    {api::RouteId::BackupRestore,    &restore         },
    {api::RouteId::BackupVerify,     &verify          },
    {api::RouteId::RepositoryGet,    &repositoryGet   },
    {api::RouteId::RepositoryVerify, &repositoryVerify},
    {api::RouteId::RepositoryPrune,  &repositoryPrune },
};

} // namespace

std::span<const HandlerRow> backupHandlers() { return kRows; }

} // namespace lxmgr::daemon
