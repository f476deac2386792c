#include "instances/plan.h"

#include "base/text.h"
#include "instances/guest_api.h"
#include "instances/proxies.h"
#include "instances/tpms.h"
#include "kernel/host_path.h"
#include "kernel/sysfs.h"
#include "network/interfaces.h"
#include "network/network.h"

#include <algorithm>
#include <linux/capability.h>
#include <linux/if_link.h>
#include <linux/mount.h>
#include <set>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace lxmgr::instances
{

namespace
{

struct NamedLimit {
    std::string_view name;
    std::uint32_t resource;
};

// getrlimit(2); the keys are limits.kernel.<name>.
constexpr NamedLimit kResources[] = {
    {"as",         RLIMIT_AS        },
    {"core",       RLIMIT_CORE      },
    {"cpu",        RLIMIT_CPU       },
    {"data",       RLIMIT_DATA      },
    {"fsize",      RLIMIT_FSIZE     },
    {"locks",      RLIMIT_LOCKS     },
    {"memlock",    RLIMIT_MEMLOCK   },
    {"nice",       RLIMIT_NICE      },
    {"nofile",     RLIMIT_NOFILE    },
    {"nproc",      RLIMIT_NPROC     },
    {"rtprio",     RLIMIT_RTPRIO    },
    {"sigpending", RLIMIT_SIGPENDING},
};

// None of these works outside the first user namespace; without them in the bounding set systemd skips the units that
// would fail (debugfs, tracefs, modules-load), and a privileged guest cannot use them either.
constexpr unsigned kDropped[] = {CAP_MAC_ADMIN, CAP_MAC_OVERRIDE, CAP_SYS_MODULE,   CAP_SYS_RAWIO,
                                 CAP_SYS_TIME,  CAP_WAKE_ALARM,   CAP_BLOCK_SUSPEND};
// A privileged guest's root is the host's in all but these.
constexpr unsigned kDroppedPrivileged[] = {CAP_SYSLOG, CAP_BPF, CAP_PERFMON, CAP_AUDIT_READ};

std::uint64_t boundingSet(bool privileged)
{
    std::uint64_t set = (std::uint64_t{1} << (CAP_LAST_CAP + 1)) - 1;
    for (const unsigned capability : kDropped)
        set &= ~(std::uint64_t{1} << capability);
    if (privileged)
        for (const unsigned capability : kDroppedPrivileged)
            set &= ~(std::uint64_t{1} << capability);
    return set;
}

std::string relative(const std::string &absolute) { return absolute.substr(1); }

std::vector<spec::DeviceNode> standardDevices()
{
    // Nodes of our own: the host's have the host's modes, and /dev/fuse and /dev/net/tun are closed to others there.
    return {{"fuse", false, 10, 229, 0666, 0, 0, {}}, {"net/tun", false, 10, 200, 0666, 0, 0, {}}};
}

/// Nothing where its source may be missing and is.
template <char Kind> Result<std::vector<spec::DeviceNode>> nodesOf(const std::string &name, const config::UnixDevice<Kind> &device)
{
    constexpr std::string_view kDev = "/dev/";
    if (!device.inside() || !device.inside()->text.starts_with(kDev))
        return Error(Code::Invalid, "device " + quoted(name) + ": it has no path below /dev");
    spec::DeviceNode node;
    node.device = name;
    node.block = Kind == 'b';
    node.path = device.inside()->text.substr(kDev.size());
    node.mode = device.mode ? device.mode->bits : 0660;
    node.uid = device.uid.value_or(0);
    node.gid = device.gid.value_or(0);
    if (device.major && device.minor) {
        node.major = *device.major;
        node.minor = *device.minor;
        return std::vector{node};
    }
    const std::string &outside = device.outside()->text;
    struct stat info {
    };
    if (::stat(outside.c_str(), &info) < 0) {
        if (!device.required.value_or(true) && (errno == ENOENT || errno == ENOTDIR))
            return std::vector<spec::DeviceNode>();
        return Error::fromErrno(errno, "device " + quoted(name) + ": source", outside)
            .as(Code::Invalid)
            .hint("connect it to the host, or set required=false");
    }
    if (!(Kind == 'c' ? S_ISCHR(info.st_mode) : S_ISBLK(info.st_mode)))
        return Error(Code::Invalid, "device " + quoted(name) + ": " + quoted(outside) + " is not a " +
                                        (Kind == 'c' ? "character" : "block") + " device");
    node.major = major(info.st_rdev);
    node.minor = minor(info.st_rdev);
    return std::vector{node};
}

struct MountFlag {
    std::string_view option;
    std::uint64_t attribute;
};
constexpr MountFlag kMountFlags[] = {
    {"noatime",     MOUNT_ATTR_NOATIME    },
    {"nodev",       MOUNT_ATTR_NODEV      },
    {"nodiratime",  MOUNT_ATTR_NODIRATIME },
    {"noexec",      MOUNT_ATTR_NOEXEC     },
    {"nosuid",      MOUNT_ATTR_NOSUID     },
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW},
    {"relatime",    MOUNT_ATTR_RELATIME   },
    {"ro",          MOUNT_ATTR_RDONLY     },
    {"strictatime", MOUNT_ATTR_STRICTATIME},
};

/// What every kind of disk but the root has.
spec::Mount mountOf(const config::DiskDevice &disk)
{
    using Kind = config::Propagation::Kind;
    spec::Mount mount;
    mount.target = relative(disk.path->text);
    mount.readOnly = disk.readonly.value_or(false);
    for (const std::string &option : disk.rawMountOptions.value_or(config::MountOptions()).names)
        for (const MountFlag &flag : kMountFlags)
            if (flag.option == option)
                mount.attributes |= flag.attribute;
    const Kind kind = disk.propagation.value_or(config::Propagation()).kind;
    mount.propagation = kind == Kind::Shared ? MS_SHARED : kind == Kind::Slave ? MS_SLAVE : kind == Kind::Unbindable ? MS_UNBINDABLE : 0;
    return mount;
}

spec::Mount tmpfsMount(const config::DiskDevice &disk)
{
    spec::Mount mount = mountOf(disk);
    mount.kind = spec::Mount::Kind::Tmpfs;
    mount.nosuid = true;
    std::vector<std::string> options = {"mode=0755"};
    for (const std::string &option : disk.rawMountOptions.value_or(config::MountOptions()).names)
        if (config::findMountOption(option)->tmpfsOnly)
            options.push_back(option); // the later of two holds
    if (disk.size)
        options.push_back("size=" + std::to_string(disk.size->count));
    mount.options = join(options, ",");
    return mount;
}

Status planMount(const std::string &name, const config::DiskDevice &disk, const DiskSource &source, std::vector<spec::Mount> &mounts)
{
    if (auto there = path::openOnHost(source.path, source.beneath); !there) { // the monitor looks again, and mounts what it finds then
        const bool absent = there.error().errnum == ENOENT || there.error().errnum == ENOTDIR;
        if (absent && !disk.required.value_or(true))
            return {};
        Error error = std::move(there.error()).in("device " + quoted(name) + ": source");
        return absent ? std::move(error).as(Code::Invalid).hint("make it on the host, or set required=false") : std::move(error);
    }
    spec::Mount mount = mountOf(disk);
    mount.source = source.path;
    mount.beneath = source.beneath;
    mount.recursive = disk.recursive.value_or(false);
    mount.idmapped = disk.shift.value_or(false);
    mounts.push_back(std::move(mount));
    return {};
}

spec::Mount volumeMount(const config::DiskDevice &disk, const DiskSource &volume)
{
    spec::Mount mount = mountOf(disk);
    mount.source = volume.path;
    mount.idmapped = volume.idmapped;
    mount.nosuid = true; // several guests may share it
    return mount;
}

/// The same folder by the name that LXD's clients look for, and by that of Incus's.
spec::Mount guestApiMount(const std::string &folder, const std::string &target)
{
    spec::Mount mount;
    mount.source = folder;
    mount.target = target;
    mount.readOnly = true;
    mount.nosuid = true;
    return mount;
}

std::vector<std::pair<std::string, std::string>> environmentOf(const config::InstanceConfig &config)
{
    std::vector<std::pair<std::string, std::string>> environment = {
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        {"TERM", "linux"},
        {"container", "lxc"}, // what systemd, cloud-init and distributions' scripts know a system container by
    };
    if (const std::string uuid = valueOf(config.volatileKeys, "uuid"); !uuid.empty())
        environment.emplace_back("container_uuid", uuid); // systemd takes it as machine-id where there is none
    for (const auto &[name, value] : config.environment)
        environment.emplace_back(name, value);
    return environment;
}

Status planDisk(const config::Device &device, const config::DiskDevice &disk, const DiskSources &sources,
                std::vector<spec::Mount> &mounts)
{
    if (disk.isTmpfs()) {
        mounts.push_back(tmpfsMount(disk));
        return {};
    }
    if (!disk.source || !disk.path)
        return Error(Code::Invalid, "device " + quoted(device.name) + ": a disk needs source and path");
    const auto source = sources.find(device.name);
    if (source == sources.end())
        return Error(Code::NotFound, "device " + quoted(device.name) + ": its source is not known");
    if (!disk.isVolume())
        return planMount(device.name, disk, source->second, mounts);
    mounts.push_back(volumeMount(disk, source->second));
    return {};
}

} // namespace

