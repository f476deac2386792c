// Planning of device nodes: which ones a device stands for on this host now.
#pragma once

#include "base/paths.h"
#include "base/result.h"
#include "config/devices.h"
#include "spec/launch.h"

#include <vector>

namespace lxmgr::instances
{

/// What nodes are looked up by.
struct NodeSource {
    const Paths &paths;
    const StringMap &volatileKeys;
    const spec::LaunchSpec *running = nullptr; ///< What a card in there brought is not to be found on the host any more.
};
/// The nodes below /dev that a device is on this host now: none where what it stands for may be missing and is. NotFound:
/// nothing like it is connected.
Result<std::vector<spec::DeviceNode>> planNodes(const config::Device &device, const NodeSource &source);

} // namespace lxmgr::instances
