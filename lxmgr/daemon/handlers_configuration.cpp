// Profiles and projects.
#include "daemon/context.h"
#include "daemon/convert.h"

#include "api/envelope.h"
#include "base/text.h"
#include "instances/root_disk.h"

#include <algorithm>

namespace lxmgr::daemon
{

namespace
{

// --- profiles ---

Result<store::Profile> findProfile(Context &context, const Request &request)
{
    auto profile = store::findProfile(context.db, request.project(), request.param("name"));
    if (!profile && profile.error().code == Code::NotFound)
        return Error(Code::NotFound, "Profile not found");
    return profile;
}

std::string etagOfProfile(const store::Profile &row)
{
    api::Profile writable;
    writable.description = row.description;
    writable.config = row.config;
    writable.devices = row.devices;
    return api::etagOf(api::toJson(writable));
}

Status checkProfile(const store::Profile &profile)
{
    TRY(checkObjectName("profile", profile.name));
    TRY(config::parseInstanceConfig(profile.config, config::Holder::Profile));
    TRY(config::parseDevices(profile.devices, config::DeviceSet::Local));
    return {};
}

Status profileList(Context &context, Request &request, const Responder &responder)
{
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const store::Profile &row : TRY(store::listProfiles(context.db, request.project()))) {
        if (request.recursion() == 0)
            writer.string(urlOf("profiles", row.name, row.project));
        else
            writeJson(writer, toApi(row));
    }
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

Status profileGet(Context &context, Request &request, const Responder &responder)
{
    const store::Profile row = TRY(findProfile(context, request));
    responder.sync(api::toJson(toApi(row)), etagOfProfile(row));
    return {};
}

Status profileCreate(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::ProfilePut>());
    store::Profile row;
    row.project = request.project();
    row.name = post.name;
    row.description = post.description.value_or("");
    row.config = post.config.value_or(StringMap{});
    row.devices = post.devices.value_or(DeviceMap{});
    TRY(checkProfile(row));
    TRY(context.manager.changeProfile(row, [&]() -> Status {
        TRY(store::insertProfile(context.db, row));
        return {};
    }));
    responder.created(urlOf("profiles", row.name, row.project));
    return {};
}

Status profileChange(Context &context, Request &request, const Responder &responder)
{
    store::Profile row = TRY(findProfile(context, request));
    const store::Profile before = row;
    TRY(api::checkEtag(request.ifMatch(), etagOfProfile(row)));
    const auto put = TRY(request.json<api::ProfilePut>());
    const bool replace = request.id() == api::RouteId::ProfilePut;
    if (put.description || replace)
        row.description = put.description.value_or("");
    if (replace) {
        row.config = put.config.value_or(StringMap{});
        row.devices = put.devices.value_or(DeviceMap{});
    } else {
        for (const auto &[name, value] : put.config.value_or(StringMap{}))
            row.config[name] = value;
        for (const auto &[name, device] : put.devices.value_or(DeviceMap{}))
            row.devices[name] = device;
    }
    TRY(checkProfile(row));
    if (row.config != before.config || instances::withoutSize(row.devices) != instances::withoutSize(before.devices))
        for (const std::string &user : row.usedBy)
            if (context.manager.guest({row.project, user}))
                return Error(Code::WrongState, "profile " + quoted(row.name) + " is used by running instance " + quoted(user) + " (stop it first)");
    if (row.description != before.description || row.config != before.config || row.devices != before.devices)
        TRY(context.manager.changeProfile(row, [&] {
            return context.db.transaction([&]() -> Status {
                TRY(context.undo.keepProfile(before));
                return store::updateProfile(context.db, row);
            });
        }));
    context.schedulesChanged();
    responder.sync();
    return {};
}

Status profileRename(Context &context, Request &request, const Responder &responder)
{
    const store::Profile row = TRY(findProfile(context, request));
    const auto post = TRY(request.json<api::RenamePost>());
    TRY(checkObjectName("profile", post.name));
    if (row.name == "default")
        return Error(Code::Forbidden, "profile 'default' cannot be renamed");
    TRY(store::renameProfile(context.db, row.id, post.name));
    responder.created(urlOf("profiles", post.name, row.project));
    return {};
}

Status profileDelete(Context &context, Request &request, const Responder &responder)
{
    const store::Profile row = TRY(findProfile(context, request));
    if (row.name == "default")
        return Error(Code::Forbidden, "profile 'default' cannot be deleted");
    TRY(context.db.transaction([&]() -> Status {
        TRY(context.undo.keepProfile(row));
        return store::deleteProfile(context.db, row.id);
    }));
    context.schedulesChanged();
    responder.sync();
    return {};
}

// --- projects ---

Result<api::Project> projectToApi(Context &context, const store::Project &row)
{
    api::Project project;
    project.name = row.name;
    project.description = row.description;
    project.config = {{"features.images", "true"}, {"features.profiles", "true"}, {"features.storage.volumes", "true"}};
    for (const std::string &name : TRY(store::listInstanceNames(context.db, row.name)))
        project.usedBy.push_back(urlOf("instances", name, row.name));
    for (const store::Profile &profile : TRY(store::listProfiles(context.db, row.name)))
        project.usedBy.push_back(urlOf("profiles", profile.name, row.name));
    return project;
}

Status projectList(Context &context, Request &request, const Responder &responder)
{
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const store::Project &row : TRY(store::listProjects(context.db))) {
        if (request.recursion() == 0)
            writer.string("/1.0/projects/" + row.name);
        else
            writeJson(writer, TRY(projectToApi(context, row)));
    }
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

Status projectGet(Context &context, Request &request, const Responder &responder)
{
    const auto row = store::findProject(context.db, request.param("name"));
    if (!row)
        return Error(Code::NotFound, "Project not found");
    const std::string json = api::toJson(TRY(projectToApi(context, *row)));
    responder.sync(json, api::etagOf(json));
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::ProfileList, &profileList},
    {api::RouteId::ProfileCreate, &profileCreate},
    {api::RouteId::ProfileGet, &profileGet},
    {api::RouteId::ProfilePut, &profileChange},
    {api::RouteId::ProfilePatch, &profileChange},
    {api::RouteId::ProfilePost, &profileRename},
    {api::RouteId::ProfileDelete, &profileDelete},
    {api::RouteId::ProjectList, &projectList},
    {api::RouteId::ProjectGet, &projectGet},
};

} // namespace

std::span<const HandlerRow> configurationHandlers() { return kRows; }

} // namespace lxmgr::daemon