Result<std::vector<spec::Mount>> planMounts(const config::Device &device, const DiskSources &sources)
{
    std::vector<spec::Mount> mounts;
    if (const auto *disk = device.as<config::DiskDevice>(); disk && !disk->isRoot())
        TRY(planDisk(device, *disk, sources, mounts));
    return mounts;
}

namespace
{

std::optional<std::string> textOf(const std::optional<config::HexId> &id) { return id ? std::optional(id->text) : std::nullopt; }

/// With the owner and mode that `device` has.
template <class Device>
std::vector<spec::DeviceNode> ownedNodes(const std::string &name, const Device &device, const std::vector<sysfs::Node> &nodes)
{
    std::vector<spec::DeviceNode> owned;
    for (const sysfs::Node &node : nodes)
        owned.push_back({node.path, node.block, node.major, node.minor, device.mode ? device.mode->bits : 0660, device.uid.value_or(0),
                         device.gid.value_or(0), name});
    return owned;
}

Error notConnected(const std::string &name, const std::string &what, const std::string &cure)
{
    return Error(Code::NotFound, "device " + quoted(name) + ": no " + what + " like that is connected to this host").hint(cure);
}

constexpr const char *kOptional = "connect it, or set required=false";

Result<std::vector<spec::DeviceNode>> usbNodes(const std::string &name, const config::UsbDevice &device, const Paths &paths)
{
    const sysfs::UsbFilter filter{textOf(device.vendor), textOf(device.product), device.bus, device.device, device.serial};
    const auto found = TRY_IN("device " + quoted(name), sysfs::usbDevices(paths.sysfs, filter));
    if (found.empty() && device.required.value_or(false))
        return notConnected(name, "USB device", kOptional);
    return ownedNodes(name, device, found);
}

Result<std::vector<spec::DeviceNode>> hotplugNodes(const std::string &name, const config::HotplugDevice &device, const Paths &paths)
{
    const auto found = TRY_IN("device " + quoted(name), sysfs::behindUsb(paths.sysfs, {textOf(device.vendor), textOf(device.product), {}, {}, {}}));
    if (found.empty() && device.required.value_or(false))
        return notConnected(name, "USB device with a node of its driver's", kOptional);
    return ownedNodes(name, device, found);
}

Result<std::vector<spec::DeviceNode>> gpuNodes(const std::string &name, const config::GpuDevice &device, const Paths &paths)
{
    const std::optional<std::string> pci = device.pci ? std::optional(device.pci->text) : std::nullopt;
    const auto found = TRY_IN("device " + quoted(name), sysfs::graphicsCards(paths.sysfs, {device.id, pci, textOf(device.vendor), textOf(device.product)}));
    if (found.empty())
        return notConnected(name, "graphics card", "see ls -l /sys/class/drm for those that are");
    return ownedNodes(name, device, found);
}

std::vector<spec::DeviceNode> heldNodes(const spec::LaunchSpec &running, const std::string &device)
{
    std::vector<spec::DeviceNode> nodes;
    std::ranges::copy_if(running.devices, std::back_inserter(nodes), [&](const spec::DeviceNode &node) { return node.device == device; });
    return nodes;
}

/// The card goes into the guest's network namespace, and out of sight with it.
Result<std::vector<spec::DeviceNode>> infinibandNodes(const config::Device &device, const NodeSource &source)
{
    constexpr std::uint32_t kNotForAll = 0600;
    const std::string interface = lentInterface(device, source.volatileKeys);
    std::vector<spec::DeviceNode> nodes;
    if (interface.empty())
        return nodes;
    const auto isIt = [&](const spec::Nic &card) { return card.device == device.name && card.parent == interface; };
    if (source.running && std::ranges::any_of(source.running->nics, isIt))
        return heldNodes(*source.running, device.name);
    for (const sysfs::Node &node : TRY_IN("device " + quoted(device.name), sysfs::infinibandNodes(source.paths.sysfs, interface)))
        nodes.push_back({node.path, node.block, node.major, node.minor, node.mode.value_or(kNotForAll), 0, 0, device.name});
    return nodes;
}

} // namespace

