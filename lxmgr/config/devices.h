// Devices: one struct a type this version carries out; everything else is refused by name.
#pragma once

#include "config/keys.h"
#include "config/proxy.h"

#include <variant>

namespace lxmgr::config
{

/// Masks an inherited device of the same name.
struct NoneDevice {
};

/// How a card is connected; the numbers are bits of a table of which key is for which.
enum class NicKind : unsigned {
    Bridged = 1,  ///< veth into a managed network, or into a bridge of the host.
    Macvlan = 2,  ///< A second MAC address of a card of the host.
    P2p = 4,      ///< veth whose outer end is left to the host.
    Physical = 8, ///< A card of the host itself.
    Routed = 16,  ///< veth with addresses that the host has a route to.
    Sriov = 32,   ///< A virtual function of a card of the host.
};

/// nictype=…, or a managed network, which is bridged.
struct NicDevice {
    std::optional<ObjectName> network;
    std::optional<std::string> nictype; ///< bridged, macvlan, p2p, physical, routed, sriov.
    std::optional<InterfaceName> parent;
    std::optional<MacvlanMode> mode;
    std::optional<InterfaceName> name;     ///< Inside; unset: eth0, eth1, … by device name.
    std::optional<InterfaceName> hostName; ///< Outside; unset: generated.
    std::optional<MacAddress> hwaddr;      ///< Unset: volatile.<device>.hwaddr.
    std::optional<std::uint32_t> mtu;
    std::optional<Ipv4List> ipv4Address; ///< Bridged: one, a fixed DHCP lease (managed network only). Routed: its own.
    std::optional<Ipv6List> ipv6Address; ///< Bridged: one, by DHCPv6 (managed network with ipv6.dhcp.stateful). Routed: its own.
    std::optional<Gateway> ipv4Gateway, ipv6Gateway; ///< Routed: whether a default route is set inside.
    std::optional<Ipv4List> ipv4HostAddress; ///< Routed: one, of the host's end.
    std::optional<Ipv6List> ipv6HostAddress;
    std::optional<std::uint32_t> ipv4HostTable, ipv6HostTable; ///< Routed: a routing table of the host that gets the routes, too.
    std::optional<std::uint32_t> queueLength;                  ///< Of packets that wait at either end.
    std::optional<Ipv4Subnets> ipv4Routes; ///< The host reaches these through it.
    std::optional<Ipv6Subnets> ipv6Routes;
    std::optional<BitRate> limitsIngress, limitsEgress; ///< To the guest, from it.
    std::optional<BitRate> limitsMax;                   ///< Both.
    std::optional<std::uint32_t> limitsPriority;        ///< Unset: the instance's limits.network.priority.
    std::optional<bool> macFiltering, ipv4Filtering, ipv6Filtering, portIsolation;
    std::optional<PortVlan> vlan;        ///< Bridged: of frames without a tag; unset: as of any port. Macvlan, physical: of the parent.
    std::optional<VlanList> taggedVlans; ///< Bridged: of frames with one.
    std::optional<AclNames> acls;
    std::optional<AclAction> aclIngressAction, aclEgressAction; ///< Of what no rule of the lists is about; unset: reject.
    std::optional<bool> aclIngressLogged, aclEgressLogged;

    NicKind kind() const;
    /// Whether there is an interface on the host that is the other end.
    bool hasHostEnd() const { return kind() == NicKind::Bridged || kind() == NicKind::P2p || kind() == NicKind::Routed; }
    /// Whether it has a MAC address that is made for it.
    bool hasOwnMac() const { return kind() != NicKind::Physical; }
    /// Whether a free function of its parent is chosen for it at each start.
    bool isVirtual() const { return kind() == NicKind::Sriov; }
};

/// The root (path "/", with a pool), a custom volume (with a pool and its name as source), a folder or file of the host
/// bound inside, or memory (source "tmpfs:").
struct DiskDevice {
    std::optional<AbsolutePath> path;
    std::optional<ObjectName> pool;
    std::optional<std::string> source; ///< Absolute path, the volume's name, or "tmpfs:".
    std::optional<bool> readonly;
    std::optional<bool> recursive;
    std::optional<bool> required; ///< Unset means true.
    std::optional<bool> shift;    ///< Owners on the host are the guest's own numbers.
    std::optional<Bytes> size;    ///< Of the root: the most it may take; 0: as much as the pool has. Of a tmpfs: the most.
    std::optional<Propagation> propagation;      ///< Unset: private.
    std::optional<MountOptions> rawMountOptions; ///< Beside what the other keys say.
    std::optional<IoLimit> limitsRead, limitsWrite, limitsMax; ///< Of the block device below it.

