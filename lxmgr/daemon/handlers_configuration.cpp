// Projects.
#include "daemon/context.h"
#include "daemon/convert.h"

#include "api/envelope.h"

namespace lxmgr::daemon
{

namespace
{

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
    {api::RouteId::ProjectList, &projectList},
    {api::RouteId::ProjectGet, &projectGet},
};

} // namespace

std::span<const HandlerRow> configurationHandlers() { return kRows; }

} // namespace lxmgr::daemon