std::string lentInterface(const config::Device &device, const StringMap &volatileKeys)
{
    if (const auto *nic = device.as<config::NicDevice>()) {
        if (nic->isVirtual())
            return valueOf(volatileKeys, device.name + ".host_name");
        return nic->kind() == config::NicKind::Physical && nic->parent ? nic->parent->text : std::string();
    }
    const auto *port = device.as<config::InfinibandDevice>();
    if (!port || !port->parent)
        return {};
    return port->isVirtual() ? valueOf(volatileKeys, device.name + ".host_name") : port->parent->text;
}

Result<std::vector<spec::DeviceNode>> planNodes(const config::Device &device, const NodeSource &source)
{
    const Paths &paths = source.paths;
    if (device.as<config::TpmDevice>())
        return source.running ? heldNodes(*source.running, device.name) : std::vector<spec::DeviceNode>(); // made when the guest starts
    if (device.as<config::InfinibandDevice>())
        return infinibandNodes(device, source);
    if (const auto *usb = device.as<config::UsbDevice>())
        return usbNodes(device.name, *usb, paths);
    if (const auto *hotplug = device.as<config::HotplugDevice>())
        return hotplugNodes(device.name, *hotplug, paths);
    if (const auto *gpu = device.as<config::GpuDevice>())
        return gpuNodes(device.name, *gpu, paths);
    if (const auto *node = device.as<config::UnixCharDevice>())
        return nodesOf(device.name, *node);
    if (const auto *node = device.as<config::UnixBlockDevice>())
        return nodesOf(device.name, *node);
    return std::vector<spec::DeviceNode>();
}

