// The REST API as an OpenAPI 3 document, made from the table of routes.
#include "cli/docs.h"

#include "api/json.h"
#include "api/routes.h"
#include "base/text.h"
#include "version.h"

namespace lxmgr::cli
{

namespace
{

using api::Json;

/// "/1.0/images/aliases/{name...}" → "/1.0/images/aliases/{name}", with the names.
std::string pathOf(std::string_view pattern, std::vector<std::string> &names)
{
    std::vector<std::string> segments;
    for (std::string segment : split(pattern, '/')) {
        if (segment.starts_with('{')) {
            segment = segment.substr(1, segment.size() - 2);
            if (segment.ends_with("..."))
                segment.resize(segment.size() - 3);
            names.push_back(segment);
            segment = "{" + segment + "}";
        }
        segments.push_back(std::move(segment));
    }
    return join(segments, "/");
}

Json reference(std::string_view name)
{
    Json json = Json::object();
    json["$ref"] = "#/components/schemas/" + std::string(name);
    return json;
}

Json content(std::string_view type, Json schema)
{
    Json inner = Json::object();
    inner["schema"] = std::move(schema);
    Json json = Json::object();
    json[type] = std::move(inner);
    return json;
}

Json ofType(std::string_view type, std::string_view format = {})
{
    Json json = Json::object();
    json["type"] = type;
    if (!format.empty())
        json["format"] = format;
    return json;
}

Json answer(std::string_view description, Json body = {})
{
    Json json = Json::object();
    json["description"] = description;
    if (!body.isNull())
        json["content"] = std::move(body);
    return json;
}

Json answersOf(const api::Route &route)
{
    Json answers = Json::object();
    const bool now = route.reply == api::Reply::Now || route.reply == api::Reply::Either;
    if (now)
        answers["200"] = answer("Done; what was asked for is in metadata.", content("application/json", reference("Answer")));
    if (now && route.verb == api::Verb::Post)
        answers["201"] = answer("Made; Location says where it is.", content("application/json", reference("Answer")));
    if (route.reply == api::Reply::Later || route.reply == api::Reply::Either)
        answers["202"] = answer("An operation has begun; metadata is the operation.", content("application/json", reference("Answer")));
    if (route.reply == api::Reply::Raw)
        answers["200"] = answer("The bytes.", content("application/octet-stream", ofType("string", "binary")));
    if (route.reply == api::Reply::Upgrade)
        answers["101"] = answer("The connection speaks another protocol from here on.");
    answers["default"] = answer("What is wrong.", content("application/json", reference("Error")));
    return answers;
}

std::string_view accessName(api::Access access)
{
    switch (access) {
    case api::Access::Public: return "public";
    case api::Access::View: return "view";
    case api::Access::Operate: return "operate";
    case api::Access::Manage: return "manage";
    case api::Access::Admin: break;
    }
    return "admin";
}

/// "/1.0/instances/{name}/state" → "instances"
std::string tagOf(std::string_view pattern)
{
    for (const std::string &segment : split(pattern, '/'))
        if (!segment.empty() && segment != "1.0" && segment != "lxmgr")
            return segment;
    return "server";
}

Json operationOf(const api::Route &route)
{
    Json operation = Json::object();
    operation["summary"] = route.summary;
    Json tags = Json::array();
    tags.append(tagOf(route.pattern));
    operation["tags"] = std::move(tags);
    operation["x-lxmgr-access"] = accessName(route.access);
    if (route.verb == api::Verb::Post || route.verb == api::Verb::Put || route.verb == api::Verb::Patch) {
        Json body = content("application/json", ofType("object"));
        if (route.body == api::Body::Upload)
            body["application/octet-stream"]["schema"] = ofType("string", "binary");
        operation["requestBody"]["content"] = std::move(body);
    }
    operation["responses"] = answersOf(route);
    return operation;
}

Json schemaWith(std::initializer_list<std::pair<std::string_view, std::string_view>> members)
{
    Json schema = ofType("object");
    for (const auto &[name, type] : members)
        schema["properties"][name] = type.empty() ? Json::object() : ofType(type);
    return schema;
}

} // namespace

std::string openApi()
{
    Json document = Json::object();
    document["openapi"] = "3.0.3";
    document["info"]["title"] = "lxmgr";
    document["info"]["version"] = LXMGR_VERSION;
    document["info"]["description"] = "Every request that lxmgrd answers on its socket. Paths with /instances/ are also there with /containers/.";
    document["paths"] = Json::object();
    for (const api::Route &route : api::kRoutes) {
        std::vector<std::string> names;
        Json &path = document["paths"][pathOf(route.pattern, names)];
        if (path.isNull() && !names.empty()) {
            Json parameters = Json::array();
            for (const std::string &name : names) {
                Json parameter = Json::object();
                parameter["name"] = name;
                parameter["in"] = "path";
                parameter["required"] = true;
                parameter["schema"] = ofType("string");
                parameters.append(std::move(parameter));
            }
            path["parameters"] = std::move(parameters);
        }
        path[lower(std::string(api::verbName(route.verb)))] = operationOf(route);
    }
    Json &schemas = document["components"]["schemas"];
    schemas["Answer"] = schemaWith({{"type", "string"}, {"status", "string"}, {"status_code", "integer"}, {"operation", "string"},
                                    {"error_code", "integer"}, {"error", "string"}, {"metadata", ""}});
    schemas["Error"] = schemaWith({{"type", "string"}, {"error_code", "integer"}, {"error", "string"}, {"metadata", ""}});
    return document.dump() + "\n";
}

} // namespace lxmgr::cli
