// Projects.
#include "daemon/context.h"
#include "daemon/convert.h"

#include "api/envelope.h"
#include "api/operations.h"
#include "api/projects.h"
#include "base/text.h"
#include "config/project_config.h"
#include "instances/project_limits.h"

namespace lxmgr::daemon
{

namespace
{

const StringMap kFeatures = {{"features.images", "true"}, {"features.networks", "false"}, {"features.profiles", "true"}, {"features.storage.volumes", "true"}};

Result<api::Project> projectToApi(Context &context, const store::Project &row)
{
    api::Project project;
    project.name = row.name;
    project.description = row.description;
    project.config = row.config;
    project.config.insert(kFeatures.begin(), kFeatures.end());
    for (const std::string &name : TRY(store::listInstanceNames(context.db, row.name)))
        project.usedBy.push_back(urlOf("instances", name, row.name));
    for (const store::Profile &profile : TRY(store::listProfiles(context.db, row.name)))
        if (profile.project == row.name) // and not what it shares
            project.usedBy.push_back(urlOf("profiles", profile.name, row.name));
    for (const store::Image &image : TRY(store::listImages(context.db, row.name)))
        if (image.project == row.name)
            project.usedBy.push_back(urlOf("images", image.fingerprint, row.name));
    for (const store::Volume &volume : TRY(store::listVolumes(context.db, "", row.name)))
        project.usedBy.push_back(api::routePath(api::RouteId::VolumeGet, {volume.pool, "custom", volume.name}) +
                                 (row.name == store::kDefaultProject ? "" : "?project=" + row.name));
    return project;
}

void publish(Context &context, const Request &request, const char *action, const std::string &name)
{
    api::Lifecycle event;
    event.action = action;
    event.source = api::routePath(api::RouteId::ProjectGet, {name});
    event.requestor = request.peer.requestor();
    context.events.lifecycle(event, name);
}

Result<store::Project> findProject(Context &context, const Request &request)
{
    auto row = store::findProject(context.db, request.param("name"));
    if (!row || !request.caller.mayUse(row->name))
        return Error(Code::NotFound, "Project not found");
    return row;
}

Result<std::string> etagOf(Context &context, const store::Project &row) { return api::etagOf(api::toJson(TRY(projectToApi(context, row)))); }

/// Names of projects are parts of file names beside those of instances ("<project>_<instance>").
Status checkProjectName(const std::string &name)
{
    const auto good = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.'; };
    if (name.empty() || name.size() > 63 || !std::ranges::all_of(name, good) || name.front() == '.' || name.front() == '-')
        return Error(Code::Invalid, "project name " + quoted(name) + ": 1 to 63 letters, digits, '-' and '.', beginning with a letter or digit");
    return {};
}

/// Without the keys that say nothing: what a feature is without them, too, is not stored, and the rest as "true" or "false".
Result<StringMap> checkedConfig(const std::string &project, StringMap config)
{
    if (TRY(config::parseProjectConfig(config)).limitsNetworks && project != store::kDefaultProject)
        return Error(Code::Unsupported, "limits.networks: all networks are in project default (restricted.networks.access says which ones another may use)");
    for (auto &[key, value] : config)
        if (kFeatures.contains(key) && !value.empty())
            value = TRY(parseBool(value)) ? "true" : "false";
    std::erase_if(config, [](const auto &pair) {
        const auto feature = kFeatures.find(pair.first);
        return pair.second.empty() || (feature != kFeatures.end() && feature->second == pair.second);
    });
    return config;
}

Status projectList(Context &context, Request &request, const Responder &responder)
{
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const store::Project &row : TRY(store::listProjects(context.db))) {
        if (!request.caller.mayUse(row.name))
            continue;
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
    const store::Project row = TRY(findProject(context, request));
    responder.sync(api::toJson(TRY(projectToApi(context, row))), TRY(etagOf(context, row)));
    return {};
}

Status projectCreate(Context &context, Request &request, const Responder &responder)
{
    const auto post = TRY(request.json<api::Project>());
    TRY(checkProjectName(post.name));
    store::Project row;
    row.name = post.name;
    row.description = post.description;
    row.config = TRY(checkedConfig(post.name, post.config));
    TRY(store::insertProject(context.db, row));
    publish(context, request, "project-created", row.name);
    responder.created(api::routePath(api::RouteId::ProjectGet, {row.name}));
    return {};
}

Status projectChange(Context &context, Request &request, const Responder &responder)
{
    store::Project row = TRY(findProject(context, request));
    TRY(api::checkEtag(request.ifMatch(), TRY(etagOf(context, row))));
    const auto put = TRY(request.json<api::ProjectPut>());
    const bool replace = request.id() == api::RouteId::ProjectPut;
    row.description = put.description.value_or(replace ? "" : row.description);
    StringMap config = replace ? StringMap{} : row.config;
    for (const auto &[key, value] : put.config.value_or(StringMap{}))
        config[key] = value;
    row.config = TRY(checkedConfig(row.name, std::move(config)));
    TRY(instances::withinLimits(context.db, {row.name}, [&] { return store::updateProject(context.db, row); }));
    publish(context, request, "project-updated", row.name);
    responder.sync();
    return {};
}

Status projectRename(Context &context, Request &request, const Responder &responder)
{
    const store::Project row = TRY(findProject(context, request));
    const auto post = TRY(request.json<api::Project>());
    TRY(checkProjectName(post.name));
    TaskOptions options;
    options.description = "Renaming project";
    options.resources = {{"projects", {api::routePath(api::RouteId::ProjectGet, {post.name})}}};
    const auto task = context.operations.run(std::move(options), [&context, from = row.name, to = post.name](Task &) -> Status {
        TRY(store::renameProject(context.db, from, to));
        return context.trust.reload();
    });
    publish(context, request, "project-renamed", post.name);
    responder.async(task->snapshot());
    return {};
}

Status projectDelete(Context &context, Request &request, const Responder &responder)
{
    const store::Project row = TRY(findProject(context, request));
    TRY(store::deleteProject(context.db, row.name));
    TRY(context.trust.reload()); // certificates that were for it alone are for nothing now
    publish(context, request, "project-deleted", row.name);
    responder.sync();
    return {};
}

/// Capitalised, as everywhere on this wire; -1: no limit.
Status projectState(Context &context, Request &request, const Responder &responder)
{
    const store::Project row = TRY(findProject(context, request));
    api::Json resources = api::Json::object();
    for (const instances::ProjectResource &resource : TRY(instances::projectResources(context.db, row.name))) {
        resources[resource.name]["Limit"] = resource.limit;
        resources[resource.name]["Usage"] = resource.usage;
    }
    api::Json state = api::Json::object();
    state["resources"] = std::move(resources);
    responder.sync(state.dump());
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::ProjectList, &projectList},     {api::RouteId::ProjectCreate, &projectCreate}, {api::RouteId::ProjectGet, &projectGet},
    {api::RouteId::ProjectPut, &projectChange},    {api::RouteId::ProjectPatch, &projectChange},  {api::RouteId::ProjectPost, &projectRename},
    {api::RouteId::ProjectDelete, &projectDelete}, {api::RouteId::ProjectStateGet, &projectState},
};

} // namespace

std::span<const HandlerRow> configurationHandlers() { return kRows; }

} // namespace lxmgr::daemon
