// Ways to the same network on other hosts: VXLAN (RFC 7348), Ethernet in UDP to one other host or a multicast group, and Ethernet in
// GRE (RFC 2784) to one other host.
#pragma once

#include "kernel/netlink.h"

#include <string>

namespace lxmgr::netlink
{

struct Vxlan {
    std::string name;
    std::uint32_t id = 0;         ///< 24 bits.
    Address remote;               ///< Of the other host, or of the group.
    std::optional<Address> local; ///< Of this host; of the same family.
    std::string interface;        ///< Where the group is; "" for none.
    std::uint16_t port = 0;       ///< 0: the kernel's, 8472.
    std::uint8_t ttl = 0;         ///< 0: the kernel's choice.
};
/// Made down. AlreadyExists when the name is taken, or another one of this host has id and port. Unsupported where the kernel
/// has none. Source: linux/if_link.h, IFLA_VXLAN_*.
Status createVxlan(const Vxlan &vxlan);

struct Gre {
    std::string name;
    Address local, remote; ///< Of one family.
};
/// Made down. AlreadyExists when the name is taken, or another one of this host leads there. Unsupported where the kernel has none.
/// Source: linux/if_tunnel.h, IFLA_GRE_*.
Status createGre(const Gre &gre);

} // namespace lxmgr::netlink
