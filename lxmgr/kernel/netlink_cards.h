// rtnetlink(7) for what a guest's card is beside a veth pair: macvlan, a card of the host that is moved, routes, proxied
// neighbours. `netns` is as in links(): -1 is the calling thread's namespace, else an fd or a pidfd.
#pragma once

#include "kernel/netlink.h"

namespace lxmgr::netlink
{

/// A second MAC address of `parent`, born inside.
struct Macvlan {
    std::string parent;
    std::string name;
    pid_t pid = 0;          ///< A process in the namespace it is to be in.
    std::string mac;        ///< "" lets the kernel choose.
    std::uint32_t mtu = 0;  ///< 0: the parent's.
    std::uint32_t mode = 4; ///< MACVLAN_MODE_* of linux/if_link.h; 4 is bridge.
};
/// NotFound when the parent is missing, AlreadyExists when the name is taken inside.
Status createMacvlan(const Macvlan &macvlan);

/// Without addresses. NotFound.
Result<Link> linkIn(int netns, const std::string &name);
Result<Link> linkIn(int netns, int index);
Status deleteLinkIn(int netns, int index);
Status setUpIn(int netns, int index);
/// Into the namespace `to` (an fd of it), called `name` there. It comes down and loses its addresses; the kernel keeps its
/// index where that is free.
Status moveLink(int netns, int index, int to, const std::string &name);
/// Into the namespace of the process `pid`.
Status lendLink(int index, pid_t pid, const std::string &name);

/// By the link of that index; without a gateway what is there is asked for itself (scope link).
struct LinkRoute {
    int index = 0;
    Address destination; ///< prefix 0: the default route.
    std::string gateway; ///< "" for none.
    std::uint32_t table = 254; ///< RT_TABLE_MAIN
};
/// AlreadyExists: there is one to the same destination.
Status addRoute(int netns, const LinkRoute &route);
/// One that is not there is fine.
Status deleteRoute(int netns, const LinkRoute &route);

/// `link` answers for `address` (proxy ARP, proxy NDP). One already there is fine.
Status addProxy(const std::string &link, const Address &address);
/// One that is not there, of a link that is not there, is fine.
Status deleteProxy(const std::string &link, const Address &address);

} // namespace lxmgr::netlink
