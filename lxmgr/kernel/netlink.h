// rtnetlink(7): links, addresses and routes of a network namespace. Messages are built by hand (see netlink_message.h):
// the monitor makes veth pairs and must stay small.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace lxmgr::netlink
{

/// A pair whose inner end is born inside the guest's network namespace.
struct Veth {
    std::string hostName;
    std::string peerName;
    int peerNetns = -1;    ///< fd of the namespace; else
    pid_t peerPid = 0;     ///< a process in it.
    std::string bridge;    ///< Outer end becomes its port; "" leaves it free.
    std::string mac;       ///< "aa:bb:…" of the inner end; "" lets the kernel choose.
    std::uint32_t mtu = 0; ///< Of both ends; 0: the bridge's, else the kernel's.
    std::uint32_t queueLength = 0; ///< Of both ends, packets; 0: the kernel's.
};
/// The outer end is up, as a port without an address. NotFound when the bridge is missing, AlreadyExists when a name is taken.
Status createVeth(const Veth &veth);

struct Bridge {
    std::string name;
    std::string mac; ///< "" lets the kernel follow the lowest port: give one.
    std::uint32_t mtu = 0;
};
/// Made down. AlreadyExists when the name is taken.
Status createBridge(const Bridge &bridge);
/// NotFound when there is none.
Status deleteLink(const std::string &name);
bool linkExists(const std::string &name);
/// "" when no link has that index in this namespace.
std::string linkName(int index);
Status setUp(const std::string &name);
/// `bridge` "": it is no port any more.
Status setMaster(const std::string &name, const std::string &bridge);
/// A port needs no address of its own. With one the kernel probes for it, joins its groups and tells everybody of it, and DHCP
/// servers look at all there are again and advertise to all guests, at each start: with a hundred guests that is a third of one.
Status setPortUp(const std::string &name);
Status setMtu(const std::string &name, std::uint32_t mtu);
/// 6 bytes, or 20 of an InfiniBand port.
Status setMac(const std::string &name, const std::string &mac);
/// `wanted`, or where that is 8 bytes, the GUID of an InfiniBand port whose address is `now`: the whole of it.
std::string fullAddress(const std::string &wanted, const std::string &now);

/// What only a bridge has (IFLA_BR_* of linux/if_link.h).
struct BridgeFacts {
    std::string id; ///< "8000.0a163e112233"
    bool stp = false;
    std::uint64_t forwardDelay = 0; ///< Hundredths of a second.
    bool vlanFiltering = false;
    bool canFilterVlans = false; ///< Whether the kernel has that.
    unsigned vlanDefault = 0;
};
/// NotFound: no such link.
Result<BridgeFacts> bridgeFacts(const std::string &name);

/// `bytes` holds 4 or 16 octets in network order.
struct Address {
    int family = 0; ///< AF_INET, AF_INET6
    std::string bytes;
    unsigned prefix = 0;
    unsigned scope = 0; ///< RT_SCOPE_*
    std::string text() const;    ///< "10.1.2.3"
    std::string scopeName() const; ///< global, link, local
    bool operator==(const Address &) const = default;
};
/// "10.1.2.1/24" or "fd42::1/64"; without a prefix the whole length.
Result<Address> parseAddress(std::string_view text);
/// One already there is fine. IPv6 without duplicate detection: dnsmasq must be able to bind it at once.
Status addAddress(const std::string &link, const Address &address);
/// To the link of that index in another namespace (see links()).
Status addAddress(int netns, int index, const Address &address);
Status deleteAddress(const std::string &link, const Address &address);

struct Counters {
    std::uint64_t rxBytes = 0, txBytes = 0, rxPackets = 0, txPackets = 0;
    std::uint64_t rxErrors = 0, txErrors = 0, rxDropped = 0, txDropped = 0;
};
struct Link {
    int index = 0;
    std::string name;
    std::string kind; ///< "veth", "bridge", … "" for hardware and lo.
    std::string mac;
    std::uint32_t mtu = 0;
    std::uint32_t flags = 0; ///< IFF_*
    unsigned type = 0;       ///< ARPHRD_*
    bool running = false;    ///< Carrier.
    int master = 0;          ///< Index of the bridge it is a port of.
    int peer = 0;            ///< IFLA_LINK: index of the other veth end, in its namespace; of what a macvlan or VLAN is on.
    unsigned vlan = 0;       ///< Of kind "vlan": which.
    Counters counters;
    std::vector<Address> addresses;
};
/// Links with addresses. `netns` -1: the calling thread's namespace; else that one (the thread visits it for the moment
/// of making the socket). Well under a millisecond.
Result<std::vector<Link>> links(int netns = -1);
/// One link with addresses. NotFound.
Result<Link> link(const std::string &name);

struct Route {
    Address destination; ///< prefix 0: default.
    Address gateway;     ///< bytes empty: none.
    int linkIndex = 0;
    unsigned table = 0, type = 0;
};
Result<std::vector<Route>> routes(int netns = -1);

/// An interface name the kernel takes: 1–15 of letters, digits, "-_.", not "." or "..".
Status checkLinkName(const std::string &name);
/// "aa:bb:cc:dd:ee:ff", not multicast.
Result<std::string> parseMac(std::string_view text);

} // namespace lxmgr::netlink