namespace
{

bool isCard(const config::Device &device) { return device.as<config::NicDevice>() || device.as<config::InfinibandDevice>(); }

/// Name inside that is settled: as the device says, or as it got when it was plugged in.
std::string settledName(const config::Effective &effective, const config::Device &device)
{
    const auto *nic = device.as<config::NicDevice>();
    const auto &name = nic ? nic->name : device.as<config::InfinibandDevice>()->name;
    return name ? name->text : valueOf(effective.config.volatileKeys, device.name + ".name");
}

std::set<std::string> settledNames(const config::Effective &effective)
{
    std::set<std::string> names;
    for (const config::Device &device : effective.devices)
        if (isCard(device))
            names.insert(settledName(effective, device));
    return names;
}

Status planDevices(const config::Effective &effective, const DiskSources &sources, const Lent &lent, const Paths &paths, spec::LaunchSpec &spec)
{
    for (const config::Device &device : effective.devices) {
        for (spec::Mount &mount : TRY(planMounts(device, sources)))
            spec.mounts.push_back(std::move(mount));
        if (lent.contains(lentInterface(device, effective.config.volatileKeys)))
            continue;
        for (spec::DeviceNode &node : TRY(planNodes(device, {paths, effective.config.volatileKeys})))
            if (std::ranges::find(spec.devices, node.path, &spec::DeviceNode::path) == spec.devices.end()) // two may stand for the same
                spec.devices.push_back(std::move(node));
    }
    return {};
}

Result<std::vector<spec::ResourceLimit>> planResources(const config::InstanceConfig &config)
{
    std::vector<spec::ResourceLimit> limits;
    for (const auto &[name, limit] : config.kernelLimits) {
        const auto *row = std::ranges::find(kResources, name, &NamedLimit::name);
        if (row == std::end(kResources))
            return Error(Code::Invalid, "limits.kernel." + name + ": no such limit");
        limits.push_back({row->resource, limit.soft, limit.hard});
    }
    return limits;
}

} // namespace

