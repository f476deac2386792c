#include "instances/root_disk.h"

#include "base/text.h"

namespace lxmgr::instances
{

std::string rootIn(const DeviceMap &devices)
{
    for (const auto &[name, keys] : devices) {
        const auto type = keys.find("type"), path = keys.find("path");
        if (type != keys.end() && type->second == "disk" && path != keys.end() && path->second == "/")
            return name;
    }
    return {};
}

std::string poolIn(const DeviceMap &devices)
{
    const std::string root = rootIn(devices);
    if (root.empty())
        return {};
    const auto pool = devices.at(root).find("pool");
    return pool == devices.at(root).end() ? std::string() : pool->second;
}

Result<std::optional<Bytes>> sizeIn(const DeviceMap &devices)
{
    const std::string root = rootIn(devices);
    const auto size = root.empty() ? StringMap::const_iterator() : devices.at(root).find("size");
    if (root.empty() || size == devices.at(root).end() || size->second.empty())
        return std::optional<Bytes>();
    return std::optional(TRY_IN("device " + quoted(root) + ": size", parseBytes(size->second)));
}

DeviceMap withoutLimits(DeviceMap devices)
{
    if (const std::string root = rootIn(devices); !root.empty())
        devices.at(root).erase("size");
    for (auto &[name, keys] : devices)
        if (const auto type = keys.find("type"); type != keys.end() && type->second == "disk")
            for (const char *key : {"limits.max", "limits.read", "limits.write"})
                keys.erase(key);
    return devices;
}

void settleRoot(DeviceMap &devices, const DeviceMap &expanded, const std::string &pool)
{
    if (poolIn(expanded) == pool)
        return;
    const std::string name = rootIn(expanded);
    StringMap root = name.empty() ? StringMap{{"type", "disk"}, {"path", "/"}} : expanded.at(name);
    root["pool"] = pool;
    devices[name.empty() ? "root" : name] = std::move(root);
}

void settleRoot(store::Snapshot &snapshot, const std::string &pool)
{
    const DeviceMap expanded = snapshot.expandedDevices;
    settleRoot(snapshot.devices, expanded, pool);
    settleRoot(snapshot.expandedDevices, expanded, pool);
}

} // namespace lxmgr::instances
