// config get, set, unset, show, edit: of an instance, or of the server where none is named.
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/context.h"
#include "cli/editing.h"
#include "cli/keys.h"
#include "cli/output.h"
#include "cli/snapshots.h"
#include "cli/yaml.h"

#include <algorithm>

namespace lxmgr::cli
{

namespace
{

constexpr std::string_view kEditHelp =
    "# This is the configuration of an instance. Lines that begin with '#' are left out.\n"
    "# Keys below 'config' and devices below 'devices' can be added, changed and removed;\n"
    "# what the image and the daemon themselves wrote (image.*, volatile.*) is best left as it is.\n";
constexpr std::string_view kServerEditHelp =
    "# This is the configuration of the server. Lines that begin with '#' are left out.\n";

/// What a user may write back, in the order it is shown.
constexpr std::string_view kInstanceFields[] = {"architecture", "config",   "devices",    "ephemeral",
                                                "profiles",     "stateful", "description"};

api::Json editable(const api::Json &instance)
{
    api::Json document = api::Json::object();
    for (const std::string_view field : kInstanceFields)
        if (const api::Json *value = instance.find(field))
            document[field] = *value;
    return document;
}

/// Only the keys that change are sent: nothing that the daemon wrote meanwhile can be lost.
Status patch(Context &context, const std::string &path, const api::Json &changes)
{
    TRY(runWithProgress(context, "PATCH", path, changes.dump(), "Updating"));
    return {};
}

api::Json fieldValue(std::string_view key, const std::string &value)
{
    if (key == "ephemeral" || key == "stateful")
        if (const Result<bool> flag = parseBool(value))
            return *flag;
    return value;
}

Status checkField(const std::string &key)
{
    if (key != "description" && key != "ephemeral" && key != "stateful")
        return Error(Code::Usage, quoted(key) + " is no field that can be set: description, ephemeral or stateful");
    return {};
}

} // namespace

namespace
{

/// Where each key of "config" and each device of "devices" comes from: of the profiles the last that has it counts, and the
/// instance's own more than any. A device counts whole.
Result<Origins> originsOf(Context &context, const api::Json &instance)
{
    Origins origins;
    const auto take = [&](const api::Json &holder, const std::string &name) {
        for (const std::string_view part : {"config", "devices"})
            if (const api::Json *map = holder.find(part); map && map->asObject())
                for (const auto &[key, value] : *map->asObject())
                    origins[std::string(part) + "." + key] = name;
    };
    if (const api::Json *profiles = instance.find("profiles"); profiles && profiles->asArray())
        for (const api::Json &profile : *profiles->asArray())
            if (const std::string *name = profile.asString())
                take(TRY(context.client().get<api::Json>(client::path("/1.0/profiles", {*name}))), "profile " + *name);
    api::Json own = api::Json::object();
    if (const api::Json *config = instance.find("own_config"))
        own["config"] = *config;
    if (const api::Json *devices = instance.find("own_devices"))
        own["devices"] = *devices;
    take(own, "instance");
    return origins;
}

} // namespace

Result<int> configGet(Context &context, const Arguments &arguments)
{
    const bool server = arguments.words.size() == 1;
    const std::string key = arguments.words.back();
    const api::Json object =
        TRY(context.client().get<api::Json>(server ? "/1.0" : TRY(instancePath(arguments.word(0)))));
    const api::Json *holder = arguments.has("property")
                                  ? &object
                                  : object.find(arguments.has("expanded") && !server ? "expanded_config" : "config");
    const api::Json *value = holder ? holder->find(key) : nullptr;
    context.printLine(value ? valueText(*value) : "");
    return 0;
}

Result<int> configSet(Context &context, const Arguments &arguments)
{
    // "key=value" first, or a key, which has a dot: the server's. Otherwise the first word is an instance.
    const bool server = arguments.word(0).find_first_of("=.") != std::string::npos;
    const std::string path = server ? "/1.0" : TRY(instancePath(arguments.word(0)));
    const std::span<const std::string> words(arguments.words.begin() + (server ? 0 : 1), arguments.words.end());
    if (words.empty())
        return Error(Code::Usage, "what to set is missing: lxmgr config set <instance> <key>=<value>...");
    api::Json changes = api::Json::object();
    for (const KeyValue &pair : TRY(keyValues(words))) {
        if (!arguments.has("property")) {
            changes["config"][pair.key] = pair.value;
            continue;
        }
        TRY(checkField(pair.key));
        changes[pair.key] = fieldValue(pair.key, pair.value);
    }
    TRY(patch(context, path, changes));
    return 0;
}

Result<int> configUnset(Context &context, const Arguments &arguments)
{
    const bool server = arguments.words.size() == 1;
    const std::string path = server ? "/1.0" : TRY(instancePath(arguments.word(0)));
    Versioned now = TRY(fetch(context, path));
    for (std::size_t i = server ? 0 : 1; i < arguments.words.size(); ++i) {
        const std::string &key = arguments.words[i];
        if (arguments.has("property")) {
            TRY(checkField(key));
            now.object[key] = fieldValue(key, key == "description" ? "" : "false");
            continue;
        }
        const api::Json *config = now.object.find("config");
        if (!config || !config->find(key))
            return Error(Code::NotFound,
                         quoted(key) + " is not set" + (server ? "" : " on " + quoted(arguments.word(0)) + " itself"));
        now.object["config"].remove(key);
    }
    api::Json document = api::Json::object();
    if (server)
        document["config"] = *now.object.find("config");
    TRY(put(context, path, server ? document : editable(now.object), now.etag));
    return 0;
}

Result<int> configShow(Context &context, const Arguments &arguments)
{
    const bool server = arguments.words.empty();
    const auto snapshot = snapshotWord(arguments.word(0));
    api::Json object = TRY(context.client().get<api::Json>(
        server ? "/1.0" : snapshot ? TRY(snapshotPath(snapshot->instance, snapshot->snapshot)) : TRY(instancePath(arguments.word(0)))));
    api::Json document = api::Json::object();
    if (server) {
        document["config"] = object["config"];
    } else {
        if (arguments.has("expanded")) {
            object["own_config"] = object["config"];
            object["own_devices"] = object["devices"];
            object["config"] = object["expanded_config"];
            object["devices"] = object["expanded_devices"];
        }
        document = editable(object);
    }
    if (arguments.has("origin")) {
        if (server || snapshot || !arguments.has("expanded") || arguments.has("format"))
            return Error(Code::Usage, "--origin goes with --expanded, for an instance, as YAML");
        context.print(toYaml(document, TRY(originsOf(context, object))));
        return 0;
    }
    TRY(printObject(context, arguments, document));
    return 0;
}

Result<int> configEdit(Context &context, const Arguments &arguments)
{
    const bool server = arguments.words.empty();
    const std::string path = server ? "/1.0" : TRY(instancePath(arguments.word(0)));
    Versioned now = TRY(fetch(context, path));
    api::Json document = api::Json::object();
    if (server)
        document["config"] = now.object["config"];
    TRY(edit(context, path, server ? kServerEditHelp : kEditHelp, server ? document : editable(now.object), now.etag));
    return 0;
}

} // namespace lxmgr::cli
