#include "kernel/netlink.h"

#include "base/text.h"
#include "kernel/netlink_message.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/veth.h>

// <net/if.h> and <linux/if.h> do not go together in one file.
extern "C" unsigned int if_nametoindex(const char *name) noexcept;
extern "C" char *if_indextoname(unsigned int index, char *name) noexcept;

namespace lxmgr::netlink
{

std::string macBytes(const std::string &mac)
{
    std::string bytes;
    for (const std::string &part : split(mac, ':'))
        bytes += static_cast<char>(std::strtoul(part.c_str(), nullptr, 16));
    return bytes;
}

Result<int> indexOf(const std::string &name)
{
    const unsigned index = ::if_nametoindex(name.c_str());
    if (index == 0)
        return Error(Code::NotFound, "No network interface " + quoted(name), ENODEV);
    return static_cast<int>(index);
}

namespace
{

constexpr std::uint16_t kDo = NLM_F_REQUEST | NLM_F_ACK;
constexpr std::uint16_t kMake = kDo | NLM_F_CREATE | NLM_F_EXCL;
constexpr std::uint16_t kDump = NLM_F_REQUEST | NLM_F_DUMP;

std::string macText(std::string_view bytes)
{
    std::string text;
    for (const char byte : bytes) {
        const auto value = static_cast<unsigned char>(byte);
        text += (text.empty() ? "" : ":") + toHex({&value, 1});
    }
    return text;
}

Status changeLink(const Message &message, const std::string &what)
{
    Socket socket = TRY(Socket::open());
    return socket.request(message, what);
}

Result<Message> linkMessage(const std::string &name)
{
    ifinfomsg fixed{};
    fixed.ifi_index = TRY(indexOf(name));
    return Message(RTM_NEWLINK, kDo, fixed);
}

void putPeer(Message &message, const Veth &veth, std::uint32_t mtu)
{
    const std::size_t peer = message.begin(VETH_INFO_PEER);
    message.appendStruct(ifinfomsg{});
    message.putString(IFLA_IFNAME, veth.peerName);
    if (veth.peerNetns >= 0)
        message.putU32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(veth.peerNetns));
    else if (veth.peerPid > 0)
        message.putU32(IFLA_NET_NS_PID, static_cast<std::uint32_t>(veth.peerPid));
    if (!veth.mac.empty())
        message.putBytes(IFLA_ADDRESS, macBytes(veth.mac));
    if (mtu)
        message.putU32(IFLA_MTU, mtu);
    if (veth.queueLength)
        message.putU32(IFLA_TXQLEN, veth.queueLength);
    message.end(peer);
}

Message vethMessage(const Veth &veth, int bridge, std::uint32_t mtu)
{
    ifinfomsg fixed{};
    fixed.ifi_flags = bridge ? 0 : IFF_UP; // a port comes up without an address, which has to be said first
    fixed.ifi_change = IFF_UP;
    Message message(RTM_NEWLINK, kMake, fixed);
    message.putString(IFLA_IFNAME, veth.hostName);
    if (bridge)
        message.putU32(IFLA_MASTER, static_cast<std::uint32_t>(bridge));
    if (mtu)
        message.putU32(IFLA_MTU, mtu);
    if (veth.queueLength)
        message.putU32(IFLA_TXQLEN, veth.queueLength);
    const std::size_t info = message.begin(IFLA_LINKINFO);
    message.putString(IFLA_INFO_KIND, "veth");
    const std::size_t data = message.begin(IFLA_INFO_DATA);
    putPeer(message, veth, mtu);
    message.end(data);
    message.end(info);
    return message;
}

Status mapExists(Status status)
{
    if (!status && status.error().errnum == EEXIST)
        return std::move(status.error()).as(Code::AlreadyExists);
    return status;
}

Address makeAddress(int family, std::string_view bytes, unsigned prefix, unsigned scope = 0)
{
    return {family, std::string(bytes), prefix, scope};
}

Link parseLink(const nlmsghdr &header)
{
    const auto *fixed = static_cast<const ifinfomsg *>(NLMSG_DATA(&header));
    const Attributes<IFLA_MAX> found(header, sizeof *fixed);
    Link link;
    link.index = fixed->ifi_index;
    link.flags = fixed->ifi_flags;
    link.type = fixed->ifi_type;
    link.name = found.text(IFLA_IFNAME);
    link.mac = macText(found.bytes(IFLA_ADDRESS));
    link.mtu = found.number<std::uint32_t>(IFLA_MTU);
    link.master = found.number<int>(IFLA_MASTER);
    link.peer = found.number<int>(IFLA_LINK);
    link.running = found.number<std::uint8_t>(IFLA_CARRIER) != 0;
    if (found.has(IFLA_LINKINFO)) {
        const Attributes<IFLA_INFO_MAX> info(found.bytes(IFLA_LINKINFO));
        link.kind = info.text(IFLA_INFO_KIND);
        if (link.kind == "vlan")
            link.vlan = Attributes<IFLA_VLAN_MAX>(info.bytes(IFLA_INFO_DATA)).number<std::uint16_t>(IFLA_VLAN_ID);
    }
    const auto stats = found.number<rtnl_link_stats64>(IFLA_STATS64);
    link.counters = {stats.rx_bytes,  stats.tx_bytes,  stats.rx_packets, stats.tx_packets,
                     stats.rx_errors, stats.tx_errors, stats.rx_dropped, stats.tx_dropped};
    return link;
}

void addToLinks(std::vector<Link> &links, const nlmsghdr &header)
{
    const auto *fixed = static_cast<const ifaddrmsg *>(NLMSG_DATA(&header));
    const Attributes<IFA_MAX> found(header, sizeof *fixed);
    // On a point-to-point link IFA_ADDRESS is the other end's.
    const std::string_view own = found.has(IFA_LOCAL) ? found.bytes(IFA_LOCAL) : found.bytes(IFA_ADDRESS);
    for (Link &link : links)
        if (link.index == static_cast<int>(fixed->ifa_index))
            link.addresses.push_back(makeAddress(fixed->ifa_family, own, fixed->ifa_prefixlen, fixed->ifa_scope));
}

Route parseRoute(const nlmsghdr &header)
{
    const auto *fixed = static_cast<const rtmsg *>(NLMSG_DATA(&header));
    const Attributes<RTA_MAX> found(header, sizeof *fixed);
    Route route;
    route.type = fixed->rtm_type;
    route.table = found.has(RTA_TABLE) ? found.number<std::uint32_t>(RTA_TABLE) : fixed->rtm_table;
    route.linkIndex = found.number<int>(RTA_OIF);
    std::string destination(found.bytes(RTA_DST));
    destination.resize(fixed->rtm_family == AF_INET ? 4 : 16); // The default route has none.
    route.destination = makeAddress(fixed->rtm_family, destination, fixed->rtm_dst_len);
    route.gateway = makeAddress(fixed->rtm_family, found.bytes(RTA_GATEWAY), 0);
    return route;
}

Message addressMessage(std::uint16_t type, std::uint16_t flags, int index, const Address &address)
{
    ifaddrmsg fixed{};
    fixed.ifa_family = static_cast<std::uint8_t>(address.family);
    fixed.ifa_prefixlen = static_cast<std::uint8_t>(address.prefix);
    fixed.ifa_index = static_cast<std::uint32_t>(index);
    if (address.family == AF_INET6)
        fixed.ifa_flags = IFA_F_NODAD;
    Message message(type, flags, fixed);
    message.putBytes(IFA_LOCAL, address.bytes);
    message.putBytes(IFA_ADDRESS, address.bytes);
    if (address.family == AF_INET && address.prefix < 31) {
        std::string broadcast = address.bytes;
        for (unsigned bit = address.prefix; bit < 32; ++bit)
            broadcast[bit / 8] = static_cast<char>(broadcast[bit / 8] | (0x80 >> (bit % 8)));
        message.putBytes(IFA_BROADCAST, broadcast);
    }
    return message;
}

} // namespace

