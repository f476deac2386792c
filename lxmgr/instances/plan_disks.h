// Planning of disks: what each mounts in the guest. A pure function but for a look whether its source is there.
#pragma once

#include "base/result.h"
#include "config/devices.h"
#include "spec/launch.h"

#include <map>
#include <string>
#include <vector>

namespace lxmgr::instances
{

/// What is behind a disk device: the tree of a volume, or a path of the host.
struct DiskSource {
    std::string path;
    bool idmapped = true; ///< Of a volume: owners there are the guest's own ids.
    std::string beneath;  ///< Of a path of the host: the folder that its project keeps it to, "" for none.
};
using DiskSources = std::map<std::string, DiskSource>; ///< By the name of the device.

/// The mounts that a disk other than the root is: none where its source may be missing and is.
Result<std::vector<spec::Mount>> planMounts(const config::Device &device, const DiskSources &sources);

} // namespace lxmgr::instances
