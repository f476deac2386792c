// VLANs (IEEE 802.1Q) by rtnetlink(7): whether a bridge tells them apart, and which each port is of, as bridge(8), vlan; and an
// interface for one VLAN of another, as ip-link(8), type vlan.
#pragma once

#include "kernel/netlink.h"

#include <cstdint>

namespace lxmgr::netlink
{

inline constexpr std::uint32_t kMostVlan = 4094;

/// Which frames a port lets through.
struct PortVlans {
    std::uint32_t untagged = 0;        ///< What frames without a tag are of; 0: such are dropped.
    std::vector<std::uint32_t> tagged; ///< 1 to kMostVlan.
};
/// In place of all it was of; between the two it is of none. Unsupported where the kernel has no such filter (CONFIG_BRIDGE_VLAN_FILTERING).
Status setPortVlans(const std::string &port, const PortVlans &vlans);
/// The bridge keeps frames to their VLANs from now on.
Status filterVlans(const std::string &bridge);

/// Made down. NotFound: no such parent. AlreadyExists: the name is taken, or there is one for that VLAN already, in whatever network
/// namespace. Unsupported where the kernel has none (CONFIG_VLAN_8021Q).
Status createVlan(const std::string &name, const std::string &parent, std::uint32_t vlan);
/// Unsupported where it would be so. Nothing is made.
Status checkVlanLinks();

} // namespace lxmgr::netlink
