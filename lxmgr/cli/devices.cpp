// config device: the devices of an instance.
#include "cli/handlers.h"

#include "base/text.h"
#include "cli/context.h"
#include "cli/keys.h"
#include "cli/output.h"

namespace lxmgr::cli
{

namespace
{

/// An instance as it is now and what has to come along when it is written back.
struct Holder {
    std::string path;
    api::Json object;
    std::string etag;

    api::Devices devices;
};

Result<Holder> fetch(Context &context, const std::string &name)
{
    Holder holder;
    holder.path = TRY(instancePath(name));
    const client::Answer answer = TRY(context.client().request("GET", holder.path));
    holder.object = TRY(client::Client::parse<api::Json>(answer.metadata));
    holder.devices = TRY(client::Client::parse<api::Instance>(answer.metadata)).devices;
    holder.etag = answer.etag;
    return holder;
}

Result<api::StringMap *> deviceIn(Holder &holder, const std::string &device, const std::string &instance)
{
    const auto found = holder.devices.find(device);
    if (found != holder.devices.end())
        return &found->second;
    const api::Json *expanded = holder.object.find("expanded_devices");
    if (expanded && expanded->find(device))
        return Error(Code::NotFound, "device " + quoted(device) + " of " + quoted(instance) + " comes from a profile")
            .hint("'lxmgr config device add' with the same name puts one of its own in its place");
    return Error(Code::NotFound, quoted(instance) + " has no device " + quoted(device));
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

} // namespace

Result<int> deviceAdd(Context &context, const Arguments &arguments)
{
    Holder holder = TRY(fetch(context, arguments.word(0)));
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

Result<int> deviceGet(Context &context, const Arguments &arguments)
{
    Holder holder = TRY(fetch(context, arguments.word(0)));
    const api::StringMap *keys = TRY(deviceIn(holder, arguments.word(1), arguments.word(0)));
    const auto value = keys->find(arguments.word(2));
    context.printLine(value == keys->end() ? "" : value->second);
    return 0;
}

Result<int> deviceList(Context &context, const Arguments &arguments)
{
    for (const auto &[name, keys] : TRY(fetch(context, arguments.word(0))).devices)
        context.printLine(escaped(name));
    return 0;
}

Result<int> deviceRemove(Context &context, const Arguments &arguments)
{
    Holder holder = TRY(fetch(context, arguments.word(0)));
    for (std::size_t i = 1; i < arguments.words.size(); ++i) {
        TRY(deviceIn(holder, arguments.words[i], arguments.word(0)));
        holder.devices.erase(arguments.words[i]);
    }
    TRY(store(context, holder));
    for (std::size_t i = 1; i < arguments.words.size(); ++i)
        context.say("Device " + arguments.words[i] + " removed from " + arguments.word(0));
    return 0;
}

Result<int> deviceSet(Context &context, const Arguments &arguments)
{
    Holder holder = TRY(fetch(context, arguments.word(0)));
    api::StringMap *keys = TRY(deviceIn(holder, arguments.word(1), arguments.word(0)));
    for (const KeyValue &pair : TRY(keyValues(std::span(arguments.words).subspan(2))))
        (*keys)[pair.key] = pair.value;
    TRY(store(context, holder));
    return 0;
}

Result<int> deviceShow(Context &context, const Arguments &arguments)
{
    Holder holder = TRY(fetch(context, arguments.word(0)));
    const api::Json *expanded = holder.object.find("expanded_devices");
    const bool all = arguments.has("expanded") && expanded;
    TRY(printObject(context, arguments, all ? *expanded : TRY(asJson(holder.devices))));
    return 0;
}

Result<int> deviceUnset(Context &context, const Arguments &arguments)
{
    Holder holder = TRY(fetch(context, arguments.word(0)));
    api::StringMap *keys = TRY(deviceIn(holder, arguments.word(1), arguments.word(0)));
    for (std::size_t i = 2; i < arguments.words.size(); ++i)
        if (keys->erase(arguments.words[i]) == 0)
            return Error(Code::NotFound,
                         "device " + quoted(arguments.word(1)) + " has no key " + quoted(arguments.words[i]));
    TRY(store(context, holder));
    return 0;
}

} // namespace lxmgr::cli