const std::string *parentOfFunction(const config::Device &device)
{
    const auto *nic = device.as<config::NicDevice>();
    const auto *port = device.as<config::InfinibandDevice>();
    if (nic && nic->isVirtual())
        return &nic->parent->text;
    return port && port->isVirtual() ? &port->parent->text : nullptr;
}

Result<std::vector<std::string>> virtualFunctions(const config::Device &device, const Paths &paths)
{
    const std::string &parent = *parentOfFunction(device);
    return device.as<config::NicDevice>() ? sysfs::virtualCards(paths.sysfs, parent) : sysfs::virtualInfinibandPorts(paths.sysfs, parent);
}

Status checkDevices(const config::Effective &effective, const DiskSources &sources, const Lent &lent, const Paths &paths)
{
    spec::LaunchSpec unused;
    TRY(planDevices(effective, sources, lent, paths, unused));
    // Whether the firewall can be told.
    (void)TRY(network::proxyRules("", natForwards(TRY(planProxies(effective))), {}));
    for (const config::Device &device : effective.devices) {
        if (device.as<config::TpmDevice>())
            TRY_IN("device " + quoted(device.name), checkTpmSupport(paths));
        if (parentOfFunction(device))
            TRY_IN("device " + quoted(device.name), virtualFunctions(device, paths));
        const auto *nic = device.as<config::NicDevice>();
        if (!nic || nic->isVirtual() || nic->network || !nic->parent || network::hostInterface(nic->parent->text))
            continue;
        if (lent.contains(lentInterface(device, effective.config.volatileKeys)))
            continue;
        return Error(Code::NotFound, "device " + quoted(device.name) + ": no interface " + quoted(nic->parent->text) + " on this host" +
                                         (nic->kind() == config::NicKind::Bridged ? " (make the bridge first, or use network=)" : ""));
    }
    return {};
}

namespace
{

std::uint32_t macvlanMode(config::MacvlanMode mode)
{
    switch (mode) {
    case config::MacvlanMode::Vepa:
        return MACVLAN_MODE_VEPA;
    case config::MacvlanMode::Private:
        return MACVLAN_MODE_PRIVATE;
    case config::MacvlanMode::Passthru:
        return MACVLAN_MODE_PASSTHRU;
    case config::MacvlanMode::Bridge:
        break;
    }
    return MACVLAN_MODE_BRIDGE;
}

/// All but its names and its MAC address.
spec::Nic planCard(const config::NicDevice &nic)
{
    spec::Nic card;
    card.mtu = nic.mtu.value_or(0);
    card.queueLength = nic.queueLength.value_or(0);
    const auto append = [](std::vector<std::string> &to, const auto &list) {
        if (list)
            to.insert(to.end(), list->items.begin(), list->items.end());
    };
    append(card.routes, nic.ipv4Routes);
    append(card.routes, nic.ipv6Routes);
    const auto most = [](const auto &both, const auto &one) { return both ? both->bits : one ? one->bits : 0; };
    card.ingress = most(nic.limitsMax, nic.limitsIngress);
    card.egress = most(nic.limitsMax, nic.limitsEgress);
    card.isolated = nic.portIsolation.value_or(false);
    if (nic.kind() == config::NicKind::Bridged) {
        card.bridge = nic.network ? nic.network->text : nic.parent ? nic.parent->text : std::string();
        if (nic.vlan)
            card.vlan = nic.vlan->id == 0 ? spec::Nic::kNoVlan : nic.vlan->id;
        if (nic.taggedVlans)
            card.vlans = nic.taggedVlans->ids;
        return card;
    }
    card.parent = nic.parent ? nic.parent->text : std::string();
    if (nic.kind() == config::NicKind::Physical || nic.isVirtual())
        card.kind = spec::Nic::Kind::Physical;
    if (nic.kind() == config::NicKind::Macvlan) {
        card.kind = spec::Nic::Kind::Macvlan;
        card.mode = macvlanMode(nic.mode.value_or(config::MacvlanMode::Bridge));
    }
    if (nic.kind() == config::NicKind::Routed) {
        append(card.hostAddresses, nic.ipv4HostAddress);
        append(card.hostAddresses, nic.ipv6HostAddress);
        card.hostTable4 = nic.ipv4HostTable.value_or(0);
        card.hostTable6 = nic.ipv6HostTable.value_or(0);
        append(card.addresses, nic.ipv4Address);
        append(card.addresses, nic.ipv6Address);
        if (nic.ipv4Address && nic.ipv4Gateway != config::Gateway::None)
            card.gateways.push_back(AF_INET);
        if (nic.ipv6Address && nic.ipv6Gateway != config::Gateway::None)
            card.gateways.push_back(AF_INET6);
    }
    return card;
}

} // namespace

