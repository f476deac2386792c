#include "kernel/sysfs.h"

#include "base/text.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "kernel/sysfs_files.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

namespace lxmgr::sysfs
{

namespace
{

constexpr int kMaxDepth = 16;

std::optional<std::uint32_t> octal(const std::string &text)
{
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
    return error == std::errc() && end == text.data() + text.size() && value <= 0777 ? std::optional(value) : std::nullopt;
}

/// What "uevent" says of the node that belongs to `folder`; absent where it has none.
std::optional<Node> nodeOf(const Fd &folder)
{
    Node node;
    std::optional<std::uint32_t> major, minor;
    for (const std::string &line : split(attribute(folder, "uevent").value_or(""), '\n')) {
        const std::string value = line.substr(std::min(line.size(), line.find('=') + 1));
        if (line.starts_with("DEVNAME="))
            node.path = value;
        else if (line.starts_with("MAJOR="))
            major = number(value);
        else if (line.starts_with("MINOR="))
            minor = number(value);
        else if (line.starts_with("DEVMODE="))
            node.mode = octal(value);
    }
    if (node.path.empty() || !major || !minor)
        return std::nullopt;
    node.block = linkName(folder, "subsystem") == "block";
    node.major = *major;
    node.minor = *minor;
    return node;
}

template <class T> bool fits(const std::optional<T> &wanted, const std::optional<T> &is) { return !wanted || wanted == is; }

Result<std::vector<Fd>> usbFolders(const std::string &root, const UsbFilter &filter)
{
    std::vector<Fd> found;
    for (auto &[name, folder] : TRY(foldersIn(root + "/bus/usb/devices"))) {
        const auto vendor = attribute(folder, "idVendor"); // of an interface ("1-1:1.0") there is none
        if (vendor && fits(filter.vendor, vendor) && fits(filter.product, attribute(folder, "idProduct")) &&
            fits(filter.bus, number(attribute(folder, "busnum"))) && fits(filter.device, number(attribute(folder, "devnum"))) &&
            fits(filter.serial, attribute(folder, "serial")))
            found.push_back(std::move(folder));
    }
    return found;
}

/// Of `folder` and what lies below it. Links are not followed: they lead to other devices.
void addNodesBelow(const Fd &folder, int depth, std::vector<Node> &nodes)
{
    const auto names = path::list(folder);
    for (const std::string &name : names ? *names : std::vector<std::string>()) { // unplugged meanwhile: nothing is there
        const auto inner = sys::openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (!inner || attribute(*inner, "idVendor")) // another device, behind a hub
            continue;
        if (auto node = nodeOf(*inner))
            nodes.push_back(std::move(*node));
        if (depth < kMaxDepth)
            addNodesBelow(*inner, depth + 1, nodes);
    }
}

std::vector<Node> sorted(std::vector<Node> nodes)
{
    std::ranges::sort(nodes, {}, &Node::path);
    nodes.erase(std::ranges::unique(nodes).begin(), nodes.end());
    return nodes;
}

} // namespace

Result<std::vector<Node>> usbDevices(const std::string &root, const UsbFilter &filter)
{
    std::vector<Node> nodes;
    for (const Fd &folder : TRY(usbFolders(root, filter)))
        if (auto node = nodeOf(folder))
            nodes.push_back(std::move(*node));
    return sorted(std::move(nodes));
}

Result<std::vector<Node>> behindUsb(const std::string &root, const UsbFilter &filter)
{
    std::vector<Node> nodes;
    for (const Fd &folder : TRY(usbFolders(root, filter)))
        addNodesBelow(folder, 0, nodes);
    return sorted(std::move(nodes));
}

Result<std::vector<Node>> graphicsCards(const std::string &root, const GpuFilter &filter)
{
    struct Found {
        Node node;
        std::string device; ///< PCI address, or the name of another bus's device.
    };
    std::vector<Found> all;
    std::set<std::string> wanted;
    for (const auto &[name, folder] : TRY(foldersIn(root + "/class/drm"))) {
        auto node = nodeOf(folder); // connectors ("card0-DP-1") have none
        if (!node)
            continue;
        const std::string device = linkName(folder, "device");
        const bool isCard = name.starts_with("card");
        const auto hardware = sys::openat(folder, "device", O_RDONLY | O_DIRECTORY);
        const auto id = [&](const char *file) { return hardware ? pciId(*hardware, file) : std::nullopt; };
        if (isCard && fits(filter.card, number(name.substr(4))) && fits(filter.pci, std::optional(device)) &&
            fits(filter.vendor, id("vendor")) && fits(filter.product, id("device")))
            wanted.insert(device);
        all.push_back({std::move(*node), device});
    }
    std::vector<Node> nodes;
    for (Found &found : all)
        if (wanted.contains(found.device))
            nodes.push_back(std::move(found.node));
    return sorted(std::move(nodes));
}

namespace
{

constexpr std::uint32_t kInfinibandType = 32; ///< ARPHRD_INFINIBAND

/// Of a network interface: which of its card's it is, counted from 0.
std::uint32_t portOf(const Fd &interface) { return number(attribute(interface, "dev_port")).value_or(0); }

bool isInfiniband(const Fd &interface)
{
    return number(attribute(interface, "type")) == kInfinibandType && sys::openat(interface, "device/infiniband", O_PATH | O_DIRECTORY);
}

Result<Fd> interfaceFolder(const std::string &root, const std::string &interface)
{
    auto folder = sys::open(root + "/class/net/" + interface, O_RDONLY | O_DIRECTORY);
    if (!folder && folder.error().errnum == ENOENT)
        return Error(Code::NotFound, "no interface " + quoted(interface) + " on this host");
    return folder;
}

Result<Fd> infinibandPort(const std::string &root, const std::string &interface)
{
    Fd port = TRY(interfaceFolder(root, interface));
    if (!isInfiniband(port))
        return Error(Code::Invalid, "interface " + quoted(interface) + " is no InfiniBand port")
            .hint("ls /sys/class/infiniband/*/device/net shows those of this host; other cards are devices of type nic");
    return port;
}

/// Those that are of the same kind as `port`, and of the same port of their card.
Result<std::vector<std::string>> virtualFunctions(const std::string &root, const std::string &interface, const Fd &port)
{
    const std::string device = root + "/class/net/" + interface + "/device";
    std::map<std::uint64_t, std::vector<std::string>> found; // by the number of the function
    for (const auto &[name, folder] : TRY(foldersIn(device))) {
        const auto number = name.starts_with("virtfn") ? parseUnsigned(name.substr(6)) : Result<std::uint64_t>(Error(Code::NotFound, ""));
        if (!number)
            continue;
        for (const auto &[own, link] : TRY(foldersIn(device + "/" + name + "/net")))
            if (isInfiniband(link) == isInfiniband(port) && portOf(link) == portOf(port))
                found[*number].push_back(own);
    }
    std::vector<std::string> names;
    for (auto &[number, own] : found)
        names.insert(names.end(), own.begin(), own.end());
    return names;
}

} // namespace

Result<std::vector<Node>> infinibandNodes(const std::string &root, const std::string &interface)
{
    const Fd port = TRY(infinibandPort(root, interface));
    const std::string device = root + "/class/net/" + interface + "/device/";
    std::vector<Node> nodes;
    for (const auto &[name, folder] : TRY(foldersIn(device + "infiniband_mad")))
        if (number(attribute(folder, "port")) == portOf(port) + 1) // these are counted from 1
            if (auto node = nodeOf(folder))
                nodes.push_back(std::move(*node));
    for (const auto &[name, folder] : TRY(foldersIn(device + "infiniband_verbs")))
        if (auto node = nodeOf(folder))
            nodes.push_back(std::move(*node));
    return sorted(std::move(nodes));
}

Result<std::vector<std::string>> virtualInfinibandPorts(const std::string &root, const std::string &interface)
{
    return virtualFunctions(root, interface, TRY(infinibandPort(root, interface)));
}

Result<std::vector<std::string>> virtualCards(const std::string &root, const std::string &interface)
{
    return virtualFunctions(root, interface, TRY(interfaceFolder(root, interface)));
}

} // namespace lxmgr::sysfs
