// config device, profile device: the devices of an instance or a profile.
#include "api/instances.h"
#include "api/types.h"
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/context.h"
#include "cli/keys.h"
#include "cli/output.h"

namespace lxmgr::cli
{

namespace
{

/// Whose devices.
enum class Of { Instance, Profile };

/// An instance or profile as it is now and what has to come along when it is written back.
struct Holder {
    std::string path;
    std::string name;
    Of of = Of::Instance;
    api::Json object;
    std::string etag;

    api::Devices devices;
};

Result<Holder> fetch(Context &context, const std::string &name, Of of)
{
    Holder holder;
    holder.name = name;
    holder.of = of;
    holder.path = of == Of::Profile ? client::path("/1.0/profiles", {name}) : TRY(instancePath(name));
    const client::Answer answer = TRY(context.client().request("GET", holder.path));
    holder.object = TRY(client::Client::parse<api::Json>(answer.metadata));
    holder.devices = TRY(client::Client::parse<api::Instance>(answer.metadata)).devices;
    holder.etag = answer.etag;
    return holder;
}

Result<api::StringMap *> deviceIn(Holder &holder, const std::string &device)
{
    const auto found = holder.devices.find(device);
    if (found != holder.devices.end())
        return &found->second;
    const api::Json *expanded = holder.object.find("expanded_devices");
    if (expanded && expanded->find(device))
        return Error(Code::NotFound, "device " + quoted(device) + " of " + quoted(holder.name) + " comes from a profile")
            .hint("'lxmgr config device add' with the same name puts one of its own in its place");
    return Error(Code::NotFound, quoted(holder.name) + " has no device " + quoted(device));
}

Status store(Context &context, Holder &holder)
{
    api::InstancePut put;
    put.devices = holder.devices;
    const auto body = TRY(api::Json::parse(api::toJson(put)));
    api::Json document = api::Json::object();
    for (const std::string_view field : {"architecture", "config", "ephemeral", "profiles", "stateful", "description"})
        if (const api::Json *value = holder.object.find(field))
            document[field] = *value;
    document["devices"] = *body.find("devices");
    http::Headers headers;
    if (!holder.etag.empty())
        headers.set("If-Match", holder.etag);
    TRY(runWithProgress(context, "PUT", holder.path, document.dump(), "Updating", std::move(headers)));
    return {};
}

Result<api::Json> asJson(const api::Devices &devices) { return api::Json::parse(api::toJson(devices)); }

Result<int> add(Context &context, const Arguments &arguments, Of of)
{
    Holder holder = TRY(fetch(context, arguments.word(0), of));
    const std::string device = arguments.word(1);
    if (holder.devices.contains(device))
        return Error(Code::AlreadyExists, quoted(arguments.word(0)) + " has a device " + quoted(device) + " already");
    api::StringMap keys{{"type", arguments.word(2)}};
    for (std::size_t i = 3; i < arguments.words.size(); ++i) {
        const KeyValue pair = TRY(keyValue(arguments.words[i]));
        keys[pair.key] = pair.value;
    }
    holder.devices[device] = std::move(keys);
    TRY(store(context, holder));
    context.say("Device " + device + " added to " + arguments.word(0));
    return 0;
}

Result<int> get(Context &context, const Arguments &arguments, Of of)
{
    Holder holder = TRY(fetch(context, arguments.word(0), of));
    const api::StringMap *keys = TRY(deviceIn(holder, arguments.word(1)));
    const auto value = keys->find(arguments.word(2));
    context.printLine(value == keys->end() ? "" : value->second);
    return 0;
}

Result<int> list(Context &context, const Arguments &arguments, Of of)
{
    for (const auto &[name, keys] : TRY(fetch(context, arguments.word(0), of)).devices)
        context.printLine(escaped(name));
    return 0;
}

Result<int> remove(Context &context, const Arguments &arguments, Of of)
{
    Holder holder = TRY(fetch(context, arguments.word(0), of));
    for (std::size_t i = 1; i < arguments.words.size(); ++i) {
        TRY(deviceIn(holder, arguments.words[i]));
        holder.devices.erase(arguments.words[i]);
    }
    TRY(store(context, holder));
    for (std::size_t i = 1; i < arguments.words.size(); ++i)
        context.say("Device " + arguments.words[i] + " removed from " + arguments.word(0));
    return 0;
}

Result<int> set(Context &context, const Arguments &arguments, Of of)
{
    Holder holder = TRY(fetch(context, arguments.word(0), of));
    api::StringMap *keys = TRY(deviceIn(holder, arguments.word(1)));
    for (const KeyValue &pair : TRY(keyValues(std::span(arguments.words).subspan(2))))
        (*keys)[pair.key] = pair.value;
    TRY(store(context, holder));
    return 0;
}

Result<int> show(Context &context, const Arguments &arguments, Of of)
{
    Holder holder = TRY(fetch(context, arguments.word(0), of));
    const api::Json *expanded = holder.object.find("expanded_devices");
    const bool all = arguments.has("expanded") && expanded;
    TRY(printObject(context, arguments, all ? *expanded : TRY(asJson(holder.devices))));
    return 0;
}

Result<int> unset(Context &context, const Arguments &arguments, Of of)
{
    Holder holder = TRY(fetch(context, arguments.word(0), of));
    api::StringMap *keys = TRY(deviceIn(holder, arguments.word(1)));
    for (std::size_t i = 2; i < arguments.words.size(); ++i)
        if (keys->erase(arguments.words[i]) == 0)
            return Error(Code::NotFound,
                         "device " + quoted(arguments.word(1)) + " has no key " + quoted(arguments.words[i]));
    TRY(store(context, holder));
    return 0;
}

} // namespace

Result<int> deviceAdd(Context &context, const Arguments &arguments) { return add(context, arguments, Of::Instance); }
Result<int> deviceGet(Context &context, const Arguments &arguments) { return get(context, arguments, Of::Instance); }
Result<int> deviceList(Context &context, const Arguments &arguments) { return list(context, arguments, Of::Instance); }
Result<int> deviceRemove(Context &context, const Arguments &arguments) { return remove(context, arguments, Of::Instance); }
Result<int> deviceSet(Context &context, const Arguments &arguments) { return set(context, arguments, Of::Instance); }
Result<int> deviceShow(Context &context, const Arguments &arguments) { return show(context, arguments, Of::Instance); }
Result<int> deviceUnset(Context &context, const Arguments &arguments) { return unset(context, arguments, Of::Instance); }
Result<int> profileDeviceAdd(Context &context, const Arguments &arguments) { return add(context, arguments, Of::Profile); }
Result<int> profileDeviceGet(Context &context, const Arguments &arguments) { return get(context, arguments, Of::Profile); }
Result<int> profileDeviceList(Context &context, const Arguments &arguments) { return list(context, arguments, Of::Profile); }
Result<int> profileDeviceRemove(Context &context, const Arguments &arguments) { return remove(context, arguments, Of::Profile); }
Result<int> profileDeviceSet(Context &context, const Arguments &arguments) { return set(context, arguments, Of::Profile); }
Result<int> profileDeviceShow(Context &context, const Arguments &arguments) { return show(context, arguments, Of::Profile); }
Result<int> profileDeviceUnset(Context &context, const Arguments &arguments) { return unset(context, arguments, Of::Profile); }

} // namespace lxmgr::cli
