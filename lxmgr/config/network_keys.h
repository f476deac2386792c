// The keys of managed networks: names, defaults and words for people. What they do is in network/config.cpp, row by row.
#pragma once

#include <algorithm>
#include <string_view>

namespace lxmgr::config
{

struct NetworkKeyText {
    std::string_view name;
    std::string_view fallback;
    std::string_view summary;
};

// clang-format off
inline constexpr NetworkKeyText kNetworkKeys[] = {
    {"bridge.driver",              "native",   "Kind of bridge; only native."},
    {"bridge.external_interfaces", "",         "Interfaces of the host, parted by commas, that become ports of the bridge. They must have no address."},
    {"bridge.hwaddr",              "derived from the name", "MAC address of the bridge."},
    {"bridge.mode",                "standard", "How the bridge is operated; only standard."},
    {"bridge.mtu",                 "1500, with a tunnel 1450",     "Largest packet in bytes. Guests that run get it from their next start or lease."},
    {"dns.domain",                 "lxmgr",    "Domain of the guests' names."},
    {"dns.mode",                   "managed",  "managed: names of guests are resolved; none: they are not."},
    {"dns.search",                 "dns.domain", "Search domains handed to guests, parted by commas."},
    {"ipv4.address",               "auto at creation", "The bridge's address with prefix length, auto (a free private range) or none."},
    {"ipv4.dhcp",                  "true",     "Hand out addresses."},
    {"ipv4.dhcp.expiry",           "1h",       "How long a lease lasts: 45m, 1h, 7d or infinite."},
    {"ipv4.dhcp.gateway",          "the bridge", "Router told to guests."},
    {"ipv4.dhcp.ranges",           "the whole subnet", "Addresses to hand out: FIRST-LAST, more of them parted by commas."},
    {"ipv4.firewall",              "true",     "Make rules that let guests reach the bridge's services and beyond, also past the rules of others."},
    {"ipv4.nat",                   "true where the address was auto", "Masquerade what leaves the subnet."},
    {"ipv4.routing",               "true",     "Forward between the bridge and elsewhere."},
    {"ipv6.address",               "auto at creation", "The bridge's address with prefix length, auto (a random unique local range) or none."},
    {"ipv6.dhcp",                  "true",     "Answer DHCPv6."},
    {"ipv6.dhcp.expiry",           "1h",       "How long a lease lasts: 45m, 1h, 7d or infinite."},
    {"ipv6.dhcp.ranges",           "the whole subnet", "Addresses to hand out when stateful."},
    {"ipv6.dhcp.stateful",         "false",    "Addresses by DHCPv6, and not made by guests from the prefix."},
    {"ipv6.firewall",              "true",     "Make rules that let guests reach the bridge's services and beyond, also past the rules of others."},
    {"ipv6.nat",                   "true where the address was auto", "Masquerade what leaves the subnet."},
    {"ipv6.routing",               "true",     "Forward between the bridge and elsewhere, and be the guests' router."},
    {"raw.dnsmasq",                "",         "Lines added to the configuration of dnsmasq, as dnsmasq(8) has them: host-record=db.lxmgr,10.1.2.3 for a name of its own."},
    {"security.acls",              "",         "Names of access control lists, parted by commas, that packets between the bridge and elsewhere have to pass."},
    {"security.acls.default.egress.action",  "reject", "What happens to packets from guests that no rule of the lists is about: allow, drop or reject."},
    {"security.acls.default.egress.logged",  "false",  "Whether the kernel's log tells of them."},
    {"security.acls.default.ingress.action", "reject", "The same of packets to guests."},
    {"security.acls.default.ingress.logged", "false",  "Whether the kernel's log tells of them."},
};
// clang-format on
static_assert(std::ranges::is_sorted(kNetworkKeys, {}, &NetworkKeyText::name));

} // namespace lxmgr::config
