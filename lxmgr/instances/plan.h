// Planning: what is wanted of an instance and what this host is → a LaunchSpec. A pure function; nothing is touched.
#pragma once

#include "base/paths.h"
#include "config/expand.h"
#include "images/render.h"
#include "instances/plan_cards.h"
#include "instances/plan_disks.h"
#include "instances/plan_nodes.h"
#include "kernel/cgroup_limits.h"
#include "spec/launch.h"
#include "storage/driver.h"
#include "store/instances.h"

#include <string>
#include <vector>

namespace lxmgr::instances
{

struct PlanInput {
    const store::Instance &instance;
    const config::Effective &effective;
    const storage::RootTree &root;
    const DiskSources &sources;
    const std::vector<images::RenderedFile> &files;
    const std::vector<cgroup::Write> &cgroupWrites;
    const std::string &seccomp;
    const std::string &intercepts;
    const Paths &paths;
    std::vector<spec::Mount> view; ///< ownView().
};

/// What planning would find wrong with the devices on this host: a source, node or bridge that is not there. What is lent comes
/// back.
Status checkDevices(const config::Effective &effective, const DiskSources &sources, const Lent &lent, const Paths &paths);
/// What is not there any more of a running guest's devices: an error, or for now as it is.
enum class Missing { Refused, Kept };
/// limits.* in the terms of kernel/cgroup_limits.
cgroup::Limits limitsOf(const config::InstanceConfig &config, const std::vector<config::Device> &devices, const NodeSource &source);
/// What the monitor mounts as root file system.
spec::Rootfs rootfsOf(const storage::RootTree &tree, bool readOnly);
/// The ids of a guest: its own range, or empty when privileged.
/// `also`: raw.idmap. Without it files on disk have the same owners inside.
spec::IdMap idMapOf(const store::Instance &instance, const config::IdMapList &also = {});
/// Folder of the instance below each cgroup hierarchy.
std::string cgroupOf(const Paths &paths, const std::string &project, const std::string &name);

Result<spec::LaunchSpec> plan(const PlanInput &input);

} // namespace lxmgr::instances