namespace
{

/// eth0, eth1, … for those that have no name, in the order of their devices.
class GuestNames
{
public:
    GuestNames(const config::Effective &effective, std::string prefix)
        : m_effective(effective), m_settled(settledNames(effective)), m_prefix(std::move(prefix)) {}

    std::string next(const config::Device &device)
    {
        std::string name = settledName(m_effective, device);
        const bool free = name.empty();
        while (free && m_settled.contains(m_prefix + std::to_string(m_next)))
            ++m_next;
        if (free)
            name = m_prefix + std::to_string(m_next);
        ++m_next;
        return name;
    }

private:
    const config::Effective &m_effective;
    std::set<std::string> m_settled;
    std::string m_prefix;
    unsigned m_next = 0;
};

spec::Nic planPort(const config::Device &device, const config::InfinibandDevice &port, const StringMap &volatileKeys)
{
    spec::Nic card;
    card.device = device.name;
    card.kind = spec::Nic::Kind::Physical;
    card.parent = lentInterface(device, volatileKeys);
    card.mtu = port.mtu.value_or(0);
    card.mac = port.hwaddr ? port.hwaddr->text : std::string();
    return card;
}

} // namespace

Result<std::vector<NicPlan>> planNics(const config::Effective &effective)
{
    std::vector<NicPlan> nics;
    GuestNames ethernet(effective, "eth"), infiniband(effective, "ib");
    const bool hasNat = std::ranges::any_of(effective.devices, [](const config::Device &device) {
        const auto *proxy = device.as<config::ProxyDevice>();
        return proxy && proxy->nat.value_or(false);
    });
    for (const config::Device &device : effective.devices) {
        if (const auto *port = device.as<config::InfinibandDevice>()) {
            spec::Nic card = planPort(device, *port, effective.config.volatileKeys);
            card.guestName = infiniband.next(device);
            nics.push_back({std::move(card), {}, {}, {}, {}});
        }
        const auto *nic = device.as<config::NicDevice>();
        if (!nic)
            continue;
        NicPlan plan;
        spec::Nic &card = plan.card;
        card = planCard(*nic);
        card.device = device.name;
        if (nic->isVirtual())
            card.parent = lentInterface(device, effective.config.volatileKeys);
        plan.network = nic->network ? nic->network->text : std::string();
        if (nic->kind() == config::NicKind::Bridged && card.bridge.empty())
            return Error(Code::Invalid, "device " + quoted(device.name) + ": a nic needs network or parent");
        card.guestName = ethernet.next(device);
        if (nic->hwaddr || nic->hasOwnMac())
            card.mac = nic->hwaddr ? nic->hwaddr->text : valueOf(effective.config.volatileKeys, device.name + ".hwaddr");
        if (nic->hasHostEnd())
            card.hostName = nic->hostName ? nic->hostName->text : valueOf(effective.config.volatileKeys, device.name + ".host_name");
        if (nic->kind() == config::NicKind::Bridged) {
            card.hairpin = hasNat;
            plan.ipv4 = nic->ipv4Address ? nic->ipv4Address->items.front() : std::string();
            plan.ipv6 = nic->ipv6Address ? nic->ipv6Address->items.front() : std::string();
            plan.filter.ipv4 = nic->ipv4Filtering.value_or(false) ? plan.ipv4 : "";
            plan.filter.ipv6 = nic->ipv6Filtering.value_or(false) ? plan.ipv6 : "";
            plan.filter.checksMac = nic->macFiltering.value_or(false);
        }
        if (nic->hasHostEnd()) {
            plan.filter.port = card.hostName;
            plan.filter.bridge = card.bridge;
            plan.filter.mac = card.mac;
            if (nic->acls)
                plan.filter.acls = nic->acls->items;
            plan.filter.egress = {nic->aclEgressAction.value_or(config::AclAction::Reject), nic->aclEgressLogged.value_or(false)};
            plan.filter.ingress = {nic->aclIngressAction.value_or(config::AclAction::Reject), nic->aclIngressLogged.value_or(false)};
            plan.filter.priority = nic->limitsPriority.value_or(effective.config.networkPriority.value_or(0));
        }
        nics.push_back(std::move(plan));
    }
    return nics;
}