Status setPortUp(const std::string &name)
{
    ifinfomsg fixed{};
    fixed.ifi_index = TRY(indexOf(name));
    fixed.ifi_flags = fixed.ifi_change = IFF_UP;
    Message message(RTM_SETLINK, kDo, fixed);
    const std::size_t families = message.begin(IFLA_AF_SPEC);
    const std::size_t six = message.begin(AF_INET6);
    const std::uint8_t none = IN6_ADDR_GEN_MODE_NONE;
    message.put(IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
    message.end(six);
    message.end(families);
    Status up = changeLink(message, "set up port " + quoted(name));
    return !up && up.error().errnum == EAFNOSUPPORT ? setUp(name) : up; // a host without IPv6
}

Status createVeth(const Veth &veth)
{
    int bridge = 0;
    std::uint32_t mtu = veth.mtu;
    if (!veth.bridge.empty()) {
        const Link master = TRY(link(veth.bridge));
        bridge = master.index;
        mtu = mtu ? mtu : master.mtu;
    }
    TRY(mapExists(changeLink(vethMessage(veth, bridge, mtu), "create veth " + quoted(veth.hostName))));
    Status up = bridge ? setPortUp(veth.hostName) : Status();
    if (!up)
        (void)deleteLink(veth.hostName); // the first error is the one to report
    return up;
}

Status createBridge(const Bridge &bridge)
{
    Message message(RTM_NEWLINK, kMake, ifinfomsg{});
    message.putString(IFLA_IFNAME, bridge.name);
    if (!bridge.mac.empty())
        message.putBytes(IFLA_ADDRESS, macBytes(bridge.mac));
    if (bridge.mtu)
        message.putU32(IFLA_MTU, bridge.mtu);
    const std::size_t info = message.begin(IFLA_LINKINFO);
    message.putString(IFLA_INFO_KIND, "bridge");
    message.end(info);
    return mapExists(changeLink(message, "create bridge " + quoted(bridge.name)));
}

Status deleteLink(const std::string &name)
{
    ifinfomsg fixed{};
    fixed.ifi_index = TRY(indexOf(name));
    Status deleted = changeLink(Message(RTM_DELLINK, kDo, fixed), "delete link " + quoted(name));
    if (!deleted && deleted.error().errnum == ENODEV)
        return std::move(deleted.error()).as(Code::NotFound);
    return deleted;
}

bool linkExists(const std::string &name) { return ::if_nametoindex(name.c_str()) != 0; }

std::string linkName(int index)
{
    char name[IFNAMSIZ] = {};
    return ::if_indextoname(static_cast<unsigned>(index), name) ? name : "";
}

Status setUp(const std::string &name)
{
    ifinfomsg fixed{};
    fixed.ifi_index = TRY(indexOf(name));
    fixed.ifi_flags = fixed.ifi_change = IFF_UP;
    return changeLink(Message(RTM_NEWLINK, kDo, fixed), "set up link " + quoted(name));
}

Status setMaster(const std::string &name, const std::string &bridge)
{
    Message message = TRY(linkMessage(name));
    message.putU32(IFLA_MASTER, bridge.empty() ? 0 : static_cast<std::uint32_t>(TRY(indexOf(bridge))));
    return changeLink(message, bridge.empty() ? "take " + quoted(name) + " out of its bridge"
                                              : "put " + quoted(name) + " into bridge " + quoted(bridge));
}

Status setMtu(const std::string &name, std::uint32_t mtu)
{
    Message message = TRY(linkMessage(name));
    message.putU32(IFLA_MTU, mtu);
    return changeLink(message, "set mtu of " + quoted(name));
}

namespace
{

constexpr std::size_t kInfinibandLength = 20 * 3 - 1, kGuidLength = 8 * 3 - 1; // as text

} // namespace

std::string fullAddress(const std::string &wanted, const std::string &now)
{
    if (wanted.size() != kGuidLength || now.size() != kInfinibandLength)
        return wanted;
    return now.substr(0, kInfinibandLength - kGuidLength) + wanted;
}

Status setMac(const std::string &name, const std::string &mac)
{
    Message message = TRY(linkMessage(name));
    message.putBytes(IFLA_ADDRESS, macBytes(mac.size() == kInfinibandLength ? mac : TRY(parseMac(mac))));
    return changeLink(message, "set the MAC address of " + quoted(name));
}

std::string Address::text() const
{
    char buffer[INET6_ADDRSTRLEN] = {};
    if (bytes.size() == (family == AF_INET ? 4 : 16))
        ::inet_ntop(family, bytes.data(), buffer, sizeof buffer);
    return buffer;
}

std::string Address::scopeName() const
{
    return scope == RT_SCOPE_LINK ? "link" : scope == RT_SCOPE_HOST ? "local" : "global";
}

Result<Address> parseAddress(std::string_view text)
{
    const std::size_t slash = text.find('/');
    const std::string host(text.substr(0, slash));
    Address address;
    address.family = host.find(':') == std::string::npos ? AF_INET : AF_INET6;
    address.bytes.resize(address.family == AF_INET ? 4 : 16);
    const unsigned whole = static_cast<unsigned>(address.bytes.size()) * 8;
    if (::inet_pton(address.family, host.c_str(), address.bytes.data()) != 1)
        return Error(Code::Invalid, "Not an IP address: " + quoted(text));
    address.prefix = whole;
    if (slash != std::string_view::npos)
        address.prefix = static_cast<unsigned>(TRY_IN(quoted(text), parseUnsigned(text.substr(slash + 1), 0, whole)));
    return address;
}

Status addAddress(const std::string &link, const Address &address)
{
    return addAddress(-1, TRY(indexOf(link)), address);
}

Status addAddress(int netns, int index, const Address &address)
{
    Socket socket = TRY(Socket::open(netns));
    Status added = socket.request(addressMessage(RTM_NEWADDR, kMake, index, address), "add address " + quoted(address.text()));
    if (!added && added.error().errnum == EEXIST)
        return {};
    return added;
}

Status deleteAddress(const std::string &link, const Address &address)
{
    const Message message = addressMessage(RTM_DELADDR, kDo, TRY(indexOf(link)), address);
    Status gone = changeLink(message, "remove address " + quoted(address.text()) + " from " + quoted(link));
    if (!gone && gone.error().errnum == EADDRNOTAVAIL)
        return {};
    return gone;
}

Result<std::vector<Link>> links(int netns)
{
    Socket socket = TRY(Socket::open(netns));
    std::vector<Link> found;
    TRY(socket.dump(
        Message(RTM_GETLINK, kDump, ifinfomsg{}), "list links",
        [&](const nlmsghdr &row) { found.push_back(parseLink(row)); }, [&] { found.clear(); }));
    TRY(socket.dump(
        Message(RTM_GETADDR, kDump, ifaddrmsg{}), "list addresses",
        [&](const nlmsghdr &row) { addToLinks(found, row); },
        [&] { std::ranges::for_each(found, [](Link &entry) { entry.addresses.clear(); }); }));
    return found;
}

Result<Link> link(const std::string &name)
{
    ifinfomsg wanted{};
    wanted.ifi_index = TRY(indexOf(name));
    Socket socket = TRY(Socket::open());
    // A request for one link is answered by that link, then by the acknowledgement, which ends it as DONE ends a dump.
    std::vector<Link> found;
    TRY(socket.dump(
        Message(RTM_GETLINK, kDo, wanted), "read link " + quoted(name),
        [&](const nlmsghdr &row) { found.push_back(parseLink(row)); }, [&] { found.clear(); }));
    if (found.empty())
        return Error(Code::NotFound, "No network interface " + quoted(name), ENODEV);
    ifaddrmsg filter{};
    filter.ifa_index = static_cast<std::uint32_t>(wanted.ifi_index);
    TRY(socket.dump(
        Message(RTM_GETADDR, kDump, filter), "list addresses of " + quoted(name),
        [&](const nlmsghdr &row) { addToLinks(found, row); }, [&] { found[0].addresses.clear(); }));
    return std::move(found[0]);
}

Result<BridgeFacts> bridgeFacts(const std::string &name)
{
    ifinfomsg wanted{};
    wanted.ifi_index = TRY(indexOf(name));
    Socket socket = TRY(Socket::open());
    BridgeFacts facts;
    const auto read = [&](const nlmsghdr &row) {
        const Attributes<IFLA_INFO_MAX> info(Attributes<IFLA_MAX>(row, sizeof(ifinfomsg)).bytes(IFLA_LINKINFO));
        if (info.text(IFLA_INFO_KIND) != "bridge")
            return;
        const Attributes<IFLA_BR_MAX> data(info.bytes(IFLA_INFO_DATA));
        const std::string_view id = data.bytes(IFLA_BR_BRIDGE_ID); // Two octets of priority, six of the MAC address.
        const std::string hex = toHex({reinterpret_cast<const unsigned char *>(id.data()), id.size()});
        facts.id = hex.size() == 16 ? hex.substr(0, 4) + "." + hex.substr(4) : "";
        facts.stp = data.number<std::uint32_t>(IFLA_BR_STP_STATE) != 0;
        facts.forwardDelay = data.number<std::uint32_t>(IFLA_BR_FORWARD_DELAY);
        facts.vlanFiltering = data.number<std::uint8_t>(IFLA_BR_VLAN_FILTERING) != 0;
        facts.canFilterVlans = data.has(IFLA_BR_VLAN_DEFAULT_PVID); // IFLA_BR_VLAN_FILTERING is there without, too
        facts.vlanDefault = data.number<std::uint16_t>(IFLA_BR_VLAN_DEFAULT_PVID);
    };
    TRY(socket.dump(Message(RTM_GETLINK, kDo, wanted), "read bridge " + quoted(name), read, [] {}));
    return facts;
}

Result<std::vector<Route>> routes(int netns)
{
    Socket socket = TRY(Socket::open(netns));
    std::vector<Route> found;
    TRY(socket.dump(
        Message(RTM_GETROUTE, kDump, rtmsg{}), "list routes",
        [&](const nlmsghdr &row) { found.push_back(parseRoute(row)); }, [&] { found.clear(); }));
    return found;
}

Status checkLinkName(const std::string &name)
{
    const auto good = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.'; };
    if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == ".." || !std::ranges::all_of(name, good))
        return Error(Code::Invalid, "Not an interface name: " + quoted(name) +
                                        " (1 to 15 letters, digits, \"-\", \"_\" and \".\")");
    return {};
}

Result<std::string> parseMac(std::string_view text)
{
    const std::string mac = lower(text);
    const auto hex = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
    const std::vector<std::string> parts = split(mac, ':');
    const bool shaped = parts.size() == 6 && std::ranges::all_of(parts, [&](const std::string &part) {
                            return part.size() == 2 && hex(part[0]) && hex(part[1]);
                        });
    if (!shaped)
        return Error(Code::Invalid, "Not a MAC address: " + quoted(text));
    if (macBytes(mac)[0] & 1)
        return Error(Code::Invalid, "MAC address " + quoted(text) + " is a multicast one");
    return mac;
}

} // namespace lxmgr::netlink
