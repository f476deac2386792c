#include "instances/root_disk.h"

namespace lxmgr::instances
{

namespace
{

std::string rootNameIn(const DeviceMap &devices)
{
    for (const auto &[name, keys] : devices) {
        const auto type = keys.find("type"), path = keys.find("path");
        if (type != keys.end() && type->second == "disk" && path != keys.end() && path->second == "/")
            return name;
    }
    return {};
}

} // namespace

std::string poolIn(const DeviceMap &devices)
{
    const std::string root = rootNameIn(devices);
    if (root.empty())
        return {};
    const auto pool = devices.at(root).find("pool");
    return pool == devices.at(root).end() ? std::string() : pool->second;
}

void settleRoot(DeviceMap &devices, const DeviceMap &expanded, const std::string &pool)
{
    if (poolIn(expanded) == pool)
        return;
    const std::string name = rootNameIn(expanded);
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
