// Network cards and their ports: interfaces that have a device, not those that somebody made.
#include "hardware/parts.h"
#include "kernel/sys.h"
#include "kernel/sysfs.h"
#include "kernel/sysfs_files.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <map>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace lxmgr::hardware
{

namespace
{

using sysfs::attribute;

/// SIOCETHTOOL of netdevice(7), with a request of linux/ethtool.h.
bool ethtool(const std::string &interface, void *request)
{
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq asked{};
    if (!socket || interface.size() >= sizeof asked.ifr_name)
        return false;
    std::memcpy(asked.ifr_name, interface.c_str(), interface.size());
    asked.ifr_data = static_cast<char *>(request);
    return ::ioctl(socket.get(), SIOCETHTOOL, &asked) == 0;
}

std::string portType(std::uint8_t port)
{
    switch (port) {
    case PORT_TP: return "twisted pair";
    case PORT_AUI: return "AUI";
    case PORT_BNC: return "BNC";
    case PORT_MII: return "media-independent";
    case PORT_FIBRE: return "fibre";
    case PORT_DA: return "direct attach";
    case PORT_NONE: return "none";
    default: return "other";
    }
}

/// What the driver alone knows; the interface must be in the namespace of the caller.
void askDriver(api::NetworkPort &port)
{
    alignas(ethtool_link_settings) unsigned char room[sizeof(ethtool_link_settings) + 3 * SCHAR_MAX * sizeof(__u32)] = {}; // with the three masks behind it
    auto &link = *reinterpret_cast<ethtool_link_settings *>(room);
    link.cmd = ETHTOOL_GLINKSETTINGS; // at first the kernel says, negated, how long the masks are
    if (!ethtool(port.id, room) || link.link_mode_masks_nwords >= 0)
        return;
    const auto words = static_cast<__s8>(-link.link_mode_masks_nwords);
    std::memset(room, 0, sizeof room);
    link.cmd = ETHTOOL_GLINKSETTINGS;
    link.link_mode_masks_nwords = words;
    if (!ethtool(port.id, room))
        return;
    port.autoNegotiation = link.autoneg == AUTONEG_ENABLE;
    port.portType = portType(link.port);
    port.transceiverType = link.transceiver == XCVR_EXTERNAL ? "external" : "internal";
}

std::string firmwareOf(const std::string &interface)
{
    ethtool_drvinfo info{};
    info.cmd = ETHTOOL_GDRVINFO;
    if (!ethtool(interface, &info))
        return {};
    const std::string version(info.fw_version, ::strnlen(info.fw_version, sizeof info.fw_version));
    return version == "N/A" ? "" : version;
}

std::optional<api::InfinibandNodes> infinibandOf(const Roots &roots, const std::string &interface)
{
    const auto nodes = sysfs::infinibandNodes(roots.sysfs, interface);
    if (!nodes)
        return std::nullopt;
    api::InfinibandNodes found;
    for (const sysfs::Node &node : *nodes) {
        const std::string name = sysfs::lastPart(node.path), number = std::to_string(node.major) + ":" + std::to_string(node.minor);
        if (name.starts_with("issm")) {
            found.issmName = name;
            found.issmDevice = number;
        } else if (name.starts_with("umad")) {
            found.madName = name;
            found.madDevice = number;
        } else if (name.starts_with("uverbs")) {
            found.verbName = name;
            found.verbDevice = number;
        }
    }
    return found;
}

api::NetworkPort portOf(const Roots &roots, const std::string &name, const Fd &folder)
{
    api::NetworkPort port;
    port.id = name;
    port.address = attribute(folder, "address").value_or("");
    port.port = sysfs::number(attribute(folder, "dev_port")).value_or(0);
    const auto type = sysfs::number(attribute(folder, "type"));
    port.protocol = type == ARPHRD_INFINIBAND ? "infiniband" : type == ARPHRD_ETHER ? "ethernet" : "unknown";
    port.linkDetected = attribute(folder, "carrier") == "1"; // cannot be read while it is down
    if (port.linkDetected) {
        port.linkSpeed = sysfs::number(attribute(folder, "speed")).value_or(0); // -1: it has none
        port.linkDuplex = attribute(folder, "duplex").value_or("");
        if (port.linkDuplex == "unknown")
            port.linkDuplex.clear();
    }
    if (port.protocol == "infiniband")
        port.infiniband = infinibandOf(roots, name);
    if (roots.sysfs == "/sys")
        askDriver(port);
    return port;
}

/// Interfaces by what they belong to: a PCI address, the name of a USB device, or the path of another device.
struct Found {
    Parent parent;
    std::vector<api::NetworkPort> ports;
};
std::string keyOf(const Parent &parent)
{
    if (!parent.usb.empty())
        return parent.usb;
    return parent.pci.empty() ? parent.path : parent.pci;
}

std::map<std::string, Found> interfaces(const Roots &roots)
{
    std::map<std::string, Found> found;
    const std::string base = roots.sysfs + "/class/net";
    const auto all = sys::open(base, O_RDONLY | O_DIRECTORY);
    for (const auto &[name, folder] : foldersIn(base)) {
        if (!sys::openat(folder, "device", O_PATH | O_DIRECTORY))
            continue;
        const auto link = sys::readlinkat(*all, name);
        const Parent parent = parentOf(link ? *link : name);
        Found &group = found[keyOf(parent)];
        group.parent = parent;
        group.ports.push_back(portOf(roots, name, folder));
    }
    return found;
}

void takePorts(api::NetworkFunction &card, std::map<std::string, Found> &all, const std::string &key, bool ask)
{
    const auto found = all.find(key);
    if (found == all.end())
        return;
    card.ports = std::move(found->second.ports);
    std::ranges::stable_sort(card.ports, {}, &api::NetworkPort::port);
    if (ask && !card.ports.empty())
        card.firmwareVersion = firmwareOf(card.ports.front().id);
    all.erase(found);
}

} // namespace

api::Cards<api::NetworkCard> readNetworkCards(const Roots &roots, const Names &names)
{
    api::Cards<api::NetworkCard> all;
    auto ports = interfaces(roots);
    const bool ask = roots.sysfs == "/sys";
    const std::string base = roots.sysfs + "/bus/pci/devices/";
    for (const auto &[address, folder] : foldersIn(base)) {
        const bool isCard = attribute(folder, "class").value_or("").starts_with("0x02") || ports.contains(address);
        if (!isCard || !sysfs::linkName(folder, "physfn").empty())
            continue;
        api::NetworkCard card;
        card.pciAddress = address;
        describe(card, folder, names);
        takePorts(card, ports, address, ask);
        if (const auto most = sysfs::number(attribute(folder, "sriov_totalvfs"))) {
            card.sriov.emplace();
            card.sriov->maximum = *most;
            card.sriov->current = sysfs::number(attribute(folder, "sriov_numvfs")).value_or(0);
            for (std::uint32_t i = 0; i < card.sriov->current; ++i) {
                api::NetworkFunction function;
                function.pciAddress = sysfs::linkName(folder, "virtfn" + std::to_string(i));
                const auto own = sys::open(base + function.pciAddress, O_RDONLY | O_DIRECTORY);
                if (function.pciAddress.empty() || !own)
                    continue;
                describe(function, *own, names);
                takePorts(function, ports, function.pciAddress, ask);
                card.sriov->list.push_back(std::move(function));
            }
        }
        all.cards.push_back(std::move(card));
    }
    while (!ports.empty()) { // on USB, or of a board
        const auto [key, found] = *ports.begin();
        api::NetworkCard card;
        if (!found.parent.usb.empty())
            describeUsb(card, roots, found.parent.usb, names);
        if (const auto device = sys::open(roots.sysfs + "/class/net/" + found.ports.front().id + "/device", O_RDONLY | O_DIRECTORY)) {
            card.driver = sysfs::linkName(*device, "driver");
            card.driverVersion = driverVersion(*device);
        }
        takePorts(card, ports, key, ask);
        all.cards.push_back(std::move(card));
    }
    all.total = all.cards.size();
    return all;
}

} // namespace lxmgr::hardware