cgroup::Limits limitsOf(const config::InstanceConfig &config, const std::vector<config::Device> &devices, const NodeSource &source)
{
    cgroup::Limits limits;
    if (config.cpu) {
        if (config.cpu->count > 0)
            limits.cpuCount = config.cpu->count;
        limits.cpuSet = config.cpu->set;
    }
    if (config.cpuNodes)
        limits.cpuNodes = config.cpuNodes->nodes;
    limits.balancedNode = config.cpuNodes && config.cpuNodes->nodes.empty();
    if (config.cpuAllowance) {
        if (config.cpuAllowance->percent > 0)
            limits.cpuPercent = config.cpuAllowance->percent;
        else
            limits.cpuQuota = cgroup::CpuQuota{config.cpuAllowance->quota, config.cpuAllowance->period};
    }
    limits.cpuPriority = config.cpuPriority;
    limits.swapPriority = config.swapPriority;
    if (config.memory) {
        if (config.memory->percent > 0)
            limits.memoryPercent = config.memory->percent;
        else
            limits.memory = config.memory->bytes;
    }
    if (config.memoryEnforce == config::MemoryEnforce::Soft)
        limits.memoryEnforce = cgroup::MemoryEnforce::Soft;
    limits.swap = !config.memorySwap || config.memorySwap->allowed;
    if (config.memorySwap)
        limits.swapBytes = config.memorySwap->most;
    limits.diskPriority = config.diskPriority;
    for (const auto &[size, limit] : {std::pair{"64KB", config.hugepages64KB}, std::pair{"1MB", config.hugepages1MB},
                                      std::pair{"2MB", config.hugepages2MB}, std::pair{"1GB", config.hugepages1GB}})
        if (limit)
            limits.hugepages[size] = *limit;
    if (config.processes)
        limits.processes = *config.processes;
    for (const config::Device &device : devices)
        if (const auto nodes = planNodes(device, source)) // what is wrong with it is told by who plans it
            for (const spec::DeviceNode &node : *nodes)
                limits.devices.push_back({node.block ? 'b' : 'c', node.major, node.minor, "rwm"});
    return limits;
}

spec::Rootfs rootfsOf(const storage::RootTree &tree, bool readOnly)
{
    spec::Rootfs rootfs;
    rootfs.kind = tree.kind == storage::RootTree::Kind::Overlay ? spec::Rootfs::Kind::Overlay : spec::Rootfs::Kind::Directory;
    rootfs.directory = tree.directory;
    rootfs.lower = tree.lower;
    rootfs.layer = tree.layer;
    rootfs.readOnly = readOnly;
    return rootfs;
}

