// storage: the pools that hold the disks of instances.
#include "api/storage.h"
#include "base/text.h"
#include "cli/context.h"
#include "cli/editing.h"
#include "cli/handlers.h"
#include "cli/keys.h"
#include "cli/listing.h"
#include "cli/output.h"
#include "cli/yaml.h"

namespace lxmgr::cli
{

namespace
{

using api::StoragePool;

constexpr std::string_view kPools = "/1.0/storage-pools";
constexpr std::string_view kEditHelp =
    "# This is the configuration of a storage pool. Lines that begin with '#' are left out.\n"
    "# Keys below 'config' and the description can be changed; where the pool lies cannot.\n";

std::string sourceOf(const StoragePool &pool)
{
    const auto found = pool.config.find("source");
    return found == pool.config.end() ? std::string() : found->second;
}

// clang-format off
constexpr Column<StoragePool> kStorageColumns[] = {
    {'n', "NAME", "Its name.", [](const StoragePool &p) { return p.name; }},
    {'D', "DRIVER", "How it stores.", [](const StoragePool &p) { return p.driver; }},
    {'S', "SOURCE", "Where.", [](const StoragePool &p) { return sourceOf(p); }},
    {'d', "DESCRIPTION", "What it is for.", [](const StoragePool &p) { return p.description; }},
    {'u', "USED BY", "How many objects are in it or refer to it.", [](const StoragePool &p) { return std::to_string(p.usedBy.size()); }},
    {'s', "STATE", "CREATED where it can be used.", [](const StoragePool &p) { return upperStatus(p.status); }},
};
// clang-format on

std::string poolPath(const std::string &name, std::initializer_list<std::string_view> sub = {})
{
    std::string path = client::path(kPools, {name});
    for (const std::string_view part : sub)
        path.append("/").append(part);
    return path;
}

/// "/1.0/instances/web1?project=p" under "instances": "web1 (project p)".
std::map<std::string, std::vector<std::string>> usersByKind(const StoragePool &pool)
{
    std::map<std::string, std::vector<std::string>> users;
    for (const std::string &url : pool.usedBy) {
        const std::string path = url.substr(0, url.find('?'));
        const std::vector<std::string> parts = split(path, '/');
        const std::size_t project = url.find("project=");
        users[parts.size() > 2 ? parts[2] : ""].push_back(
            parts.back() + (project == std::string::npos ? "" : " (project " + url.substr(project + 8) + ")"));
    }
    return users;
}

} // namespace

ColumnSet storageColumns() { return describe<StoragePool>("storage list", "nDSdus", kStorageColumns); }

Result<int> storageList(Context &context, const Arguments &arguments)
{
    const client::Answer answer = TRY(context.client().request("GET", std::string(kPools), std::string(),
                                                               {
                                                                   {"recursion", "1"}
    }));
    TRY(printList<StoragePool>(context, arguments, storageColumns(), kStorageColumns, answer.metadata));
    return 0;
}

Result<int> storageShow(Context &context, const Arguments &arguments)
{
    const std::string path =
        arguments.has("resources") ? poolPath(arguments.word(0), {"resources"}) : poolPath(arguments.word(0));
    TRY(printObject(context, arguments, TRY(context.client().get<api::Json>(path))));
    return 0;
}

Result<int> storageInfo(Context &context, const Arguments &arguments)
{
    const auto pool = TRY(context.client().get<StoragePool>(poolPath(arguments.word(0))));
    const auto resources = TRY(context.client().get<api::StorageResources>(poolPath(arguments.word(0), {"resources"})));
    const auto size = [&](std::uint64_t bytes) {
        return arguments.has("bytes") ? std::to_string(bytes) : humanBytes(Bytes{bytes});
    };
    api::Json info = api::Json::object();
    info["description"] = pool.description;
    info["driver"] = pool.driver;
    info["name"] = pool.name;
    info["space used"] = size(resources.space.used);
    info["total space"] = size(resources.space.total);
    api::Json users = api::Json::object();
    for (const auto &[kind, names] : usersByKind(pool)) {
        api::Json list = api::Json::array();
        for (const std::string &name : names)
            list.append(name);
        users[kind] = std::move(list);
    }
    api::Json document = api::Json::object();
    document["info"] = std::move(info);
    document["used by"] = std::move(users);
    context.print(toYaml(document));
    return 0;
}

Result<int> storageDrivers(Context &context, const Arguments &arguments)
{
    const FormatChoice choice = TRY(parseFormat(arguments.value("format", "table")));
    const client::Answer answer = TRY(context.client().request("GET", "/1.0/lxmgr/storage-drivers"));
    if (choice.format == Format::Json || choice.format == Format::Yaml) {
        TRY(printJson(context, choice.format, answer.metadata));
        return 0;
    }
    Table table{
        {"NAME",         "AVAILABLE", "DESCRIPTION", "REASON"},
        {     }
    };
    for (const auto &driver : TRY(client::Client::parse<std::vector<api::StorageDriverState>>(answer.metadata)))
        table.rows.push_back({driver.name, yesNo(driver.available), driver.description, driver.reason});
    context.print(render(table, choice));
    return 0;
}

Result<int> storageCreate(Context &context, const Arguments &arguments)
{
    api::StoragePoolPut post;
    post.name = arguments.word(0);
    post.driver = arguments.word(1);
    if (arguments.has("description"))
        post.description = arguments.value("description", "");
    post.config.emplace();
    for (std::size_t i = 2; i < arguments.words.size(); ++i) {
        const KeyValue pair = TRY(keyValue(arguments.words[i]));
        (*post.config)[pair.key] = pair.value;
    }
    TRY(context.client().request("POST", std::string(kPools), api::toJson(post)));
    context.say("Storage pool " + post.name + " created");
    return 0;
}

Result<int> storageGet(Context &context, const Arguments &arguments)
{
    TRY(getKey(context, arguments, poolPath(arguments.word(0)), arguments.word(1)));
    return 0;
}
Result<int> storageSet(Context &context, const Arguments &arguments)
{
    TRY(setKeys(context, arguments, poolPath(arguments.word(0)), std::span(arguments.words).subspan(1)));
    return 0;
}
Result<int> storageUnset(Context &context, const Arguments &arguments)
{
    TRY(unsetKeys(context, arguments, poolPath(arguments.word(0)), arguments.word(0), std::span(arguments.words).subspan(1)));
    return 0;
}
Result<int> storageEdit(Context &context, const Arguments &arguments)
{
    TRY(editKeys(context, poolPath(arguments.word(0)), kEditHelp));
    return 0;
}

Result<int> storageDelete(Context &context, const Arguments &arguments)
{
    for (const std::string &name : arguments.words) {
        TRY(context.client().request("DELETE", poolPath(name)));
        context.say("Storage pool " + name + " deleted");
    }
    return 0;
}

Result<int> storageDetach(Context &context, const Arguments &arguments)
{
    const std::string name = arguments.word(0);
    const auto pool = TRY(context.client().get<StoragePool>(poolPath(name)));
    TRY(context.client().request("POST", client::path("/1.0/lxmgr/storage-pools", {name, "detach"})));
    context.say("Storage pool " + name + " detached; 'lxmgr storage create " + name + " " + pool.driver +
                " source=" + sourceOf(pool) + "' takes it over again");
    return 0;
}

} // namespace lxmgr::cli
