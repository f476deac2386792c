// Profiles in order, then the instance's own: what an instance really has.
#pragma once

#include "config/devices.h"
#include "config/instance_config.h"
#include "config/yaml.h"

namespace lxmgr::config
{

struct Expanded {
    StringMap config;
    DeviceMap devices; ///< Whole devices replace each other by name; "none" ones are still in.
    bool operator==(const Expanded &) const = default;
};

/// Later wins; keys with an empty value do not count.
Expanded expand(std::span<const ProfileDocument> profiles, const StringMap &config, const DeviceMap &devices);

/// The expanded config and devices, checked and typed: what planning and policy read.
struct Effective {
    InstanceConfig config;
    std::vector<Device> devices;
};
Result<Effective> parseEffective(const Expanded &expanded);

} // namespace lxmgr::config
