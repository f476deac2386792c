// A managed bridge's configuration: one table of keys, text in, types out.
#pragma once

#include "base/result.h"
#include "config/values.h"
#include "kernel/netlink.h"
#include "network/network.h"

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::network
{

struct AddressRange {
    netlink::Address first, last;
};

/// What a bridge does for one address family.
struct FamilyConfig {
    std::optional<netlink::Address> address; ///< The bridge's own, with prefix; absent: family off.
    bool automatic = false;                  ///< "auto": to be chosen (withDefaults).
    bool nat = false;
    bool dhcp = true;
    bool stateful = false; ///< IPv6: addresses by DHCP, not from the router advertisement.
    bool routing = true;
    bool firewall = true;
    std::string expiry = "1h";
    std::optional<netlink::Address> gateway;
    std::vector<AddressRange> ranges; ///< Empty: the whole subnet.
};

/// A way to the same network on other hosts (tunnel.<name>.*).
struct Tunnel {
    std::string protocol; ///< vxlan, gre
    std::uint32_t id = 0;
    std::optional<netlink::Address> group, local, remote;
    std::string interface; ///< Of the group.
    std::uint16_t port = 0;
    std::uint8_t ttl = 1;
    bool vxlanOnly = false; ///< Something that gre has not is given.
    bool operator==(const Tunnel &) const = default;
};

/// What becomes of packets that no rule of the lists is about.
struct Otherwise {
    config::AclAction action = config::AclAction::Reject;
    bool logged = false;
    bool operator==(const Otherwise &) const = default;
};

struct BridgeConfig {
    FamilyConfig ipv4, ipv6;
    std::string mac; ///< "" for one derived from the name.
    std::uint32_t mtu = 1500;
    std::string domain = "lxmgr";
    bool dns = true; ///< Guests' names are resolved (dns.mode managed).
    std::vector<std::string> search;
    std::vector<std::string> externalInterfaces; ///< Of the host, to be ports.
    std::string rawDnsmasq;                      ///< Lines of the administrator's.
    std::map<std::string, Tunnel> tunnels;       ///< By their names.
    std::vector<std::string> acls; ///< Names of lists that what crosses the bridge's border has to pass.
    Otherwise aclIngress, aclEgress;

    const FamilyConfig &family(int number) const;
    FamilyConfig &family(int number);
};

/// One key: how it is read into the config. Words and defaults are in config/network_keys.h, row by row.
struct NetworkKey {
    std::string_view name;
    Status (*read)(BridgeConfig &config, const std::string &value);
};
std::span<const NetworkKey> networkKeys();

/// Invalid or Unsupported with the key in front. "auto" addresses stay open.
Result<BridgeConfig> parseConfig(const Config &config);

/// First and last address of the subnet that `address` lies in.
AddressRange subnetOf(const netlink::Address &address);
bool contains(const netlink::Address &subnet, const netlink::Address &address);
/// Whether the subnets have an address in common; never across families.
bool overlap(const netlink::Address &one, const netlink::Address &other);
/// "10.1.4.0/22"
std::string subnetText(const netlink::Address &address);

} // namespace lxmgr::network
