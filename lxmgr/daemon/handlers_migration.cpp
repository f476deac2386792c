// Instances and volumes between this server and others: what leaves waits to be fetched or is brought there, what comes is fetched or waited
// for. The client that started both sides has told each where the other is, or stands between them itself.
#include "api/instances.h"
#include "api/storage.h"
#include "base/text.h"
#include "daemon/context.h"
#include "daemon/streams.h"
#include "instances/names.h"

#include <chrono>
#include <map>
#include <mutex>

namespace lxmgr::daemon
{

namespace
{

using instances::InstanceKey;

Result<FarStreams> farStreams(std::string url, std::string certificate, StringMap secrets)
{
    FarStreams far{std::move(url), std::move(certificate), std::move(secrets)};
    TRY(checkFarStreams(far));
    return far;
}

Result<FarStreams> targetOf(const api::Json &target)
{
    StringMap secrets;
    const api::Json *const list = target.find("secrets");
    if (list && list->asObject())
        for (const auto &[name, secret] : *list->asObject())
            if (secret.asString())
                secrets[name] = *secret.asString();
    return TRY_IN("target", farStreams(target.text("operation"), target.text("certificate"), std::move(secrets)));
}

/// What leaves: `target` is where another server waits for it; null: it fetches it.
Status leave(Context &context, const Request &request, const Responder &responder, TaskOptions options, const api::Json &target, const StreamWork &work)
{
    options.mayCancel = true;
    options.progressKey = "fs_progress";
    if (target.isNull()) {
        responder.async(offerStreams(context, std::move(options), work)->snapshot(), request.project());
        return {};
    }
    const FarStreams far = TRY(targetOf(target));
    const auto task = context.operations.run(std::move(options), [far, work](Task &running) { return withFarStreams(far, running, work); });
    responder.async(task->snapshot(), request.project());
    return {};
}

/// What comes: waited for ("push"), or fetched from where `source` says.
template <class Source>
Status arrive(Context &context, const Request &request, const Responder &responder, TaskOptions options, const Source &source, const StreamWork &work)
{
    options.mayCancel = true;
    options.progressKey = "fs_progress";
    if (source.mode == "push") {
        responder.async(offerStreams(context, std::move(options), work)->snapshot(), request.project());
        return {};
    }
    if (source.mode != "pull" && !source.mode.empty())
        return Error(Code::Invalid, "source: mode " + quoted(source.mode) + " is none of pull and push");
    const FarStreams far = TRY_IN("source", farStreams(source.operation, source.certificate, source.secrets.value_or(StringMap{})));
    const auto task = context.operations.run(std::move(options), [far, work](Task &running) { return withFarStreams(far, running, work); });
    responder.async(task->snapshot(), request.project());
    return {};
}

constexpr auto kSoon = std::chrono::seconds(60);
std::mutex g_refreshedMutex;
std::map<InstanceKey, std::chrono::steady_clock::time_point> g_refreshed;

} // namespace

void noteRefreshed(const InstanceKey &key)
{
    const auto now = std::chrono::steady_clock::now();
    const std::lock_guard lock(g_refreshedMutex);
    std::erase_if(g_refreshed, [&](const auto &entry) { return now - entry.second > kSoon; });
    g_refreshed[key] = now;
}

bool takeRefreshed(const InstanceKey &key)
{
    const std::lock_guard lock(g_refreshedMutex);
    const auto found = g_refreshed.extract(key);
    return !found.empty() && std::chrono::steady_clock::now() - found.mapped() <= kSoon;
}

Status migrateOut(Context &context, const Request &request, const Responder &responder, const instances::SendRequest &wanted, const api::Json &target)
{
    const InstanceKey &key = wanted.source;
    TRY(context.manager.describe(key));
    if (!wanted.snapshot.empty())
        TRY(context.manager.snapshot(key, wanted.snapshot));
    const StreamWork work = [&context, wanted](Task &task, const instances::MigrationChannel &channel) {
        return context.manager.sendInstance(wanted, channel, task);
    };
    TaskOptions options;
    options.project = key.project;
    options.description = wanted.snapshot.empty() ? "Migrating instance" : "Transferring snapshot";
    options.resources = instanceResources(key);
    return leave(context, request, responder, std::move(options), target, work);
}

Status migrateIn(Context &context, const Request &request, const Responder &responder, const api::InstancesPost &post, instances::CreateRequest target)
{
    const api::InstanceSource &source = post.source;
    if (target.name.empty())
        target.name = instances::inventName();
    TRY(checkInstanceName(target.name));
    const InstanceKey key{target.project, target.name};
    instances::ReceiveRequest wanted;
    wanted.target = std::move(target);
    wanted.withSnapshots = !source.instanceOnly && !source.containerOnly;
    wanted.refresh = source.refresh;
    const StreamWork work = [&context, wanted, key, start = post.start](Task &task, const instances::MigrationChannel &channel) -> Status {
        if (const auto warnings = TRY(context.manager.receiveInstance(wanted, channel, task)); !warnings.empty())
            task.setMetadata("warnings", api::Json(join(warnings, "; ")));
        if (wanted.refresh)
            noteRefreshed(key);
        return start ? context.manager.start(key) : Status();
    };
    TaskOptions options;
    options.project = key.project;
    options.description = source.refresh ? "Refreshing instance" : "Creating instance";
    options.resources = instanceResources(key);
    return arrive(context, request, responder, std::move(options), source, work);
}

// --- volumes ---

Status migrateVolumeOut(Context &context, const Request &request, const Responder &responder, const instances::VolumeSend &wanted, const api::Json &target)
{
    TRY(context.volumes.find(wanted.source));
    if (!wanted.snapshot.empty())
        TRY(context.volumes.snapshot(wanted.source, wanted.snapshot));
    TaskOptions options;
    options.project = request.project();
    options.description = wanted.snapshot.empty() ? "Migrating storage volume" : "Transferring snapshot";
    options.resources = {
        {"storage_volumes", {urlOfCustomVolume({wanted.source.pool, request.project(), wanted.source.name})}}
    };
    return leave(context, request, responder, std::move(options), target, [&context, wanted](Task &task, const instances::MigrationChannel &channel) -> Status {
        instances::VolumeSend now = wanted;
        now.inUse = TRY(volumeInUse(context, wanted.source));
        return context.volumeTransfer.send(now, channel, task);
    });
}

Status migrateVolumeIn(Context &context, const Request &request, const Responder &responder, const api::StorageVolumeSource &source,
                       const store::Volume &target)
{
    instances::VolumeReceive wanted{target, !source.volumeOnly, source.refresh};
    const instances::VolumeKey key = instances::keyOfVolume(target);
    const bool there = store::findVolume(context.db, key.pool, key.project, key.name).has_value();
    if (there && !source.refresh)
        return Error(Code::AlreadyExists, instances::titleOf(key) + " exists already");
    if (there)
        TRY(context.manager.checkVolumeIdle(key, request.project(), "stop it before refreshing it"));
    TaskOptions options;
    options.project = request.project();
    options.description = there ? "Refreshing storage volume" : "Creating storage volume";
    options.resources = {
        {"storage_volumes", {urlOfCustomVolume({key.pool, request.project(), key.name})}}
    };
    const StreamWork work = [&context, wanted, key, there, by = request.peer.requestor()](Task &task, const instances::MigrationChannel &channel) -> Status {
        if (const auto warnings = TRY(context.volumeTransfer.receive(wanted, channel, task)); !warnings.empty())
            task.setMetadata("warnings", api::Json(join(warnings, "; ")));
        announceVolume(context, by, there ? "storage-volume-updated" : "storage-volume-created", key);
        return {};
    };
    return arrive(context, request, responder, std::move(options), source, work);
}

} // namespace lxmgr::daemon
