#include "config/expand.h"

#include "config/findings.h"

namespace lxmgr::config
{

namespace
{

void lay(Expanded &expanded, const StringMap &config, const DeviceMap &devices)
{
    for (const auto &[key, value] : config)
        if (!value.empty())
            expanded.config[key] = value;
    for (const auto &[name, keys] : devices)
        expanded.devices[name] = keys;
}

} // namespace

Expanded expand(std::span<const ProfileDocument> profiles, const StringMap &config, const DeviceMap &devices)
{
    Expanded expanded;
    for (const ProfileDocument &profile : profiles)
        lay(expanded, profile.config, profile.devices);
    lay(expanded, config, devices);
    return expanded;
}

Result<Effective> parseEffective(const Expanded &expanded)
{
    Findings findings;
    Result<InstanceConfig> config = parseInstanceConfig(expanded.config);
    if (!config)
        findings.add(std::move(config.error()));
    Result<std::vector<Device>> devices = parseDevices(expanded.devices, DeviceSet::Expanded);
    if (!devices)
        findings.add(std::move(devices.error()));
    TRY(findings.status());
    return Effective{std::move(*config), std::move(*devices)};
}

} // namespace lxmgr::config
