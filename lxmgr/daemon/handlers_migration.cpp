// Instances between this server and others: what leaves waits to be fetched or is brought there, what comes is fetched or waited
// for. The client that started both sides has told each where the other is, or stands between them itself.
#include "api/instances.h"
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

} // namespace lxmgr::daemon
