#include "config/devices.h"

#include "base/text.h"
#include "config/device_keys.h"
#include "config/findings.h"

#include <set>
#include <span>

namespace lxmgr::config
{

namespace
{

constexpr std::size_t kMaxDevices = 256;

/// What a type's own check found: the key to point at, and why.
struct Problem {
    std::string key;
    Error error;
};
using Problems = std::vector<Problem>;

void add(Problems &problems, std::string_view key, std::string text, Code code = Code::Invalid)
{
    problems.push_back({std::string(key), Error(code, std::string(key) + ": " + std::move(text))});
}

bool contains(std::span<const std::string_view> names, std::string_view name)
{
    return std::ranges::any_of(names, [&](std::string_view each) {
        return each.ends_with('*') ? name.starts_with(each.substr(0, each.size() - 1)) : each == name;
    });
}

template <class Owner> const Key<Owner> *findRow(std::span<const Key<Owner>> table, std::string_view name)
{
    const auto row = std::ranges::lower_bound(table, name, {}, &Key<Owner>::name);
    return row != table.end() && row->name == name ? &*row : nullptr;
}

template <class Owner>
void addUnknown(Problems &problems, std::span<const Key<Owner>> table, std::span<const std::string_view> unsupported,
                const std::string &name)
{
    if (contains(unsupported, name)) {
        problems.push_back(
            {name, Error(Code::Unsupported, "key " + quoted(name) + " is not supported yet by this version")});
        return;
    }
    std::vector<std::string_view> names = {"type"};
    for (const Key<Owner> &row : table)
        names.push_back(row.name);
    const auto near = nearest(name, names);
    problems.push_back(
        {name, Error(Code::Invalid, "unknown key " + quoted(name) + (near ? " (did you mean '" + *near + "'?)" : ""))});
}

template <class Owner>
Owner parseKeys(Problems &problems, std::span<const Key<Owner>> table, std::span<const std::string_view> unsupported,
                const StringMap &keys)
{
    Owner owner;
    for (const auto &[name, value] : keys) {
        if (name == "type" || value.empty())
            continue;
        const Key<Owner> *row = findRow(table, name);
        if (row == nullptr) {
            addUnknown(problems, table, unsupported, name);
            continue;
        }
        if (Status parsed = row->field.parse(owner, {}, value); !parsed)
            problems.push_back({name, std::move(parsed.error()).in(name)});
    }
    return owner;
}

bool isFor(NicKind kind, unsigned kinds) { return (static_cast<unsigned>(kind) & kinds) != 0; }

/// Keys that are set and have no meaning for the card's kind.
void checkNicKeys(const NicDevice &nic, Problems &problems)
{
    StringMap set;
    for (const Key<NicDevice> &key : kNicKeys)
        key.field.format(nic, key.name, set);
    for (const NicKeyKinds &row : kNicKeyKinds) {
        if (!set.contains(std::string(row.key)) || isFor(nic.kind(), row.kinds))
            continue;
        std::vector<std::string> others;
        for (const auto &[name, kind] : kNicTypes)
            if (isFor(kind, row.kinds))
                others.emplace_back(name);
        add(problems, row.key, "is not for nictype=" + nic.nictype.value_or("bridged") + " (it is for " + join(others, ", ") + ")");
    }
}

void checkMtu(const std::optional<std::uint32_t> &mtu, Problems &problems)
{
    if (mtu && (*mtu < 68 || *mtu > 65535))
        add(problems, "mtu", quoted(std::to_string(*mtu)) + " is not from 68 to 65535");
}

/// Of a routed card, `family` being the beginning of its keys.
template <class List>
void checkHostEnd(const std::string &family, bool hasAddress, const std::optional<List> &address, const std::optional<std::uint32_t> &table, Problems &problems)
{
    const std::string addressKey = family + ".host_address", tableKey = family + ".host_table";
    if (address && address->items.size() != 1)
        add(problems, addressKey, "is one address");
    for (const auto &[key, set] : {std::pair{addressKey, address.has_value()}, {tableKey, table.has_value()}})
        if (set && !hasAddress)
            add(problems, key, "needs " + family + ".address");
    if (table && (*table == 0 || (*table >= 253 && *table <= 255)))
        add(problems, tableKey, quoted(std::to_string(*table)) + " is a table of the kernel's own (0 and 253 to 255); the main one has the routes anyway");
}

void checkNic(const NicDevice &nic, Problems &problems)
{
    if (nic.nictype && std::ranges::find(kNicTypes, *nic.nictype, &NicTypeRow::name) == std::end(kNicTypes)) {
        const bool known = contains(kUnsupportedNicTypes, *nic.nictype);
        const std::string types = "bridged, macvlan, p2p, physical, routed, sriov";
        add(problems, "nictype",
            quoted(*nic.nictype) + (known ? " is not supported yet by this version (" + types + " are)" : " is not a kind of nic (" + types + ")"),
            known ? Code::Unsupported : Code::Invalid);
        return;
    }
    checkNicKeys(nic, problems);
    if (!problems.empty())
        return;
    if (nic.network && nic.nictype)
        add(problems, "nictype", "does not go together with network");
    if (nic.network && nic.parent)
        add(problems, "parent", "does not go together with network");
    if (nic.kind() == NicKind::Bridged && !nic.network && !(nic.nictype && nic.parent))
        add(problems, nic.nictype ? "parent" : "network",
            "is missing: a nic has network=<managed network>, or nictype=bridged and parent=<bridge of the host>");
    if ((nic.kind() == NicKind::Macvlan || nic.kind() == NicKind::Physical || nic.kind() == NicKind::Sriov) && !nic.parent)
        add(problems, "parent", std::string("is missing: the interface of the host that it is") + (nic.isVirtual() ? " a virtual function of" : ""));
    if (nic.kind() != NicKind::Bridged && nic.vlan && nic.vlan->id == 0)
        add(problems, "vlan", "'none' is for a bridge's ports; leave it out for the parent itself");
    if (nic.kind() == NicKind::Bridged && nic.ipv4Address && !nic.network)
        add(problems, "ipv4.address", "needs a managed network");
    if (nic.kind() == NicKind::Bridged && nic.ipv4Address && nic.ipv4Address->items.size() != 1)
        add(problems, "ipv4.address", "is one address, or none: DHCP gives no more");
    if (nic.kind() == NicKind::Bridged && nic.ipv6Address && !nic.network)
        add(problems, "ipv6.address", "needs a managed network");
    if (nic.kind() == NicKind::Bridged && nic.ipv6Address && nic.ipv6Address->items.size() != 1)
        add(problems, "ipv6.address", "is one address, or none: DHCP gives no more");
    if (nic.ipv4Filtering.value_or(false) && !nic.ipv4Address)
        add(problems, "security.ipv4_filtering", "needs ipv4.address: the one address that is let through");
    if (nic.ipv6Filtering.value_or(false) && !nic.ipv6Address)
        add(problems, "security.ipv6_filtering", "needs ipv6.address: the one address that is let through");
    if (nic.kind() == NicKind::Routed && nic.ipv4Routes && !nic.ipv4Address)
        add(problems, "ipv4.routes", "needs ipv4.address, which they go to");
    if (nic.kind() == NicKind::Routed && nic.ipv6Routes && !nic.ipv6Address)
        add(problems, "ipv6.routes", "needs ipv6.address, which they go to");
    if (!nic.acls)
        for (const auto &[key, given] : {std::pair{"egress.action", nic.aclEgressAction.has_value()}, {"egress.logged", nic.aclEgressLogged.has_value()},
                                         {"ingress.action", nic.aclIngressAction.has_value()}, {"ingress.logged", nic.aclIngressLogged.has_value()}})
            if (given)
                add(problems, std::string("security.acls.default.") + key, "needs security.acls: the lists that it is beside");
    checkHostEnd("ipv4", nic.ipv4Address.has_value(), nic.ipv4HostAddress, nic.ipv4HostTable, problems);
    checkHostEnd("ipv6", nic.ipv6Address.has_value(), nic.ipv6HostAddress, nic.ipv6HostTable, problems);
    checkMtu(nic.mtu, problems);
}

void checkRootDisk(const DiskDevice &disk, Problems &problems)
{
    if (!disk.pool)
        add(problems, "pool", "is missing: the root disk (path=/) lies in a storage pool");
    const std::pair<const char *, bool> kNotForRoot[] = {
        {"source",    disk.source.has_value()   },
        {"recursive", disk.recursive.has_value()},
        {"required",  disk.required.has_value() },
        {"shift",     disk.shift.has_value()    },
        {"propagation",       disk.propagation.has_value()},
        {"raw.mount.options", disk.rawMountOptions.has_value()},
    };
    for (const auto &[key, set] : kNotForRoot)
        if (set)
            add(problems, key, "is not for the root disk (path=/)");
}

void checkVolumeDisk(const DiskDevice &disk, Problems &problems)
{
    if (disk.size)
        add(problems, "size", "is for the root disk; that of a custom volume is its own key (lxmgr storage volume set <pool> <volume> size=…)");
    if (!disk.source)
        add(problems, "source", "is missing: the name of the custom volume");
    else if (const Status named = checkObjectName("storage volume", *disk.source); !named)
        problems.push_back({"source", Error(named.error()).in("source")});
    if (disk.shift)
        add(problems, "shift", "is for folders of the host; the owners in a volume are the guest's own ids (security.unmapped of the volume)");
    if (disk.recursive)
        add(problems, "recursive", "is for folders of the host");
    if (disk.required)
        add(problems, "required", "is for folders of the host; a volume that is used is not deleted");
}

void checkTmpfs(const DiskDevice &disk, Problems &problems)
{
    const std::pair<const char *, bool> kNotForTmpfs[] = {
        {"recursive", disk.recursive.has_value()},
        {"required",  disk.required.has_value() },
        {"shift",     disk.shift.has_value()    },
    };
    for (const auto &[key, set] : kNotForTmpfs)
        if (set)
            add(problems, key, "is for folders of the host, not for a tmpfs");
    if (disk.isLimited())
        add(problems, disk.limitsMax ? "limits.max" : disk.limitsRead ? "limits.read" : "limits.write", "a tmpfs has no block device to limit");
    if (disk.size && disk.size->count < 4096)
        add(problems, "size", quoted(std::to_string(disk.size->count)) + " is less than a page of memory (4096)");
}

void checkHostDisk(const DiskDevice &disk, Problems &problems)
{
    if (disk.source == "tmpfs-overlay:") {
        add(problems, "source", "'tmpfs-overlay:' is not supported yet by this version (tmpfs: is)", Code::Unsupported);
        return;
    }
    if (disk.source == "tmpfs") {
        add(problems, "source", "'tmpfs' is not an absolute path (memory is 'tmpfs:')");
        return;
    }
    if (disk.size)
        add(problems, "size", "is for the root disk; a folder of the host is as large as what it is on");
    if (!disk.source)
        add(problems, "source", "is missing: the folder or file of the host, with pool the name of a custom volume, or tmpfs:");
    else if (const auto path = Codec<AbsolutePath>::parse(*disk.source); !path)
        problems.push_back({"source", Error(path.error()).in("source")});
}

void checkDisk(const DiskDevice &disk, Problems &problems)
{
    if (!disk.path)
        add(problems, "path", "is missing: where it is mounted inside");
    else if (disk.isRoot())
        checkRootDisk(disk, problems);
    else if (disk.isVolume())
        checkVolumeDisk(disk, problems);
    else if (disk.isTmpfs())
        checkTmpfs(disk, problems);
    else
        checkHostDisk(disk, problems);
    for (const std::string &option : disk.rawMountOptions.value_or(MountOptions()).names)
        if (findMountOption(option)->tmpfsOnly && !disk.isTmpfs())
            add(problems, "raw.mount.options", quoted(option) + " is for a tmpfs");
    const auto twice = [](const std::optional<IoLimit> &limit, const std::optional<IoLimit> &all) {
        return limit && all && limit->bytes.has_value() == all->bytes.has_value();
    };
    if (twice(disk.limitsRead, disk.limitsMax) || twice(disk.limitsWrite, disk.limitsMax))
        add(problems, "limits.max", "is for reading and writing both; it does not go together with one of its kind for either");
}

template <char Kind> void checkUnix(const UnixDevice<Kind> &device, Problems &problems)
{
    const auto &inside = device.inside();
    if (!inside)
        add(problems, "source", std::string("is missing: the device on the host, such as ") + (Kind == 'c' ? "/dev/kvm" : "/dev/loop0"));
    else if (!inside->text.starts_with("/dev/"))
        add(problems, "path", quoted(inside->text) + " is not below /dev");
    if (device.major.has_value() != device.minor.has_value())
        add(problems, device.major ? "minor" : "major", "is missing: major and minor go together");
    // makedev(3): 12 bits and 20 bits in the kernel's dev_t.
    if (device.major.value_or(0) > 0xFFF)
        add(problems, "major", quoted(std::to_string(*device.major)) + " is above 4095");
    if (device.minor.value_or(0) > 0xFFFFF)
        add(problems, "minor", quoted(std::to_string(*device.minor)) + " is above 1048575");
}

void checkUsb(const UsbDevice &device, Problems &problems)
{
    // All there are is hardly ever what is meant, and would hand the host's keyboard over.
    if (!device.vendor && !device.bus && !device.device && !device.serial)
        add(problems, "vendorid",
            "is missing: a USB device has vendorid=<4 hex digits>, with productid where that is not enough, serial, or busnum and devnum");
    else if (device.product && !device.vendor)
        add(problems, "vendorid", "is missing: a productid is one of a vendor's");
    if (device.bus.has_value() != device.device.has_value())
        add(problems, device.bus ? "devnum" : "busnum", "is missing: busnum and devnum go together");
}

void checkHotplug(const HotplugDevice &device, Problems &problems)
{
    if (!device.vendor)
        add(problems, "vendorid", "is missing: the vendor of the USB device, 4 hex digits");
}

void checkGpu(const GpuDevice &device, Problems &problems)
{
    if (device.gputype && *device.gputype != "physical") {
        const bool known = contains(kUnsupportedGpuTypes, *device.gputype);
        add(problems, "gputype",
            quoted(*device.gputype) + (known ? " is not supported yet by this version (physical is)" : " is not a kind of gpu (physical)"),
            known ? Code::Unsupported : Code::Invalid);
    }
    if (device.id && (device.pci || device.vendor || device.product))
        add(problems, "id", "does not go together with pci, vendorid or productid: it is the one card already");
    if (device.pci && (device.vendor || device.product))
        add(problems, "pci", "does not go together with vendorid or productid: it is the one card already");
    if (device.product && !device.vendor)
        add(problems, "vendorid", "is missing: a productid is one of a vendor's");
}

void checkInfiniband(const InfinibandDevice &device, Problems &problems)
{
    if (!device.nictype)
        add(problems, "nictype", "is missing: physical (the parent itself) or sriov (a free virtual function of it)");
    else if (*device.nictype != "physical" && *device.nictype != "sriov")
        add(problems, "nictype", quoted(*device.nictype) + " is not a kind of infiniband device (physical, sriov)");
    if (!device.parent)
        add(problems, "parent", "is missing: the interface of the host, such as ib0");
    checkMtu(device.mtu, problems);
}

void checkTpm(const TpmDevice &device, Problems &problems)
{
    if (!device.path)
        add(problems, "path", "is missing: where it is inside, such as /dev/tpm0");
    for (const auto &[key, path] : {std::pair{"path", &device.path}, {"pathrm", &device.pathRm}})
        if (*path && !(*path)->text.starts_with("/dev/"))
            add(problems, key, quoted((*path)->text) + " is not below /dev");
}

void checkNat(const ProxyDevice &proxy, Problems &problems)
{
    const std::pair<const char *, bool> kNotForNat[] = {
        {"proxy_protocol", proxy.proxyProtocol.value_or(false)},
        {"security.gid",   proxy.securityGid.has_value()      },
        {"security.uid",   proxy.securityUid.has_value()      },
    };
    if (proxy.listensInside())
        add(problems, "nat", "forwards what comes to the host: it does not go together with bind=instance");
    for (const auto &[key, set] : kNotForNat)
        if (set)
            add(problems, key, "does not go together with nat=true, where no process connects");
    if (proxy.listen->isUnix() || proxy.connect->isUnix() || proxy.listen->kind != proxy.connect->kind)
        add(problems, "nat", "is from tcp to tcp or from udp to udp");
    else if (proxy.listen->isIpv6() != proxy.connect->isIpv6())
        add(problems, "nat", "is from IPv4 to IPv4 or from IPv6 to IPv6");
    else if (proxy.listen->isWildcard())
        add(problems, "listen", "with nat=true is one address of the host, not all of them: all packets that pass would be taken");
    else if (proxy.listen->host.starts_with("127.") || proxy.listen->host == "::1")
        add(problems, "listen", "with nat=true is not the loopback address, which no packet from elsewhere comes to; leave nat out for it");
}

void checkProxy(const ProxyDevice &proxy, Problems &problems)
{
    for (const auto &[key, address] : {std::pair{"listen", &proxy.listen}, {"connect", &proxy.connect}})
        if (!*address)
            add(problems, key, "is missing: tcp:ADDRESS:PORT, udp:ADDRESS:PORT, unix:/PATH or unix:@NAME");
    if (!problems.empty())
        return;
    const std::size_t from = proxy.listen->numbers().size(), to = proxy.connect->numbers().size();
    if (to != 1 && to != from)
        add(problems, "connect", "has " + std::to_string(to) + " ports for " + std::to_string(from) + " that are listened on; give one, or as many");
    const bool nat = proxy.nat.value_or(false);
    if (!nat && from > kMostProxySockets)
        add(problems, "listen", "has more than " + std::to_string(kMostProxySockets) + " ports; with nat=true it may");
    if (proxy.proxyProtocol.value_or(false) &&
        (proxy.connect->kind != ProxyAddress::Kind::Tcp || proxy.listen->kind == ProxyAddress::Kind::Udp))
        add(problems, "proxy_protocol", "is for connections to a tcp server, from tcp or unix");
    const bool file = proxy.listen->isUnix() && !proxy.listen->isAbstract();
    for (const auto &[key, set] : {std::pair{"gid", proxy.gid.has_value()}, {"mode", proxy.mode.has_value()}, {"uid", proxy.uid.has_value()}})
        if (set && !file)
            add(problems, key, "is for a socket file (listen=unix:/PATH)");
    if (nat)
        checkNat(proxy, problems);
}

template <class T> struct Table;
template <> struct Table<UsbDevice> {
    static constexpr std::string_view kType = "usb";
    static constexpr std::span<const Key<UsbDevice>> kKeys = kUsbKeys;
    static constexpr std::span<const std::string_view> kUnsupported = {};
    static void check(const UsbDevice &device, Problems &problems) { checkUsb(device, problems); }
};
template <> struct Table<HotplugDevice> {
    static constexpr std::string_view kType = "unix-hotplug";
    static constexpr std::span<const Key<HotplugDevice>> kKeys = kHotplugKeys;
    static constexpr std::span<const std::string_view> kUnsupported = kUnsupportedHotplugKeys;
    static void check(const HotplugDevice &device, Problems &problems) { checkHotplug(device, problems); }
};
template <> struct Table<GpuDevice> {
    static constexpr std::string_view kType = "gpu";
    static constexpr std::span<const Key<GpuDevice>> kKeys = kGpuKeys;
    static constexpr std::span<const std::string_view> kUnsupported = kUnsupportedGpuKeys;
    static void check(const GpuDevice &device, Problems &problems) { checkGpu(device, problems); }
};
template <> struct Table<InfinibandDevice> {
    static constexpr std::string_view kType = "infiniband";
    static constexpr std::span<const Key<InfinibandDevice>> kKeys = kInfinibandKeys;
    static constexpr std::span<const std::string_view> kUnsupported = {};
    static void check(const InfinibandDevice &device, Problems &problems) { checkInfiniband(device, problems); }
};
template <> struct Table<NicDevice> {
    static constexpr std::string_view kType = "nic";
    static constexpr std::span<const Key<NicDevice>> kKeys = kNicKeys;
    static constexpr std::span<const std::string_view> kUnsupported = kUnsupportedNicKeys;
    static void check(const NicDevice &nic, Problems &problems) { checkNic(nic, problems); }
};
template <> struct Table<DiskDevice> {
    static constexpr std::string_view kType = "disk";
    static constexpr std::span<const Key<DiskDevice>> kKeys = kDiskKeys;
    static constexpr std::span<const std::string_view> kUnsupported = kUnsupportedDiskKeys;
    static void check(const DiskDevice &disk, Problems &problems) { checkDisk(disk, problems); }
};
template <char Kind> struct Table<UnixDevice<Kind>> {
    static constexpr std::string_view kType = Kind == 'c' ? "unix-char" : "unix-block";
    static constexpr std::span<const Key<UnixDevice<Kind>>> kKeys = kUnixKeys<UnixDevice<Kind>>;
    static constexpr std::span<const std::string_view> kUnsupported = {};
    static void check(const UnixDevice<Kind> &device, Problems &problems) { checkUnix(device, problems); }
};
template <> struct Table<ProxyDevice> {
    static constexpr std::string_view kType = "proxy";
    static constexpr std::span<const Key<ProxyDevice>> kKeys = kProxyKeys;
    static constexpr std::span<const std::string_view> kUnsupported = {};
    static void check(const ProxyDevice &proxy, Problems &problems) { checkProxy(proxy, problems); }
};
template <> struct Table<TpmDevice> {
    static constexpr std::string_view kType = "tpm";
    static constexpr std::span<const Key<TpmDevice>> kKeys = kTpmKeys;
    static constexpr std::span<const std::string_view> kUnsupported = {};
    static void check(const TpmDevice &device, Problems &problems) { checkTpm(device, problems); }
};
template <> struct Table<NoneDevice> {
    static constexpr std::string_view kType = "none";
    static constexpr std::span<const Key<NoneDevice>> kKeys = {};
    static constexpr std::span<const std::string_view> kUnsupported = {};
    static void check(const NoneDevice &, Problems &) {}
};

using Value = decltype(Device::value);

template <class T> Value parseAs(const StringMap &keys, Problems &problems)
{
    T device = parseKeys<T>(problems, Table<T>::kKeys, Table<T>::kUnsupported, keys);
    if (problems.empty()) // a key that did not parse would be reported again as missing
        Table<T>::check(device, problems);
    return device;
}

struct TypeRow {
    std::string_view type;
    Value (*parse)(const StringMap &keys, Problems &problems);
};
constexpr TypeRow kTypes[] = {
    {Table<DiskDevice>::kType,      &parseAs<DiskDevice>     },
    {Table<GpuDevice>::kType,       &parseAs<GpuDevice>      },
    {Table<InfinibandDevice>::kType, &parseAs<InfinibandDevice>},
    {Table<NicDevice>::kType,       &parseAs<NicDevice>      },
    {Table<NoneDevice>::kType,      &parseAs<NoneDevice>     },
    {Table<ProxyDevice>::kType,     &parseAs<ProxyDevice>    },
    {Table<TpmDevice>::kType,       &parseAs<TpmDevice>      },
    {Table<UnixBlockDevice>::kType, &parseAs<UnixBlockDevice>},
    {Table<UnixCharDevice>::kType,  &parseAs<UnixCharDevice> },
    {Table<HotplugDevice>::kType,   &parseAs<HotplugDevice>  },
    {Table<UsbDevice>::kType,       &parseAs<UsbDevice>      },
};

/// "disk, nic or none", with all there are.
std::string typeNames()
{
    std::string names;
    for (const TypeRow &row : kTypes)
        names += (names.empty() ? "" : &row == &std::end(kTypes)[-1] ? " or " : ", ") + std::string(row.type);
    return names;
}

Value parseTyped(const StringMap &keys, Problems &problems)
{
    const auto type = keys.find("type");
    if (type == keys.end() || type->second.empty()) {
        add(problems, "type", "is missing (" + typeNames() + ")");
        return {};
    }
    for (const TypeRow &row : kTypes)
        if (row.type == type->second)
            return row.parse(keys, problems);
    const bool known = contains(kUnsupportedDeviceTypes, type->second);
    add(problems, "type",
        quoted(type->second) + (known ? " is not supported yet by this version" : " is not a type of device") +
            " (" + typeNames() + ")",
        known ? Code::Unsupported : Code::Invalid);
    return {};
}

std::string deviceContext(const std::string &name) { return "device " + quoted(name); }

/// Two devices that take the same `what` inside, told by the names of both.
class Taken
{
public:
    explicit Taken(std::string what) : m_what(std::move(what)) {}
    void take(const std::string &value, const std::string &device, Findings &findings)
    {
        const auto [at, fresh] = m_by.emplace(value, device);
        if (!fresh)
            findings.add(Error(Code::Invalid, "devices " + quoted(at->second) + " and " + quoted(device) +
                                                  " have the same " + m_what + " " + quoted(value)));
    }

private:
    std::string m_what;
    StringMap m_by;
};

template <char Kind> std::optional<AbsolutePath> pathOf(const UnixDevice<Kind> *device)
{
    return device ? device->inside() : std::nullopt;
}

/// Two proxies that listen on the same port of the same side; what overlaps only in part is found when it is bound.
void checkProxies(const std::vector<Device> &devices, Findings &findings)
{
    Taken places("place to listen on");
    std::size_t sockets = 0;
    for (const Device &device : devices) {
        const auto *proxy = device.as<ProxyDevice>();
        if (proxy == nullptr)
            continue;
        sockets += proxy->nat.value_or(false) ? 0 : proxy->listen->numbers().size();
        ProxyAddress one = *proxy->listen;
        for (const std::uint16_t port : proxy->listen->numbers()) {
            one.ports = {{port, port}};
            places.take((proxy->listensInside() ? "inside " : "") + Codec<ProxyAddress>::format(one), device.name, findings);
        }
    }
    if (sockets > kMostProxySockets)
        findings.add(Error(Code::Invalid, "proxies listen on " + std::to_string(sockets) + " ports, more than " +
                                              std::to_string(kMostProxySockets) + "; those with nat=true do not count"));
}

void checkClashes(const std::vector<Device> &devices, Findings &findings)
{
    checkProxies(devices, findings);
    Taken paths("path"), names("interface name"), hostNames("host interface name"), macs("MAC address"), cards("interface of the host");
    for (const Device &device : devices) {
        if (const auto *disk = device.as<DiskDevice>())
            paths.take(disk->path->text, device.name, findings);
        const auto *tpm = device.as<TpmDevice>();
        for (const auto &inside : {pathOf(device.as<UnixCharDevice>()), pathOf(device.as<UnixBlockDevice>()), tpm ? tpm->path : std::nullopt,
                                   tpm ? tpm->pathRm : std::nullopt})
            if (inside)
                paths.take(inside->text, device.name, findings);
        const auto *nic = device.as<NicDevice>();
        if (nic != nullptr && nic->name)
            names.take(nic->name->text, device.name, findings);
        if (nic != nullptr && nic->hostName)
            hostNames.take(nic->hostName->text, device.name, findings);
        const auto *port = device.as<InfinibandDevice>();
        if (port != nullptr && port->name)
            names.take(port->name->text, device.name, findings);
        if (nic != nullptr && nic->kind() == NicKind::Physical)
            cards.take(nic->parent->text + (nic->vlan ? ", VLAN " + Codec<PortVlan>::format(*nic->vlan) : ""), device.name, findings);
        if (port != nullptr && !port->isVirtual())
            cards.take(port->parent->text, device.name, findings);
        if (nic != nullptr && nic->hwaddr)
            macs.take(nic->hwaddr->text, device.name, findings);
    }
}

} // namespace

bool isNode(const Device &device)
{
    return device.as<UnixCharDevice>() || device.as<UnixBlockDevice>() || device.as<UsbDevice>() || device.as<HotplugDevice>() || device.as<GpuDevice>() ||
           device.as<InfinibandDevice>();
}

NicKind NicDevice::kind() const
{
    const auto *row = nictype ? std::ranges::find(kNicTypes, *nictype, &NicTypeRow::name) : std::end(kNicTypes);
    return row == std::end(kNicTypes) ? NicKind::Bridged : row->kind;
}

Status checkDeviceName(const std::string &name)
{
    constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:";
    if (name.empty() || name.size() > 64 || name.front() == '.' ||
        name.find_first_not_of(kAllowed) != std::string::npos)
        return Error(Code::Invalid, "device name " + quoted(name.substr(0, 80)) +
                                        ": is not 1 to 64 of letters, digits and -_.:, not starting with '.'");
    return {};
}

Result<Device> parseDevice(const std::string &name, const StringMap &keys, std::string *badKey)
{
    TRY(checkDeviceName(name));
    Problems problems;
    Device device{name, parseTyped(keys, problems)};
    if (problems.empty())
        return device;
    if (badKey != nullptr)
        *badKey = problems.front().key;
    Findings findings;
    for (Problem &problem : problems)
        findings.add(std::move(problem.error));
    return std::move(findings.status().error()).in(deviceContext(name));
}

StringMap formatDevice(const Device &device)
{
    StringMap out;
    std::visit(
        [&]<class T>(const T &value) {
            out["type"] = Table<T>::kType;
            for (const Key<T> &key : Table<T>::kKeys)
                key.field.format(value, key.name, out);
        },
        device.value);
    return out;
}

Result<std::vector<Device>> parseDevices(const DeviceMap &devices, DeviceSet set)
{
    if (devices.size() > kMaxDevices)
        return Error(Code::Invalid, "more than 256 devices");
    std::vector<Device> parsed;
    Findings findings;
    for (const auto &[name, keys] : devices) {
        Result<Device> device = parseDevice(name, keys);
        if (device)
            parsed.push_back(std::move(*device));
        else
            findings.add(std::move(device.error()));
    }
    checkClashes(parsed, findings);
    TRY(findings.status());
    if (set == DeviceSet::Expanded && rootDisk(parsed) == nullptr)
        return Error(Code::Invalid, "there is no root disk: a profile or the instance must have a disk device with "
                                    "path=/ and pool=<storage pool>");
    return parsed;
}

const Device *rootDisk(const std::vector<Device> &devices)
{
    for (const Device &device : devices)
        if (const auto *disk = device.as<DiskDevice>(); disk != nullptr && disk->isRoot())
            return &device;
    return nullptr;
}

} // namespace lxmgr::config