    bool isRoot() const { return path && path->text == "/"; }
    bool isVolume() const { return pool && !isRoot(); }
    bool isTmpfs() const { return source == "tmpfs:"; }
    bool isLimited() const { return limitsRead || limitsWrite || limitsMax; }
};

/// A device of the host below the guest's /dev: of `Kind` 'c' a character device, of 'b' a block device.
template <char Kind> struct UnixDevice {
    static constexpr char kKind = Kind;
    std::optional<AbsolutePath> source;        ///< On the host; unset: `path`.
    std::optional<AbsolutePath> path;          ///< Inside, below /dev; unset: `source`.
    std::optional<std::uint32_t> major, minor; ///< Both or neither; then nothing is looked up on the host.
    std::optional<std::uint32_t> uid, gid;
    std::optional<FileMode> mode;    ///< Unset: 0660.
    std::optional<bool> required;    ///< Unset means true.

    /// Where it is inside; unset where neither is given.
    const std::optional<AbsolutePath> &inside() const { return path ? path : source; }
    /// Where it is looked up on the host.
    const std::optional<AbsolutePath> &outside() const { return source ? source : path; }
};
using UnixCharDevice = UnixDevice<'c'>;
using UnixBlockDevice = UnixDevice<'b'>;

/// Devices of the host's USB, each as its node below /dev/bus/usb.
struct UsbDevice {
    std::optional<HexId> vendor, product;
    std::optional<std::string> serial;
    std::optional<std::uint32_t> bus, device; ///< Numbers that change each time it is plugged in.
    std::optional<std::uint32_t> uid, gid;
    std::optional<FileMode> mode;  ///< Unset: 0660.
    std::optional<bool> required;  ///< Unset means false.
};

/// The nodes that drivers of the host made of USB devices: serial lines, disks, input.
struct HotplugDevice {
    std::optional<HexId> vendor, product;
    std::optional<std::uint32_t> uid, gid;
    std::optional<FileMode> mode;  ///< Unset: 0660.
    std::optional<bool> required;  ///< Unset means false.
};

/// Graphics cards of the host, with card and render node. All of them without a selector.
struct GpuDevice {
    std::optional<std::string> gputype; ///< "physical".
    std::optional<std::uint32_t> id;    ///< DRM card number.
    std::optional<PciAddress> pci;
    std::optional<HexId> vendor, product;
    std::optional<std::uint32_t> uid, gid;
    std::optional<FileMode> mode; ///< Unset: 0660.
};

/// A port of an InfiniBand card of the host: its network interface, and the nodes below /dev/infiniband that belong to it.
struct InfinibandDevice {
    std::optional<std::string> nictype; ///< physical: the parent itself; sriov: a free virtual function of it.
    std::optional<InterfaceName> parent;
    std::optional<InterfaceName> name; ///< Inside; unset: ib0, ib1, … by device name.
    std::optional<InfinibandAddress> hwaddr;
    std::optional<std::uint32_t> mtu;

    bool isVirtual() const { return nictype == "sriov"; }
};

/// A TPM of its own, emulated by swtpm(8).
struct TpmDevice {
    std::optional<AbsolutePath> path;   ///< Inside, below /dev.
    std::optional<AbsolutePath> pathRm; ///< The same, through the kernel's resource manager. Unset: not there.
};

/// Connections that come in on one side go on to the other.
struct ProxyDevice {
    std::optional<ProxyAddress> listen, connect;
    std::optional<ProxyBind> bind;                        ///< Unset: host.
    std::optional<bool> nat;                              ///< By the firewall; no process forwards.
    std::optional<bool> proxyProtocol;                    ///< A line in front says who connected.
    std::optional<std::uint32_t> uid, gid;                ///< Of a socket file that is listened on; unset: 0.
    std::optional<FileMode> mode;                         ///< Unset: 0644.
    std::optional<std::uint32_t> securityUid, securityGid; ///< Who connects; unset: 0.

    bool listensInside() const { return bind == ProxyBind::Instance; }
};
/// Sockets that all proxies of an instance without nat may listen on; the monitor holds each.
inline constexpr std::size_t kMostProxySockets = 512;

struct Device {
    std::string name;
    std::variant<NoneDevice, NicDevice, DiskDevice, UnixCharDevice, UnixBlockDevice, UsbDevice, HotplugDevice, GpuDevice, InfinibandDevice, ProxyDevice,
                 TpmDevice>
        value;

    template <class T> const T *as() const { return std::get_if<T>(&value); }
};

/// A node below the guest's /dev, or several.
bool isNode(const Device &device);

/// 1 to 64 of letters, digits, "-_.:", not starting with ".".
Status checkDeviceName(const std::string &name);
/// Types one device and checks keys, values and what goes together. Errors name device, key and value; `badKey` gets
/// the first key at fault.
Result<Device> parseDevice(const std::string &name, const StringMap &keys, std::string *badKey = nullptr);
inline Status validateDevice(const std::string &name, const StringMap &keys)
{
    TRY(parseDevice(name, keys));
    return {};
}
/// The keys again, with "type".
StringMap formatDevice(const Device &device);

/// Local: the devices as somebody wrote them. Expanded: what the guest gets, with exactly one root disk.
enum class DeviceSet { Local, Expanded };
/// All devices, in the order of their names, and what must not meet: two at one path, two NICs of one name, two roots.
Result<std::vector<Device>> parseDevices(const DeviceMap &devices, DeviceSet set);

/// The root disk among expanded devices; nullptr where there is none.
const Device *rootDisk(const std::vector<Device> &devices);

} // namespace lxmgr::config
