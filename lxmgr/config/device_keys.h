// The tables of device keys, one a type, and what LXD and Incus know beside them.
#pragma once

#include "config/devices.h"

#include <algorithm>

namespace lxmgr::config
{

// clang-format off
inline constexpr Key<NicDevice> kNicKeys[] = {
    {"host_name",    field<&NicDevice::hostName>,    Apply::Live,    "generated",      "Name of the interface on the host."},
    {"hwaddr",       field<&NicDevice::hwaddr>,      Apply::Live,    "generated",      "MAC address inside."},
    {"ipv4.address", field<&NicDevice::ipv4Address>, Apply::Live,    "from the range", "Address that DHCP always gives it (managed network); with nictype=routed its addresses."},
    {"ipv4.gateway", field<&NicDevice::ipv4Gateway>, Apply::Live,    "auto",           "none: no default route is set inside (routed)."},
    {"ipv4.host_address", field<&NicDevice::ipv4HostAddress>, Apply::Live, "169.254.0.1", "Address of the host's end, which is the gateway inside (routed)."},
    {"ipv4.host_table",   field<&NicDevice::ipv4HostTable>,   Apply::Live, "",            "Number of a routing table of the host that gets the routes to it, too (routed)."},
    {"ipv4.routes",  field<&NicDevice::ipv4Routes>,  Apply::Live,    "",               "Subnets that the host reaches through it (bridged, p2p, routed)."},
    {"ipv6.address", field<&NicDevice::ipv6Address>, Apply::Live,    "",               "Address that DHCPv6 always gives it (managed network with ipv6.dhcp.stateful); with nictype=routed its addresses."},
    {"ipv6.gateway", field<&NicDevice::ipv6Gateway>, Apply::Live,    "auto",           "none: no default route is set inside (routed)."},
    {"ipv6.host_address", field<&NicDevice::ipv6HostAddress>, Apply::Live, "fe80::1",     "Address of the host's end, which is the gateway inside (routed)."},
    {"ipv6.host_table",   field<&NicDevice::ipv6HostTable>,   Apply::Live, "",            "Number of a routing table of the host that gets the routes to it, too (routed)."},
    {"ipv6.routes",  field<&NicDevice::ipv6Routes>,  Apply::Live,    "",               "Subnets that the host reaches through it (bridged, p2p, routed)."},
    {"limits.egress",  field<&NicDevice::limitsEgress>, Apply::Live,  "no limit",       "Most bits a second from the guest, such as 10Mbit."},
    {"limits.ingress", field<&NicDevice::limitsIngress>, Apply::Live, "no limit",       "Most bits a second to the guest."},
    {"limits.max",   field<&NicDevice::limitsMax>,   Apply::Live,    "no limit",       "Both limits.ingress and limits.egress, over which it goes."},
    {"limits.priority", field<&NicDevice::limitsPriority>, Apply::Live, "limits.network.priority", "Priority of what the guest sends, for the host's queueing disciplines (32 bits, major:minor); 0: as it is."},
    {"mode",         field<&NicDevice::mode>,        Apply::Live,    "bridge",         "Of a macvlan: whom of its kind it reaches."},
    {"mtu",          field<&NicDevice::mtu>,         Apply::Live,    "the parent's",   "Largest packet, 68 to 65535."},
    {"name",         field<&NicDevice::name>,        Apply::Live,    "ethN",           "Name of the interface inside."},
    {"network",      field<&NicDevice::network>,     Apply::Live,    "",               "Managed network to join."},
    {"nictype",      field<&NicDevice::nictype>,     Apply::Live,    "",               "bridged, macvlan, p2p, physical, routed or sriov: how it is connected."},
    {"parent",       field<&NicDevice::parent>,      Apply::Live,    "",               "The host's bridge (bridged), or its interface (macvlan, physical, sriov; routed: that answers for its addresses)."},
    {"queue.tx.length", field<&NicDevice::queueLength>, Apply::Live, "the kernel's",    "Packets that may wait at either end of it."},
    {"security.acls", field<&NicDevice::acls>, Apply::Live, "", "Names of access control lists, parted by commas, that all that it sends and gets has to pass (bridged, p2p, routed)."},
    {"security.acls.default.egress.action",  field<&NicDevice::aclEgressAction>,  Apply::Live, "reject", "What happens to packets from it that no rule of the lists is about: allow, drop or reject."},
    {"security.acls.default.egress.logged",  field<&NicDevice::aclEgressLogged>,  Apply::Live, "false",  "Whether the kernel's log tells of them."},
    {"security.acls.default.ingress.action", field<&NicDevice::aclIngressAction>, Apply::Live, "reject", "The same of packets to it; at a bridge, where the kernel answers only what comes in, reject is drop."},
    {"security.acls.default.ingress.logged", field<&NicDevice::aclIngressLogged>, Apply::Live, "false",  "Whether the kernel's log tells of them."},
    {"security.ipv4_filtering", field<&NicDevice::ipv4Filtering>, Apply::Live, "false", "Only IPv4 packets from its ipv4.address leave the guest, and none of a DHCP server; with security.mac_filtering."},
    {"security.ipv6_filtering", field<&NicDevice::ipv6Filtering>, Apply::Live, "false", "Only IPv6 packets from its ipv6.address leave the guest, and no router advertisements; with security.mac_filtering."},
    {"security.mac_filtering",  field<&NicDevice::macFiltering>,  Apply::Live, "false", "Only frames from its own MAC address leave the guest."},
    {"security.port_isolation", field<&NicDevice::portIsolation>, Apply::Live, "false", "It does not reach other isolated ports of the bridge."},
    {"vlan",         field<&NicDevice::vlan>,        Apply::Live,    "the bridge's",   "VLAN of the frames that have no tag (bridged); none: such do not pass. A managed network tells VLANs apart from its first guest with this on. Macvlan, physical: that VLAN of the parent, which becomes an interface parent.vlan for as long as a guest is on it."},
    {"vlan.tagged",  field<&NicDevice::taggedVlans>, Apply::Live,    "",               "VLANs whose frames it gets and may send with their tags, such as 5,10-12 (bridged)."},
};
static_assert(std::ranges::is_sorted(kNicKeys, {}, &Key<NicDevice>::name));

struct NicTypeRow {
    std::string_view name;
    NicKind kind;
};
inline constexpr NicTypeRow kNicTypes[] = {
    {"bridged", NicKind::Bridged}, {"macvlan", NicKind::Macvlan}, {"p2p", NicKind::P2p}, {"physical", NicKind::Physical}, {"routed", NicKind::Routed},
    {"sriov", NicKind::Sriov},
};
constexpr unsigned operator|(NicKind one, NicKind other) { return static_cast<unsigned>(one) | static_cast<unsigned>(other); }
constexpr unsigned operator|(unsigned some, NicKind other) { return some | static_cast<unsigned>(other); }

/// What kinds a key is for; one that is not here is for all of them.
struct NicKeyKinds {
    std::string_view key;
    unsigned kinds;
};
inline constexpr NicKeyKinds kNicKeyKinds[] = {
    {"host_name",    NicKind::Bridged | NicKind::P2p | NicKind::Routed},
    {"ipv4.address", NicKind::Bridged | NicKind::Routed},
    {"ipv4.gateway", static_cast<unsigned>(NicKind::Routed)},
    {"ipv4.host_address", static_cast<unsigned>(NicKind::Routed)},
    {"ipv4.host_table",   static_cast<unsigned>(NicKind::Routed)},
    {"ipv4.routes",  NicKind::Bridged | NicKind::P2p | NicKind::Routed},
    {"ipv6.address", NicKind::Bridged | NicKind::Routed},
    {"ipv6.gateway", static_cast<unsigned>(NicKind::Routed)},
    {"ipv6.host_address", static_cast<unsigned>(NicKind::Routed)},
    {"ipv6.host_table",   static_cast<unsigned>(NicKind::Routed)},
    {"ipv6.routes",  NicKind::Bridged | NicKind::P2p | NicKind::Routed},
    {"limits.egress",  NicKind::Bridged | NicKind::P2p | NicKind::Routed},
    {"limits.ingress", NicKind::Bridged | NicKind::P2p | NicKind::Routed},
    {"limits.max",     NicKind::Bridged | NicKind::P2p | NicKind::Routed},
    {"limits.priority", NicKind::Bridged | NicKind::P2p | NicKind::Routed},
    {"mode",         static_cast<unsigned>(NicKind::Macvlan)},
    {"network",      static_cast<unsigned>(NicKind::Bridged)},
    {"parent",       NicKind::Bridged | NicKind::Macvlan | NicKind::Physical | NicKind::Routed | NicKind::Sriov},
    {"queue.tx.length", NicKind::Bridged | NicKind::P2p | NicKind::Routed},
    {"security.acls", NicKind::Bridged | NicKind::P2p | NicKind::Routed},
    {"security.acls.default.egress.action",  NicKind::Bridged | NicKind::P2p | NicKind::Routed},
    {"security.acls.default.egress.logged",  NicKind::Bridged | NicKind::P2p | NicKind::Routed},
    {"security.acls.default.ingress.action", NicKind::Bridged | NicKind::P2p | NicKind::Routed},
    {"security.acls.default.ingress.logged", NicKind::Bridged | NicKind::P2p | NicKind::Routed},
    {"security.ipv4_filtering", static_cast<unsigned>(NicKind::Bridged)},
    {"security.ipv6_filtering", static_cast<unsigned>(NicKind::Bridged)},
    {"security.mac_filtering",  static_cast<unsigned>(NicKind::Bridged)},
    {"security.port_isolation", static_cast<unsigned>(NicKind::Bridged)},
    {"vlan",         NicKind::Bridged | NicKind::Macvlan | NicKind::Physical},
    {"vlan.tagged",  static_cast<unsigned>(NicKind::Bridged)},
};

inline constexpr Key<DiskDevice> kDiskKeys[] = {
    {"limits.max",   field<&DiskDevice::limitsMax>,   Apply::Live, "no limit", "Most it may read and most it may write in a second of the block device below: a size, or a number and iops."},
    {"limits.read",  field<&DiskDevice::limitsRead>,  Apply::Live, "no limit", "The same for reading alone."},
    {"limits.write", field<&DiskDevice::limitsWrite>, Apply::Live, "no limit", "The same for writing alone."},
    {"path",      field<&DiskDevice::path>,      Apply::Live,    "",      "Where it is mounted inside; / is the root."},
    {"pool",      field<&DiskDevice::pool>,      Apply::Live,    "",      "Storage pool of the root, or of the custom volume that source names."},
    {"propagation", field<&DiskDevice::propagation>, Apply::Live, "private", "What is mounted on the host below the source later: slave and shared show it inside, private and unbindable do not. Nothing from inside shows on the host."},
    {"raw.mount.options", field<&DiskDevice::rawMountOptions>, Apply::Live, "", "Mount options: ro, nosuid, nodev, noexec, nosymfollow, noatime, nodiratime, relatime, strictatime; of a tmpfs also mode, uid, gid and nr_inodes with a value."},
    {"readonly",  field<&DiskDevice::readonly>,  Apply::Live,    "false", "No writing from inside."},
    {"recursive", field<&DiskDevice::recursive>, Apply::Live,    "false", "With what is mounted below the source."},
    {"required",  field<&DiskDevice::required>,  Apply::Live,    "true",  "false: start without it when the source is missing."},
    {"shift",     field<&DiskDevice::shift>,     Apply::Live,    "false", "Owners on the host are the guest's own ids."},
    {"size",      field<&DiskDevice::size>,      Apply::Live,    "the pool's volume.size, or no limit", "Most that the root may take, 0 is no limit; of a tmpfs: without it half of the memory."},
    {"source",    field<&DiskDevice::source>,    Apply::Live,    "",      "Folder or file of the host, with pool the name of a custom volume, or tmpfs: for memory."},
};
static_assert(std::ranges::is_sorted(kDiskKeys, {}, &Key<DiskDevice>::name));

/// Those of unix-char and unix-block.
template <class T> inline constexpr Key<T> kUnixKeys[] = {
    {"gid",      field<&T::gid>,      Apply::Live, "0",           "Group inside."},
    {"major",    field<&T::major>,    Apply::Live, "of source",   "Device number, together with minor."},
    {"minor",    field<&T::minor>,    Apply::Live, "of source",   "Device number, together with major."},
    {"mode",     field<&T::mode>,     Apply::Live, "0660",        "Permissions inside, octal."},
    {"path",     field<&T::path>,     Apply::Live, "like source", "Where it is inside, below /dev."},
    {"required", field<&T::required>, Apply::Live, "true",        "false: start without it when the source is missing; it comes in as soon as that is there, and goes with it."},
    {"source",   field<&T::source>,   Apply::Live, "like path",   "The device on the host."},
    {"uid",      field<&T::uid>,      Apply::Live, "0",           "Owner inside."},
};
static_assert(std::ranges::is_sorted(kUnixKeys<UnixCharDevice>, {}, &Key<UnixCharDevice>::name));

inline constexpr Key<UsbDevice> kUsbKeys[] = {
    {"busnum",    field<&UsbDevice::bus>,      Apply::Live, "any",   "Number of its bus."},
    {"devnum",    field<&UsbDevice::device>,   Apply::Live, "any",   "Its number on the bus, another one each time it is connected."},
    {"gid",       field<&UsbDevice::gid>,      Apply::Live, "0",     "Group inside."},
    {"mode",      field<&UsbDevice::mode>,     Apply::Live, "0660",  "Permissions inside, octal."},
    {"productid", field<&UsbDevice::product>,  Apply::Live, "any",   "Product, as lsusb prints it."},
    {"required",  field<&UsbDevice::required>, Apply::Live, "false", "true: do not start without one."},
    {"serial",    field<&UsbDevice::serial>,   Apply::Live, "any",   "Serial number, as lsusb -v prints it (iSerial)."},
    {"uid",       field<&UsbDevice::uid>,      Apply::Live, "0",     "Owner inside."},
    {"vendorid",  field<&UsbDevice::vendor>,   Apply::Live, "any",   "Vendor, as lsusb prints it."},
};
static_assert(std::ranges::is_sorted(kUsbKeys, {}, &Key<UsbDevice>::name));

inline constexpr Key<HotplugDevice> kHotplugKeys[] = {
    {"gid",       field<&HotplugDevice::gid>,      Apply::Live, "0",     "Group inside."},
    {"mode",      field<&HotplugDevice::mode>,     Apply::Live, "0660",  "Permissions inside, octal."},
    {"productid", field<&HotplugDevice::product>,  Apply::Live, "any",   "Product of the USB device, as lsusb prints it."},
    {"required",  field<&HotplugDevice::required>, Apply::Live, "false", "true: do not start without one."},
    {"uid",       field<&HotplugDevice::uid>,      Apply::Live, "0",     "Owner inside."},
    {"vendorid",  field<&HotplugDevice::vendor>,   Apply::Live, "any",   "Vendor of the USB device, as lsusb prints it."},
};
static_assert(std::ranges::is_sorted(kHotplugKeys, {}, &Key<HotplugDevice>::name));

inline constexpr Key<GpuDevice> kGpuKeys[] = {
    {"gid",       field<&GpuDevice::gid>,     Apply::Live, "0",        "Group inside."},
    {"gputype",   field<&GpuDevice::gputype>, Apply::Live, "physical", "physical: the card itself, shared with the host."},
    {"id",        field<&GpuDevice::id>,      Apply::Live, "any",      "Number of the card, 0 of /dev/dri/card0."},
    {"mode",      field<&GpuDevice::mode>,    Apply::Live, "0660",     "Permissions inside, octal."},
    {"pci",       field<&GpuDevice::pci>,     Apply::Live, "any",      "PCI address of the card."},
    {"productid", field<&GpuDevice::product>, Apply::Live, "any",      "Product, as lspci -n prints it."},
    {"uid",       field<&GpuDevice::uid>,     Apply::Live, "0",        "Owner inside."},
    {"vendorid",  field<&GpuDevice::vendor>,  Apply::Live, "any",      "Vendor, as lspci -n prints it."},
};
static_assert(std::ranges::is_sorted(kGpuKeys, {}, &Key<GpuDevice>::name));

inline constexpr Key<InfinibandDevice> kInfinibandKeys[] = {
    {"hwaddr",  field<&InfinibandDevice::hwaddr>,  Apply::Live, "the parent's", "Its address: 20 bytes, or the 8 of its GUID."},
    {"mtu",     field<&InfinibandDevice::mtu>,     Apply::Live, "the parent's", "Largest packet, 68 to 65535."},
    {"name",    field<&InfinibandDevice::name>,    Apply::Live, "ib0, ib1, ...", "Interface name inside."},
    {"nictype", field<&InfinibandDevice::nictype>, Apply::Live, "",             "physical: the parent itself. sriov: a free virtual function of it."},
    {"parent",  field<&InfinibandDevice::parent>,  Apply::Live, "",             "Interface of the host."},
};
static_assert(std::ranges::is_sorted(kInfinibandKeys, {}, &Key<InfinibandDevice>::name));

inline constexpr Key<ProxyDevice> kProxyKeys[] = {
    {"bind",           field<&ProxyDevice::bind>,          Apply::Live, "host",  "Side that listens; the other one connects."},
    {"connect",        field<&ProxyDevice::connect>,       Apply::Live, "",      "tcp:ADDRESS:PORTS, udp:ADDRESS:PORTS, unix:/PATH or unix:@NAME to connect to: one port, or as many as listen has."},
    {"gid",            field<&ProxyDevice::gid>,           Apply::Live, "0",     "Group of the socket file that listen makes, on its side."},
    {"listen",         field<&ProxyDevice::listen>,        Apply::Live, "",      "tcp:ADDRESS:PORTS, udp:ADDRESS:PORTS, unix:/PATH or unix:@NAME to listen on; PORTS like 80,8000-8010."},
    {"mode",           field<&ProxyDevice::mode>,          Apply::Live, "0644",  "Permissions of the socket file that listen makes, octal."},
    {"nat",            field<&ProxyDevice::nat>,           Apply::Live, "false", "The firewall forwards, to a fixed address of the instance: guests see who connects."},
    {"proxy_protocol", field<&ProxyDevice::proxyProtocol>, Apply::Live, "false", "The first line to a tcp server tells it who connected (HAProxy, version 1)."},
    {"security.gid",   field<&ProxyDevice::securityGid>,   Apply::Live, "0",     "Group that connects, on the side that connects."},
    {"security.uid",   field<&ProxyDevice::securityUid>,   Apply::Live, "0",     "User that connects, on the side that connects."},
    {"uid",            field<&ProxyDevice::uid>,           Apply::Live, "0",     "Owner of the socket file that listen makes, on its side."},
};
static_assert(std::ranges::is_sorted(kProxyKeys, {}, &Key<ProxyDevice>::name));

inline constexpr Key<TpmDevice> kTpmKeys[] = {
    {"path",   field<&TpmDevice::path>,   Apply::Restart, "",     "Where it is inside, below /dev, such as /dev/tpm0."},
    {"pathrm", field<&TpmDevice::pathRm>, Apply::Restart, "none", "Where its resource manager is inside, such as /dev/tpmrm0."},
};
static_assert(std::ranges::is_sorted(kTpmKeys, {}, &Key<TpmDevice>::name));

// Known elsewhere, not carried out here; "*" ends a prefix.
inline constexpr std::string_view kUnsupportedNicKeys[] = {
    "attached", "boot.priority", "connected", "gvrp", "ipv4.host_tables", "ipv4.neighbor_probe", "ipv4.routes.external",
    "ipv6.host_tables", "ipv6.neighbor_probe", "ipv6.routes.external", "maas.subnet.ipv4", "maas.subnet.ipv6",
    "security.*", "vrf",
};
inline constexpr std::string_view kUnsupportedDiskKeys[] = {
    "boot.priority", "ceph.*", "initial.*", "io.*", "optional", "size.state",
};
inline constexpr std::string_view kUnsupportedHotplugKeys[] = {"ownership.inherit", "pci", "subsystem"};
inline constexpr std::string_view kUnsupportedGpuKeys[] = {"mdev", "mig.*"};
inline constexpr std::string_view kUnsupportedGpuTypes[] = {"mdev", "mig", "sriov"};
inline constexpr std::string_view kUnsupportedDeviceTypes[] = {"pci"};
inline constexpr std::string_view kUnsupportedNicTypes[] = {"ipvlan", "ovn"};
// clang-format on

} // namespace lxmgr::config
