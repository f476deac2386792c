// What an instance's image says of itself, its templates, and what can be configured at all.
#include "daemon/context.h"

#include "api/envelope.h"
#include "api/instances.h"
#include "base/text.h"
#include "config/keys.h"
#include "config/network_keys.h"
#include "http/target.h"
#include "instances/templates.h"

#include <cstdio>

namespace lxmgr::daemon
{

namespace
{

struct Subject {
    store::Instance row;
    instances::Pools::Use pool;
};

Result<Subject> subjectOf(Context &context, const Request &request)
{
    store::Instance row = TRY(context.manager.describe(keyOf(request))).row;
    if (row.status != store::InstanceStatus::Ready)
        return Error(Code::WrongState, "instance " + quoted(row.name) + " is not ready");
    instances::Pools::Use pool = TRY(context.pools.get(row.pool));
    return Subject{std::move(row), std::move(pool)};
}

// --- metadata ---

api::Json toJson(const images::TemplateRule &rule)
{
    api::Json entry = api::Json::object();
    api::Json when = api::Json::array();
    for (const std::string &word : rule.when)
        when.append(word);
    entry["when"] = std::move(when);
    entry["create_only"] = rule.createOnly;
    entry["template"] = rule.source;
    api::Json properties = api::Json::object();
    for (const auto &[name, value] : rule.properties)
        properties[name] = value;
    entry["properties"] = std::move(properties);
    if (rule.uid)
        entry["uid"] = std::to_string(*rule.uid);
    if (rule.gid)
        entry["gid"] = std::to_string(*rule.gid);
    if (rule.mode) {
        char mode[16];
        std::snprintf(mode, sizeof mode, "%04o", *rule.mode);
        entry["mode"] = std::string(mode);
    }
    return entry;
}

api::ImageMetadata toApi(const images::Metadata &metadata)
{
    api::ImageMetadata out;
    out.architecture = metadata.architecture;
    out.creationDate = metadata.creationDate;
    out.expiryDate = metadata.expiryDate;
    out.properties = metadata.properties;
    out.templates = api::Json::object();
    for (const images::TemplateRule &rule : metadata.templates)
        out.templates[rule.target] = toJson(rule);
    return out;
}

/// Ids and modes come as text, and as numbers from whoever does not know that.
Result<std::optional<std::uint32_t>> numberIn(const api::Json &entry, std::string_view name, int base)
{
    const api::Json *value = entry.find(name);
    if (!value || value->isNull())
        return std::optional<std::uint32_t>();
    std::string text = value->asString() ? *value->asString() : value->asInteger() ? std::to_string(*value->asInteger()) : "?";
    if (text.empty())
        return std::optional<std::uint32_t>();
    std::uint64_t number = 0;
    for (const char digit : text) {
        if (digit < '0' || digit >= '0' + base || number > 0xffffffffU)
            return Error(Code::Invalid, std::string(name) + ": " + quoted(text) + " is not a number");
        number = number * static_cast<unsigned>(base) + static_cast<unsigned>(digit - '0');
    }
    return std::optional(static_cast<std::uint32_t>(number));
}

Result<images::TemplateRule> ruleOf(const std::string &target, const api::Json &entry)
{
    if (!entry.isObject())
        return Error(Code::Invalid, "must be an object");
    images::TemplateRule rule;
    rule.target = target;
    rule.source = entry.text("template");
    if (const api::Json *when = entry.find("when"); when && when->asArray())
        for (const api::Json &word : *when->asArray())
            rule.when.push_back(word.asString() ? *word.asString() : "");
    if (const api::Json *only = entry.find("create_only"))
        rule.createOnly = only->asBool() && *only->asBool();
    if (const api::Json *properties = entry.find("properties"); properties && properties->asObject())
        for (const auto &[name, value] : *properties->asObject())
            rule.properties[name] = value.asString() ? *value.asString() : value.dump();
    rule.uid = TRY(numberIn(entry, "uid", 10));
    rule.gid = TRY(numberIn(entry, "gid", 10));
    rule.mode = TRY(numberIn(entry, "mode", 8));
    return rule;
}

/// Over `metadata`, which is empty where all is replaced.
Status take(images::Metadata &metadata, const api::ImageMetadata &from)
{
    if (!from.architecture.empty())
        metadata.architecture = from.architecture;
    if (from.creationDate != 0)
        metadata.creationDate = from.creationDate;
    if (from.expiryDate != 0)
        metadata.expiryDate = from.expiryDate;
    for (const auto &[name, value] : from.properties)
        metadata.properties[name] = value;
    if (from.templates.isNull())
        return {};
    const api::Json::Object *templates = from.templates.asObject();
    if (!templates)
        return Error(Code::Invalid, "templates: must be an object");
    for (const auto &[target, entry] : *templates) {
        images::TemplateRule rule = TRY_IN("templates: " + quoted(target), ruleOf(target, entry));
        std::erase_if(metadata.templates, [&target = target](const images::TemplateRule &old) { return old.target == target; });
        metadata.templates.push_back(std::move(rule));
    }
    return {};
}

Status metadataGet(Context &context, Request &request, const Responder &responder)
{
    const Subject subject = TRY(subjectOf(context, request));
    const std::string json = api::toJson(toApi(TRY(instances::metadataOf(*subject.pool, subject.row))));
    responder.sync(json, api::etagOf(json));
    return {};
}

Status metadataChange(Context &context, Request &request, const Responder &responder)
{
    const auto put = TRY(request.json<api::ImageMetadata>());
    const Subject subject = TRY(subjectOf(context, request));
    images::Metadata before = TRY(instances::metadataOf(*subject.pool, subject.row));
    TRY(api::checkEtag(request.ifMatch(), api::etagOf(api::toJson(toApi(before)))));
    images::Metadata metadata = request.id() == api::RouteId::InstanceMetadataPatch ? std::move(before) : images::Metadata();
    TRY_IN("metadata", take(metadata, put));
    TRY(instances::setMetadata(*subject.pool, subject.row, metadata));
    responder.sync();
    return {};
}

// --- templates ---

Result<std::string> nameIn(const Request &request)
{
    const std::string *name = request.query.find("path");
    if (!name || name->empty())
        return Error(Code::Invalid, "missing path argument");
    return *name;
}

Status templateGet(Context &context, Request &request, const Responder &responder)
{
    const Subject subject = TRY(subjectOf(context, request));
    if (const std::string *name = request.query.find("path"); name && !name->empty()) {
        std::string text = TRY(instances::readTemplate(*subject.pool, subject.row, *name));
        responder.raw(200, {{"Content-Type", "application/octet-stream"}, {"Content-Disposition", "inline;filename=" + http::percentEncode(*name)}},
                      [&] {
                          std::vector<BodyPart> parts;
                          parts.emplace_back(std::move(text));
                          return parts;
                      }());
        return {};
    }
    std::string json;
    api::JsonWriter writer(json);
    writer.beginArray();
    for (const std::string &name : TRY(instances::templatesOf(*subject.pool, subject.row)))
        writer.string(name);
    writer.endArray();
    responder.sync(std::move(json));
    return {};
}

Status templatePost(Context &context, Request &request, const Responder &responder)
{
    const std::string name = TRY(nameIn(request));
    const Subject subject = TRY(subjectOf(context, request));
    TRY(instances::writeTemplate(*subject.pool, subject.row, name, request.body));
    responder.sync();
    return {};
}

Status templateDelete(Context &context, Request &request, const Responder &responder)
{
    const std::string name = TRY(nameIn(request));
    const Subject subject = TRY(subjectOf(context, request));
    TRY(instances::deleteTemplate(*subject.pool, subject.row, name));
    responder.sync();
    return {};
}

// --- what can be configured ---

/// {"configs": {<object>: {<group of keys>: {"keys": [{<key>: {"type": …, "shortdesc": …}}]}}}}, as LXD's and Incus's web interfaces read it.
class ConfigurationText
{
public:
    void add(const std::string &object, std::string_view key, std::string_view type, std::string_view without, std::string_view live,
             std::string_view summary)
    {
        api::Json about = api::Json::object();
        about["type"] = type;
        about["defaultdesc"] = without;
        about["shortdesc"] = summary;
        about["longdesc"] = "";
        if (!live.empty())
            about["liveupdate"] = live;
        api::Json entry = api::Json::object();
        entry[key] = std::move(about);
        const std::size_t dot = key.find('.');
        const std::string group = dot == std::string_view::npos ? "common" : std::string(key.substr(0, dot));
        m_configs[object][group]["keys"].append(std::move(entry));
    }
    std::string dump() &&
    {
        api::Json all = api::Json::object();
        all["configs"] = std::move(m_configs);
        return all.dump();
    }

private:
    api::Json m_configs = api::Json::object();
};

/// What the key tables call a group, as these clients do.
std::string objectOf(std::string_view group)
{
    if (group == "instance" || group == "server" || group == "project")
        return std::string(group);
    if (group == "pool")
        return "storage-pool";
    if (group == "volume")
        return "storage-volume";
    return "device-" + std::string(group);
}

Status configuration(Context &, Request &, const Responder &responder)
{
    ConfigurationText text;
    for (const config::KeyInfo &key : config::allKeys())
        text.add(objectOf(key.group), key.name, key.type, key.defaultText, key.apply == config::Apply::Restart ? "no" : "yes", key.summary);
    for (const config::NetworkKeyText &key : config::kNetworkKeys)
        text.add("network-bridge", key.name, "string", key.fallback, "", key.summary);
    responder.sync(std::move(text).dump());
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::InstanceMetadataGet, &metadataGet},
    {api::RouteId::InstanceMetadataPut, &metadataChange},
    {api::RouteId::InstanceMetadataPatch, &metadataChange},
    {api::RouteId::InstanceTemplateGet, &templateGet},
    {api::RouteId::InstanceTemplatePost, &templatePost},
    {api::RouteId::InstanceTemplateDelete, &templateDelete},
    {api::RouteId::MetadataConfiguration, &configuration},
};

} // namespace

std::span<const HandlerRow> metadataHandlers() { return kRows; }

} // namespace lxmgr::daemon
