#include "instances/plan_nodes.h"

#include "base/text.h"
#include "instances/plan_cards.h"
#include "kernel/sysfs.h"

#include <algorithm>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace lxmgr::instances
{

namespace
{

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

} // namespace lxmgr::instances
