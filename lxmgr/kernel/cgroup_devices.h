// Device access: a list of rules becomes a small BPF program on a cgroup2 folder (bpf(2), BPF_CGROUP_DEVICE), or what
// devices.list of v1 says.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::cgroup
{

/// One line of the device list: kind 'a' all, 'b' block, 'c' character; no number means any. access of "rwm".
struct DeviceRule {
    char kind = 'c';
    std::optional<std::uint32_t> major, minor;
    std::string access = "rwm";
    bool operator==(const DeviceRule &) const = default;
};
/// "c 10:229 rwm", as devices.allow of v1 takes it.
std::string formatDeviceRule(const DeviceRule &rule);
/// One rule a line. Invalid with the line.
Result<std::vector<DeviceRule>> parseDeviceRules(std::string_view lines);

/// Lets processes below `folder` use what `rules` list and nothing else; replaces an earlier program of ours in one step.
/// Unsupported where the kernel has no BPF for control groups.
Status attachDeviceProgram(const Fd &folder, std::string_view rules);

/// The same with the devices controller of v1: what is listed and not allowed yet is allowed, then the rest is not. What
/// both have is never without, so that no process is refused /dev/null meanwhile.
Status writeDeviceList(const Fd &folder, std::string_view rules);

} // namespace lxmgr::cgroup
