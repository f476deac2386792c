// Planning: what is wanted of an instance and what this host is → a LaunchSpec. A pure function; nothing is touched.
#pragma once

#include "base/paths.h"
#include "config/expand.h"
#include "images/render.h"
#include "kernel/cgroup_limits.h"
#include "network/filters.h"
#include "spec/launch.h"
#include "storage/driver.h"
#include "store/instances.h"

#include <map>
#include <set>
#include <string>

namespace lxmgr::instances
{

/// What the monitor makes of a NIC, and what its managed network has to know.
struct NicPlan {
    spec::Nic card;
    std::string network; ///< Managed network, "" for none.
    std::string ipv4;    ///< Fixed address wanted of it, "" for none.
    std::string ipv6;    ///< The same.
    network::PortFilter filter;
};

/// What is behind a disk device: the tree of a volume, or a path of the host.
struct DiskSource {
    std::string path;
    bool idmapped = true; ///< Of a volume: owners there are the guest's own ids.
    std::string beneath;  ///< Of a path of the host: the folder that its project keeps it to, "" for none.
};
using DiskSources = std::map<std::string, DiskSource>; ///< By the name of the device.

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

/// Interfaces of the host that are in guests that run, and the names of these.
using Lent = std::map<std::string, std::string>;
/// What planning would find wrong with the devices on this host: a source, node or bridge that is not there. What is lent comes
/// back.
Status checkDevices(const config::Effective &effective, const DiskSources &sources, const Lent &lent, const Paths &paths);
/// Whether this host lets the cards `come` be, once `gone` are not there any more.
Status checkCards(const std::vector<spec::Nic> &come, const std::vector<spec::Nic> &gone, const Lent &lent);
/// NICs among the devices, with volatile.<device>.hwaddr, .host_name and .name filled in. Invalid: a device names neither.
Result<std::vector<NicPlan>> planNics(const config::Effective &effective);
/// The mounts that a disk other than the root is: none where its source may be missing and is.
Result<std::vector<spec::Mount>> planMounts(const config::Device &device, const DiskSources &sources);
/// What is not there any more of a running guest's devices: an error, or for now as it is.
enum class Missing { Refused, Kept };
/// The interface of the host that a device takes into the guest, "" where it takes none or (sriov) none is chosen.
std::string lentInterface(const config::Device &device, const StringMap &volatileKeys);
/// Of a device that is a virtual function (sriov): the interface of the card; nullptr of every other.
const std::string *parentOfFunction(const config::Device &device);
/// Interfaces of all virtual functions that such a device may be, taken or not. NotFound, Invalid: its parent has none.
Result<std::vector<std::string>> virtualFunctions(const config::Device &device, const Paths &paths);
/// What nodes are looked up by.
struct NodeSource {
    const Paths &paths;
    const StringMap &volatileKeys;
    const spec::LaunchSpec *running = nullptr; ///< What a card in there brought is not to be found on the host any more.
};
/// The nodes below /dev that a device is on this host now: none where what it stands for may be missing and is. NotFound:
/// nothing like it is connected.
Result<std::vector<spec::DeviceNode>> planNodes(const config::Device &device, const NodeSource &source);
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
