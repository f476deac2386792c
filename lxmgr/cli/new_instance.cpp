#include "cli/new_instance.h"

#include "api/instances.h"
#include "api/operations.h"
#include "api/types.h"
#include "base/text.h"
#include "cli/keys.h"

namespace lxmgr::cli
{

namespace
{

/// "root,size=10GiB,pool=fast"
Status addDeviceKeys(api::Devices &devices, const std::string &text)
{
    const std::vector<std::string> parts = split(text, ',');
    if (parts.size() < 2)
        return Error(Code::Usage, quoted(text) + " is no device key: <device>,<key>=<value>");
    for (std::size_t i = 1; i < parts.size(); ++i) {
        const KeyValue pair = TRY(keyValue(parts[i]));
        devices[parts[0]][pair.key] = pair.value;
    }
    return {};
}

} // namespace

Status addOptions(api::InstancesPost &post, const Arguments &arguments)
{
    for (const std::string &text : arguments.values("config")) {
        const KeyValue pair = TRY(keyValue(text));
        post.config[pair.key] = pair.value;
    }
    for (const std::string &text : arguments.values("device"))
        TRY(addDeviceKeys(post.devices, text));
    if (arguments.has("profile"))
        post.profiles = arguments.values("profile");
    if (arguments.has("no-profiles"))
        post.profiles = std::vector<std::string>();
    if (const auto network = arguments.value("network")) {
        api::StringMap &nic = post.devices["eth0"];
        nic.insert({{"type", "nic"}, {"name", "eth0"}}); // what --device says of it stays
        nic["network"] = *network;
    }
    if (const auto pool = arguments.value("storage")) {
        api::StringMap &root = post.devices["root"];
        root.insert({{"type", "disk"}, {"path", "/"}});
        root["pool"] = *pool;
    }
    if (const auto description = arguments.value("description"))
        post.description = *description;
    post.ephemeral = post.ephemeral || arguments.has("ephemeral");
    return {};
}

Status completeDevices(api::InstancesPost &post, const api::Devices &inherited)
{
    for (auto &[name, keys] : post.devices) {
        if (keys.contains("type"))
            continue;
        const auto found = inherited.find(name);
        if (found == inherited.end())
            return Error(Code::Invalid, "device " + quoted(name) + " is in no profile, so it needs its type: -d " +
                                            name + ",type=...");
        keys.insert(found->second.begin(), found->second.end()); // what was given stays
    }
    return {};
}

std::string nameOf(const api::Operation &operation)
{
    if (!operation.resources)
        return {};
    const auto found = operation.resources->find("instances");
    if (found == operation.resources->end() || found->second.empty())
        return {};
    const std::string &url = found->second.front();
    const std::string bare = url.substr(0, url.find('?'));
    return bare.substr(bare.rfind('/') + 1);
}

} // namespace lxmgr::cli