namespace
{

/// The guest's own range, with `entries` put where they lie inside; sorted by the ids inside.
std::vector<spec::IdRange> mapAround(const spec::IdRange &own, std::vector<spec::IdRange> entries)
{
    std::ranges::sort(entries, {}, &spec::IdRange::container);
    std::vector<spec::IdRange> map;
    const std::uint64_t end = std::uint64_t{own.container} + own.count;
    std::uint64_t next = own.container;
    const auto fill = [&](std::uint64_t upTo) {
        if (next < upTo)
            map.push_back({static_cast<std::uint32_t>(next), static_cast<std::uint32_t>(own.host + (next - own.container)),
                           static_cast<std::uint32_t>(upTo - next)});
    };
    for (const spec::IdRange &entry : entries) {
        fill(std::min<std::uint64_t>(entry.container, end));
        map.push_back(entry);
        next = std::max(next, std::uint64_t{entry.container} + entry.count);
    }
    fill(end);
    return map;
}

} // namespace

spec::IdMap idMapOf(const store::Instance &instance, const config::IdMapList &also)
{
    if (instance.idRange.size == 0)
        return {};
    const spec::IdRange own{0, instance.idRange.base, instance.idRange.size};
    std::vector<spec::IdRange> users, groups;
    for (const config::IdMapEntry &entry : also.entries) {
        const spec::IdRange range{entry.inside, entry.host, entry.count};
        if (entry.users)
            users.push_back(range);
        if (entry.groups)
            groups.push_back(range);
    }
    return {mapAround(own, std::move(users)), mapAround(own, std::move(groups))};
}

std::string cgroupOf(const Paths &paths, const std::string &project, const std::string &name)
{
    return paths.cgroupBase + "/" + storage::volumeName(project, name);
}

Result<spec::LaunchSpec> plan(const PlanInput &input)
{
    const store::Instance &instance = input.instance;
    const config::InstanceConfig &config = input.effective.config;
    const config::Device *root = config::rootDisk(input.effective.devices);
    spec::LaunchSpec spec;
    spec.project = instance.project;
    spec.instance = instance.name;
    spec.runDir = input.paths.instanceRunDir(instance.project, instance.name);
    spec.consoleLog = input.paths.instanceLogDir(instance.project, instance.name) + "/console.log";
    spec.cgroup = cgroupOf(input.paths, instance.project, instance.name);
    for (const cgroup::Write &write : input.cgroupWrites)
        spec.cgroupWrites.push_back({write.controller, write.file, write.value, write.required});
    spec.idmap = idMapOf(instance, config.rawIdmap.value_or(config::IdMapList{}));
    spec.rootfs = rootfsOf(input.root, root && root->as<config::DiskDevice>()->readonly.value_or(false));
    spec.devices = standardDevices();
    spec.mounts = input.view;
    TRY(planDevices(input.effective, input.sources, {}, input.paths, spec));
    for (const char *target : {"dev/lxd", "dev/incus"})
        spec.mounts.push_back(guestApiMount(guestApiFolder(input.paths, {instance.project, instance.name}), target));
    for (const images::RenderedFile &file : input.files)
        spec.files.push_back({file.path, file.content, file.uid, file.gid, file.mode, file.createOnly, {}});
    for (const NicPlan &nic : TRY(planNics(input.effective)))
        spec.nics.push_back(nic.card);
    spec.proxies = TRY(planProxies(input.effective));
    spec.hostname = instance.name;
    spec.init = {"/sbin/init"};
    spec.environment = environmentOf(config);
    for (const auto &[name, value] : config.sysctls)
        spec.sysctls.emplace_back(name, value);
    spec.boundingSet = boundingSet(instance.idRange.size == 0);
    spec.seccomp = input.seccomp;
    spec.intercepts = input.intercepts;
    if (config.interceptMount.value_or(false)) {
        for (const std::string &type : config.mountAllowed.value_or(config::FileSystemList{}).names)
            spec.interceptedMounts.push_back({type, ""});
        for (const auto &[type, program] : config.mountFuse.value_or(config::FuseList{}).programs)
            spec.interceptedMounts.push_back({type, program});
        spec.shiftMounts = config.mountShift.value_or(false);
    }
    spec.rootfs.hasNodes = config.interceptMknod.value_or(false);
    spec.oomScoreAdj = config.oomPriority.value_or(0);
    spec.rlimits = TRY(planResources(config));
    spec.nesting = config.nesting.value_or(false);
    return spec;
}

} // namespace lxmgr::instances
