// Instances: list, get, create, change, state, rename, delete, wait, logs.
#include "daemon/context.h"
#include "daemon/convert.h"

#include "api/cloud_init.h"
#include "api/envelope.h"
#include "api/filter.h"
#include "api/instances.h"
#include "api/moves.h"
#include "base/text.h"
#include "instances/names.h"
#include "kernel/path.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>

namespace lxmgr::daemon
{

namespace
{

using instances::InstanceKey;

template <class Object>
void appendMatching(api::JsonWriter &writer, const api::Filter &filter, const api::Wanted &fields, const Object &object)
{
    if (!filter.matches(object))
        return;
    if (fields.empty())
        writeJson(writer, object);
    else
        writeJson(writer, object, fields);
}

/// "?fields=name,status": an extension of ours (lxmgr_fields) for who wants a few members of many objects.
api::Wanted fieldsOf(const Request &request)
{
    api::Wanted fields;
    for (const std::string &name : split(request.query.value("fields"), ','))
        if (!name.empty())
            fields.insert(name);
    return fields;
}

Status list(Context &context, Request &request, const Responder &responder)
{
    const api::Filter filter = TRY(api::Filter::parse(request.query.value("filter")));
    const api::Wanted fields = fieldsOf(request);
    const bool everything = request.query.flag("all-projects");
    const std::string project = everything ? "" : request.project();
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    if (request.family != api::InstanceFamily::VirtualMachines) {
        if (request.recursion() == 0 && filter.empty() && !everything) {
            for (const std::string &name : TRY(store::listInstanceNames(context.db, request.project())))
                writer.string(urlOf(api::familyName(request.family), name, request.project()));
        } else {
            const bool full = request.recursion() >= 2;
            const auto snapshots = full ? TRY(context.manager.snapshotsOfAll()) : instances::SnapshotsByInstance{};
            const auto exports = full ? TRY(context.exports.listOfInstances()) : instances::ExportsByInstance{};
            for (instances::Described &described : TRY(context.manager.describeAll(project))) {
                const InstanceKey key{described.row.project, described.row.name};
                if (!request.caller.mayUse(key.project))
                    continue;
                if (full) {
                    const instances::LiveState state = TRY(context.manager.state(described));
                    const auto own = snapshots.find(described.row.id);
                    const auto kept = exports.find(described.row.id);
                    appendMatching(writer, filter, fields,
                                   toApiFull(std::move(described), state, own == snapshots.end() ? nullptr : &own->second,
                                             kept == exports.end() ? nullptr : &kept->second));
                } else if (request.recursion() == 1) {
                    appendMatching(writer, filter, fields, toApi(std::move(described)));
                } else if (filter.matches(toApi(std::move(described)))) {
                    writer.string(urlOf(api::familyName(request.family), key.name, key.project));
                }
            }
        }
    }
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

Status get(Context &context, Request &request, const Responder &responder)
{
    const instances::Described described = TRY(context.manager.describe(keyOf(request)));
    if (request.recursion() >= 1) {
        instances::LiveState state = TRY(context.manager.state(keyOf(request)));
        const auto snapshots = TRY(context.manager.snapshots(keyOf(request)));
        const auto exports = TRY(context.manager.keptExports(keyOf(request)));
        responder.sync(api::toJson(toApiFull(described, state, &snapshots, &exports)), etagOf(described));
    } else {
        responder.sync(api::toJson(toApi(described)), etagOf(described));
    }
    return {};
}

/// What all ways of creating have in common.
Result<instances::CreateRequest> definitionOf(const Request &request, const api::InstancesPost &post)
{
    if (!post.type.empty() && post.type != "container")
        return Error(Code::Unsupported, "type " + quoted(post.type) + " is not supported: this server runs containers only");
    if (post.stateful)
        return Error(Code::Unsupported, "stateful instances are not supported by this version");
    if (!post.instanceType.empty())
        return Error(Code::Unsupported, "instance_type is not supported by this version (set limits.cpu and limits.memory)");
    instances::CreateRequest create;
    create.project = request.project();
    create.name = post.name;
    create.description = post.description;
    create.ephemeral = post.ephemeral;
    create.profiles = post.profiles;
    create.config = post.config;
    create.devices = post.devices;
    return create;
}

Result<instances::CreateRequest> createRequest(Context &context, const Request &request, const api::InstancesPost &post)
{
    instances::CreateRequest create = TRY(definitionOf(request, post));
    const api::InstanceSource &source = post.source;
    if (source.type == "none") {
        create.empty = true;
        return create;
    }
    if (source.type != "image")
        return Error(Code::Unsupported, "source type " + quoted(source.type) + " is not supported by this version (image, copy, migration, none)");
    if (!source.server.empty()) {
        create.remote = TRY(remoteImageOf(context, request, source));
        return create;
    }
    create.fingerprint = source.fingerprint;
    create.alias = source.alias;
    if (create.fingerprint.empty() && create.alias.empty())
        return Error(Code::Invalid, "source: neither an alias nor a fingerprint is given");
    if (source.options)
        create.options = *source.options;
    return create;
}

/// "live" says nothing here: the clients set it for whatever runs, and get a copy of its files, as from LXD.
Status copy(Context &context, const Request &request, const Responder &responder, const api::InstancesPost &post)
{
    const api::InstanceSource &source = post.source;
    instances::CopyRequest wanted;
    wanted.target = TRY(definitionOf(request, post));
    if (wanted.target.name.empty())
        wanted.target.name = instances::inventName();
    TRY(checkInstanceName(wanted.target.name));
    const std::size_t slash = source.source.find('/');
    TRY(checkProject(request, source.project));
    wanted.source = {source.project.empty() ? request.project() : source.project, source.source.substr(0, slash)};
    wanted.snapshot = slash == std::string::npos ? "" : source.source.substr(slash + 1);
    wanted.withSnapshots = !source.instanceOnly && !source.containerOnly;
    wanted.refresh = source.refresh;
    TRY(context.manager.describe(wanted.source));
    if (slash != std::string::npos)
        TRY(context.manager.snapshot(wanted.source, wanted.snapshot));
    TaskOptions options;
    options.project = request.project();
    options.description = source.refresh ? "Refreshing instance" : "Copying instance";
    options.resources = instanceResources({options.project, wanted.target.name});
    const auto task = context.operations.run(std::move(options), [&context, wanted, start = post.start](Task &running) -> Status {
        TRY(context.manager.copyInstance(wanted, running));
        if (wanted.refresh)
            noteRefreshed({wanted.target.project, wanted.target.name});
        return start ? context.manager.start({wanted.target.project, wanted.target.name}) : Status();
    });
    responder.async(task->snapshot(), request.project());
    return {};
}

Status create(Context &context, Request &request, const Responder &responder)
{
    if (request.header("Content-Type").starts_with("application/octet-stream"))
        return importInstance(context, request, responder);
    const auto post = TRY(request.json<api::InstancesPost>());
    if (post.source.type == "copy")
        return copy(context, request, responder, post);
    if (post.source.type == "migration")
        return migrateIn(context, request, responder, post, TRY(definitionOf(request, post)));
    auto wanted = TRY(createRequest(context, request, post));
    if (wanted.name.empty())
        wanted.name = instances::inventName();
    TRY(checkInstanceName(wanted.name));
    const InstanceKey key{wanted.project, wanted.name};
    TaskOptions options;
    options.project = key.project;
    options.description = "Creating instance";
    options.resources = instanceResources(key);
    options.mayCancel = true;
    options.progressKey = "create_instance_from_image_unpack_progress";
    const auto task = context.operations.run(std::move(options), [&context, wanted, key, start = post.start](Task &running) -> Status {
        TRY(context.manager.createInstance(wanted, running));
        if (!start)
            return {};
        TRY(context.manager.start(key));
        if (const auto warnings = context.manager.cloudWarnings(key); !warnings.empty())
            running.setMetadata("warnings", api::Json(join(warnings, "; ")));
        return {};
    });
    responder.async(task->snapshot(), key.project);
    return {};
}

instances::Definition merged(const store::Instance &row, const api::InstancePut &put, bool patch)
{
    instances::Definition definition{row.description, row.ephemeral, row.profiles, row.config, row.devices};
    if (put.description)
        definition.description = *put.description;
    if (put.ephemeral)
        definition.ephemeral = *put.ephemeral;
    if (put.profiles)
        definition.profiles = *put.profiles;
    if (!patch) {
        definition.config = put.config.value_or(StringMap{});
        definition.devices = put.devices.value_or(DeviceMap{});
        return definition;
    }
    if (put.config)
        for (const auto &[name, value] : *put.config) {
            if (value.empty())
                definition.config.erase(name);
            else
                definition.config[name] = value;
        }
    if (put.devices)
        for (const auto &[name, device] : *put.devices)
            definition.devices[name] = device;
    return definition;
}

Result<instances::Definition> definitionOf(Context &context, const Request &request, const api::InstancePut &put, bool patch)
{
    const instances::Described described = TRY(context.manager.describe(keyOf(request)));
    TRY(api::checkEtag(request.ifMatch(), etagOf(described)));
    return merged(described.row, put, patch);
}

/// Clients name the snapshot as "web1/snap0" or "snap0".
Status restore(Context &context, const Request &request, const Responder &responder, const api::InstancePut &put)
{
    const InstanceKey key = keyOf(request);
    const std::string &named = put.restore;
    const std::string name = named.starts_with(key.name + "/") ? named.substr(key.name.size() + 1) : named;
    TRY(context.manager.snapshot(key, name));
    if (!put.restoreFiles.empty())
        return operate(context, request, responder, "Restoring files", [&context, key, name, paths = put.restoreFiles](Task &task) {
            return context.manager.restoreFiles(key, name, paths, task);
        });
    return operate(context, request, responder, "Restoring snapshot", [&context, key, name](Task &task) {
        endFileVisits(context, key);
        return context.manager.restore(key, name, task);
    });
}

/// {"web1": ["security.nesting"]}
api::Json restartNeeded(const instances::InstanceKey &key, const std::vector<std::string> &keys)
{
    api::Json list = api::Json::array();
    for (const std::string &each : keys)
        list.append(each);
    api::Json answer = api::Json::object();
    answer[key.name] = std::move(list);
    return answer;
}

Status put(Context &context, Request &request, const Responder &responder)
{
    const auto body = TRY(request.json<api::InstancePut>());
    if (!body.restore.empty())
        return restore(context, request, responder, body);
    if (!body.restoreFiles.empty())
        return Error(Code::Invalid, "restore_files: say in 'restore' from which snapshot");
    auto definition = TRY(definitionOf(context, request, body, false));
    if (takeRefreshed(keyOf(request))) {
        std::erase_if(definition.config, [](const auto &entry) { return entry.first.starts_with("volatile."); });
        for (const auto &[name, value] : TRY(context.manager.describe(keyOf(request))).row.config)
            if (name.starts_with("volatile."))
                definition.config[name] = value;
    }
    return operate(context, request, responder, "Updating instance",
                   [&context, key = keyOf(request), definition](Task &task) -> Status {
                       if (const auto keys = TRY(context.manager.redefine(key, definition)); !keys.empty())
                           task.setMetadata("restart_needed", restartNeeded(key, keys));
                       return {};
                   });
}

Status patch(Context &context, Request &request, const Responder &responder)
{
    const auto body = TRY(request.json<api::InstancePut>());
    if (!body.restore.empty())
        return Error(Code::Invalid, "restore: a snapshot is restored by PUT, not by PATCH");
    const auto keys = TRY(context.manager.redefine(keyOf(request), TRY(definitionOf(context, request, body, true))));
    if (keys.empty()) {
        responder.sync();
    } else {
        api::Json answer = api::Json::object();
        answer["restart_needed"] = restartNeeded(keyOf(request), keys);
        responder.sync(answer.dump());
    }
    return {};
}

Status move(Context &context, const Request &request, const Responder &responder, const api::InstancePost &body)
{
    const auto there = TRY(request.json<api::MovedPut>());
    if (body.instanceOnly || body.containerOnly)
        return Error(Code::Unsupported, "snapshots go with their instance (delete them, or copy it without them)");
    const bool leaves = !body.project.empty() && body.project != request.project();
    TRY(checkProject(request, body.project));
    if (!leaves && (there.profiles || !there.config.empty() || !there.devices.empty()))
        return Error(Code::Invalid, "profiles, config and devices are for a move to another project; else they are changed with PUT or PATCH");
    const instances::MoveRequest wanted{body.pool, body.name, leaves ? body.project : std::string(), there.profiles, there.config, there.devices};
    return operate(context, request, responder, "Moving instance", [&context, key = keyOf(request), wanted](Task &task) {
        endFileVisits(context, key);
        return context.manager.move(key, wanted, task);
    });
}

Status post(Context &context, Request &request, const Responder &responder)
{
    const auto body = TRY(request.json<api::InstancePost>());
    const bool leaves = !body.project.empty() && body.project != request.project();
    if ((!body.pool.empty() || leaves) && body.target.isNull())
        return move(context, request, responder, body);
    if (leaves)
        return Error(Code::Invalid, "project: an instance that goes to another server gets its project there");
    if (body.migration)
        return migrateOut(context, request, responder, {keyOf(request), {}, !body.instanceOnly && !body.containerOnly}, body.target);
    TRY(checkInstanceName(body.name));
    return operate(context, request, responder, "Renaming instance", [&context, key = keyOf(request), to = body.name](Task &) {
        endFileVisits(context, key);
        return context.manager.rename(key, to);
    });
}

Status remove(Context &context, Request &request, const Responder &responder)
{
    if (context.manager.guest(keyOf(request)))
        return Error(Code::WrongState, "Instance is running");
    return operate(context, request, responder, "Deleting instance", [&context, key = keyOf(request), keep = keepOf(request)](Task &) {
        endFileVisits(context, key);
        return context.manager.remove(key, keep);
    });
}

Status stateGet(Context &context, Request &request, const Responder &responder)
{
    TRY(context.manager.describe(keyOf(request)));
    responder.sync(toApi(TRY(context.manager.state(keyOf(request)))));
    return {};
}

instances::StopRequest stopRequest(const api::InstanceStatePut &put)
{
    instances::StopRequest stop;
    stop.force = put.force;
    if (put.timeout >= 0)
        stop.timeout = std::chrono::seconds(put.timeout);
    return stop;
}

using Action = Status (*)(instances::Manager &, const InstanceKey &, const instances::StopRequest &, const Progress &);
struct ActionRow {
    std::string_view name;
    std::string_view description;
    bool mayCancel;
    Action run;
};
constexpr ActionRow kActions[] = {
    {"start", "Starting instance", false,
     [](instances::Manager &m, const InstanceKey &key, const instances::StopRequest &, const Progress &) { return m.start(key); }},
    {"stop", "Stopping instance", true,
     [](instances::Manager &m, const InstanceKey &key, const instances::StopRequest &stop, const Progress &p) { return m.stop(key, stop, p); }},
    {"restart", "Restarting instance", true,
     [](instances::Manager &m, const InstanceKey &key, const instances::StopRequest &stop, const Progress &p) { return m.restart(key, stop, p); }},
    {"freeze", "Freezing instance", false,
     [](instances::Manager &m, const InstanceKey &key, const instances::StopRequest &, const Progress &) { return m.freeze(key); }},
    {"unfreeze", "Unfreezing instance", false,
     [](instances::Manager &m, const InstanceKey &key, const instances::StopRequest &, const Progress &) { return m.thaw(key); }},
};

Result<const ActionRow *> actionOf(const api::InstanceStatePut &put)
{
    const auto *row = std::ranges::find(kActions, put.action, &ActionRow::name);
    if (row == std::end(kActions))
        return Error(Code::Invalid, "action " + quoted(put.action) + " is unknown (start, stop, restart, freeze, unfreeze)");
    if (put.stateful)
        return Error(Code::Unsupported, "stateful " + put.action + " is not supported by this version");
    return row;
}

Status statePut(Context &context, Request &request, const Responder &responder)
{
    const auto body = TRY(request.json<api::InstanceStatePut>());
    const ActionRow *row = TRY(actionOf(body));
    return operate(
        context, request, responder, std::string(row->description),
        [&context, key = keyOf(request), row, stop = stopRequest(body)](Task &task) {
            endFileVisits(context, key);
            return row->run(context.manager, key, stop, task);
        },
        row->mayCancel);
}

Status bulkPut(Context &context, Request &request, const Responder &responder)
{
    const auto body = TRY(request.json<api::InstancesPut>());
    if (!body.state)
        return Error(Code::Invalid, "request body: state is missing");
    const ActionRow *row = TRY(actionOf(*body.state));
    const std::string project = request.project();
    TaskOptions options;
    options.project = project;
    options.description = "Changing the state of all instances";
    const auto task = context.operations.run(std::move(options), [&context, project, row, stop = stopRequest(*body.state)](Task &running) -> Status {
        std::string failed;
        Code code = Code::Internal;
        for (const std::string &name : TRY(store::listInstanceNames(context.db, project))) {
            const InstanceKey key{project, name};
            const auto guest = context.manager.guest(key);
            const bool wanted = row->name == "start" ? !guest : row->name == "unfreeze" ? guest && guest->frozen : guest && !guest->frozen;
            if (!wanted)
                continue;
            endFileVisits(context, key);
            if (Status done = row->run(context.manager, key, stop, running); !done) {
                failed += (failed.empty() ? "" : "; ") + name + ": " + done.error().message;
                code = done.error().code;
            }
        }
        if (!failed.empty())
            return Error(code, failed);
        return {};
    });
    responder.async(task->snapshot(), project);
    return {};
}

Status wait(Context &context, Request &request, const Responder &responder)
{
    const std::string_view what = request.query.value("for");
    if (what != "booted" && what != "cloud-init" && !what.empty())
        return Error(Code::Invalid, "for=" + std::string(what) + " is unknown (booted, cloud-init)");
    std::uint64_t seconds = 90;
    if (const std::string *text = request.query.find("timeout"))
        seconds = TRY_IN("timeout", parseUnsigned(*text, 0, 86400));
    const InstanceKey key = keyOf(request);
    if (what == "cloud-init") {
        const instances::CloudResult result = TRY(context.manager.waitCloudInit(key, std::chrono::seconds(seconds)));
        responder.sync(api::CloudInitResult{result.status, result.message, result.warnings});
        return {};
    }
    if (!TRY(context.manager.waitBooted(key, std::chrono::seconds(seconds)))) {
        if (!context.manager.guest(key))
            return Error(Code::WrongState, "instance " + quoted(key.name) + " stopped before it had booted (see its console: --show-log)");
        return Error(Code::Timeout, "instance " + quoted(key.name) + " has not booted within " + std::to_string(seconds) +
                                        " s (it goes on; look at its console, or wait longer)");
    }
    responder.sync();
    return {};
}

Status rebuild(Context &context, Request &request, const Responder &responder)
{
    const api::InstanceSource source = TRY(request.json<api::InstanceRebuildPost>()).source;
    instances::RebuildRequest wanted;
    wanted.empty = source.type == "none";
    if (source.type != "image" && !wanted.empty)
        return Error(Code::Invalid, "source type " + quoted(source.type) + " is not one to rebuild from (image, none)");
    wanted.fingerprint = source.fingerprint;
    wanted.alias = source.alias;
    if (!source.server.empty())
        wanted.remote = TRY(remoteImageOf(context, request, source));
    if (!wanted.empty && !wanted.remote && wanted.fingerprint.empty() && wanted.alias.empty())
        return Error(Code::Invalid, "source: neither an alias nor a fingerprint is given");
    if (context.manager.guest(keyOf(request)))
        return Error(Code::WrongState, "Instance is running");
    return operate(context, request, responder, "Rebuilding instance", [&context, key = keyOf(request), wanted](Task &task) {
        endFileVisits(context, key);
        return context.manager.rebuild(key, wanted, task);
    });
}

constexpr std::string_view kLogNames[] = {"console.log", "lxmgr.log"};

Status checkLogName(const std::string &name)
{
    const bool plain = !name.empty() && name.front() != '.' &&
                       std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '_' || c == '-'; });
    const bool known = std::ranges::find(kLogNames, name) != std::end(kLogNames) || name.starts_with("exec_");
    if (!plain || !known)
        return Error(Code::NotFound, "Not Found");
    return {};
}

/// Logs of other names are asked for by other clients; ours has one text for all of them.
std::string logFileFor(const std::string &name) { return name == "lxc.log" ? "lxmgr.log" : name; }

Status logList(Context &context, Request &request, const Responder &responder)
{
    const InstanceKey key = keyOf(request);
    TRY(context.manager.describe(key));
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    if (const auto folder = path::openFolder(context.manager.logDir(key))) {
        std::vector<std::string> names = TRY(path::list(*folder));
        std::ranges::sort(names);
        for (const std::string &name : names)
            writer.string("/1.0/" + std::string(api::familyName(request.family)) + "/" + key.name + "/logs/" + name);
    }
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

Status logGet(Context &context, Request &request, const Responder &responder)
{
    const InstanceKey key = keyOf(request);
    TRY(context.manager.describe(key));
    const std::string name = logFileFor(request.param("file"));
    TRY(checkLogName(name));
    const auto folder = path::openFolder(context.manager.logDir(key));
    auto file = folder ? path::open(*folder, name, O_RDONLY, path::Scope::NoSymlink) : Result<Fd>(folder.error());
    if (!file) {
        if (name != "lxmgr.log")
            return Error(Code::NotFound, "Not Found");
        responder.raw(200, {{"Content-Type", "text/plain"}});
        return {};
    }
    struct stat info {
    };
    if (::fstat(file->get(), &info) < 0)
        return Error::fromErrno(errno, "fstat", name);
    std::vector<BodyPart> parts;
    parts.emplace_back(FileRange{std::move(*file), 0, static_cast<std::uint64_t>(info.st_size)});
    responder.raw(200, {{"Content-Type", "application/octet-stream"}, {"Content-Disposition", "inline;filename=" + name}}, std::move(parts));
    return {};
}

Status logDelete(Context &context, Request &request, const Responder &responder)
{
    const InstanceKey key = keyOf(request);
    TRY(context.manager.describe(key));
    const std::string name = request.param("file");
    TRY(checkLogName(name));
    const auto folder = path::openFolder(context.manager.logDir(key));
    if (!folder || ::unlinkat(folder->get(), name.c_str(), 0) < 0)
        return Error(Code::NotFound, "Not Found");
    responder.sync();
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::InstanceList, &list},
    {api::RouteId::InstanceCreate, &create},
    {api::RouteId::InstancesPut, &bulkPut},
    {api::RouteId::InstanceGet, &get},
    {api::RouteId::InstancePut, &put},
    {api::RouteId::InstancePatch, &patch},
    {api::RouteId::InstancePost, &post},
    {api::RouteId::InstanceDelete, &remove},
    {api::RouteId::InstanceStateGet, &stateGet},
    {api::RouteId::InstanceStatePut, &statePut},
    {api::RouteId::InstanceWait, &wait},
    {api::RouteId::InstanceRebuild, &rebuild},
    {api::RouteId::InstanceLogList, &logList},
    {api::RouteId::InstanceLogGet, &logGet},
    {api::RouteId::InstanceLogDelete, &logDelete},
};

} // namespace

std::span<const HandlerRow> instanceHandlers() { return kRows; }

} // namespace lxmgr::daemon
