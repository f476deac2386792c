#include "network/config.h"

#include "base/text.h"
#include "config/network_keys.h"
#include "network/rules.h"

#include <algorithm>
#include <array>
#include <sys/socket.h>

namespace lxmgr::network
{

namespace
{

using netlink::Address;

Status readBool(bool &into, const std::string &value)
{
    into = TRY(parseBool(value));
    return {};
}

Error invalid(const std::string &text) { return {Code::Invalid, text}; }

/// `at` may be the subnet's own number, which no host can have.
bool isNetworkNumber(const Address &address) { return subnetOf(address).first.bytes == address.bytes; }

Status readAddress(FamilyConfig &into, int family, const std::string &value)
{
    into.automatic = value == "auto";
    into.address.reset();
    if (value == "none" || value == "auto" || value.empty())
        return {};
    const Address address = TRY(netlink::parseAddress(value));
    const unsigned most = family == AF_INET ? 30 : 126;
    if (address.family != family)
        return invalid(quoted(value) + " is of the other address family");
    if (value.find('/') == std::string::npos || address.prefix < 8 || address.prefix > most)
        return invalid(quoted(value) + " needs a prefix length between 8 and " + std::to_string(most) + ", like \"" +
                       (family == AF_INET ? "10.20.0.1/24" : "fd42:1:2:3::1/64") + "\"");
    if (isNetworkNumber(address))
        return invalid(quoted(value) + " is the number of the subnet; give the bridge's own address in it");
    into.address = address;
    return {};
}

Status readPlainAddress(std::optional<Address> &into, const std::string &value)
{
    if (value.empty())
        return {};
    into = TRY(netlink::parseAddress(value));
    return {};
}

/// "45m", "1h", "7d", seconds or "infinite": what dnsmasq takes.
Status readExpiry(std::string &into, const std::string &value)
{
    const std::string_view units = "smhdw";
    const bool unit = !value.empty() && units.find(value.back()) != std::string_view::npos;
    if (value != "infinite")
        TRY(parseUnsigned(value.substr(0, value.size() - (unit ? 1 : 0)), 1, 100'000'000));
    into = value;
    return {};
}

Status readRanges(FamilyConfig &into, const std::string &value)
{
    into.ranges.clear();
    for (const std::string &part : split(value, ',')) {
        const std::size_t dash = part.find('-');
        if (dash == std::string::npos)
            return invalid(quoted(part) + " is no range, like \"10.20.0.50-10.20.0.99\"");
        AddressRange range{TRY(netlink::parseAddress(trimmed(part.substr(0, dash)))),
                           TRY(netlink::parseAddress(trimmed(part.substr(dash + 1))))};
        if (range.first.family != range.last.family || range.last.bytes < range.first.bytes)
            return invalid(quoted(part) + " ends before it begins");
        into.ranges.push_back(std::move(range));
    }
    return {};
}

/// RFC 1123 labels joined by dots.
Status checkDomain(const std::string &value)
{
    const auto good = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-'; };
    for (const std::string &label : split(value, '.'))
        if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-' ||
            !std::ranges::all_of(label, good))
            return invalid(quoted(value) + " is not a domain name");
    if (value.empty() || value.size() > 253)
        return invalid(quoted(value) + " is not a domain name");
    return {};
}

Status readSearch(BridgeConfig &config, const std::string &value)
{
    config.search.clear();
    for (const std::string &part : split(value, ',')) {
        const std::string domain(trimmed(part));
        TRY(checkDomain(domain));
        config.search.push_back(domain);
    }
    return {};
}

Status readOneOf(const std::string &value, std::string_view only)
{
    if (value == only)
        return {};
    return Error(Code::Unsupported, quoted(value) + " is not supported yet by this version, only \"" + std::string(only) + "\"");
}

Status readDnsMode(BridgeConfig &config, const std::string &value)
{
    if (value != "managed" && value != "none" && value != "dynamic")
        return invalid(quoted(value) + " is not one of managed, none");
    if (value == "dynamic") // Guests would choose names, also each other's.
        return readOneOf(value, "managed");
    config.dns = value == "managed";
    return {};
}

Status readInterfaces(BridgeConfig &config, const std::string &value)
{
    config.externalInterfaces.clear();
    for (const std::string &part : split(value, ',')) {
        const std::string name(trimmed(part));
        if (name.find('/') != std::string::npos)
            return Error(Code::Unsupported, quoted(name) + ": making a VLAN interface is not supported by this version")
                .hint("make it first and name it");
        TRY(netlink::checkLinkName(name));
        if (std::ranges::find(config.externalInterfaces, name) != config.externalInterfaces.end())
            return invalid(quoted(name) + " is named twice");
        config.externalInterfaces.push_back(name);
    }
    return {};
}

/// Lines are the administrator's own affair; dnsmasq is asked about them before they count (checkHost).
Status readRawDnsmasq(BridgeConfig &config, const std::string &value)
{
    if (value.size() > 64 * 1024)
        return invalid("more than 64 KiB");
    for (const char c : value)
        if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')
            return invalid("a control byte is in it");
    config.rawDnsmasq = value;
    return {};
}

Status readAcls(BridgeConfig &config, const std::string &value)
{
    config.acls = TRY(config::Codec<config::AclNames>::parse(value)).items;
    return {};
}

Status readAction(config::AclAction &into, const std::string &value)
{
    into = TRY(config::Codec<config::AclAction>::parse(value));
    return {};
}

// clang-format off
using C = BridgeConfig;
constexpr NetworkKey kNetworkKeys[] = {
    {"bridge.driver",       [](C &, const std::string &v) { return readOneOf(v, "native"); }},
    {"bridge.external_interfaces", &readInterfaces},
    {"bridge.hwaddr",       [](C &c, const std::string &v) -> Status { c.mac = TRY(netlink::parseMac(v)); return {}; }},
    {"bridge.mode",         [](C &, const std::string &v) { return readOneOf(v, "standard"); }},
    {"bridge.mtu",          [](C &c, const std::string &v) -> Status { c.mtu = static_cast<std::uint32_t>(TRY(parseUnsigned(v, 1280, 65535))); return {}; }},
    {"dns.domain",          [](C &c, const std::string &v) -> Status { TRY(checkDomain(v)); c.domain = v; return {}; }},
    {"dns.mode",            &readDnsMode},
    {"dns.search",          &readSearch},
    {"ipv4.address",        [](C &c, const std::string &v) { return readAddress(c.ipv4, AF_INET, v); }},
    {"ipv4.dhcp",           [](C &c, const std::string &v) { return readBool(c.ipv4.dhcp, v); }},
    {"ipv4.dhcp.expiry",    [](C &c, const std::string &v) { return readExpiry(c.ipv4.expiry, v); }},
    {"ipv4.dhcp.gateway",   [](C &c, const std::string &v) { return readPlainAddress(c.ipv4.gateway, v); }},
    {"ipv4.dhcp.ranges",    [](C &c, const std::string &v) { return readRanges(c.ipv4, v); }},
    {"ipv4.firewall",       [](C &c, const std::string &v) { return readBool(c.ipv4.firewall, v); }},
    {"ipv4.nat",            [](C &c, const std::string &v) { return readBool(c.ipv4.nat, v); }},
    {"ipv4.routing",        [](C &c, const std::string &v) { return readBool(c.ipv4.routing, v); }},
    {"ipv6.address",        [](C &c, const std::string &v) { return readAddress(c.ipv6, AF_INET6, v); }},
    {"ipv6.dhcp",           [](C &c, const std::string &v) { return readBool(c.ipv6.dhcp, v); }},
    {"ipv6.dhcp.expiry",    [](C &c, const std::string &v) { return readExpiry(c.ipv6.expiry, v); }},
    {"ipv6.dhcp.ranges",    [](C &c, const std::string &v) { return readRanges(c.ipv6, v); }},
    {"ipv6.dhcp.stateful",  [](C &c, const std::string &v) { return readBool(c.ipv6.stateful, v); }},
    {"ipv6.firewall",       [](C &c, const std::string &v) { return readBool(c.ipv6.firewall, v); }},
    {"ipv6.nat",            [](C &c, const std::string &v) { return readBool(c.ipv6.nat, v); }},
    {"ipv6.routing",        [](C &c, const std::string &v) { return readBool(c.ipv6.routing, v); }},
    {"raw.dnsmasq",         &readRawDnsmasq},
    {"security.acls",       &readAcls},
    {"security.acls.default.egress.action",  [](C &c, const std::string &v) { return readAction(c.aclEgress.action, v); }},
    {"security.acls.default.egress.logged",  [](C &c, const std::string &v) { return readBool(c.aclEgress.logged, v); }},
    {"security.acls.default.ingress.action", [](C &c, const std::string &v) { return readAction(c.aclIngress.action, v); }},
    {"security.acls.default.ingress.logged", [](C &c, const std::string &v) { return readBool(c.aclIngress.logged, v); }},
};
// clang-format on
static_assert(std::ranges::equal(kNetworkKeys, config::kNetworkKeys, {}, &NetworkKey::name, &config::NetworkKeyText::name));

/// Keys that LXD and Incus know: refused by name, so that nobody believes them to be in force.
constexpr std::string_view kKnownElsewhere[] = {
    "bgp.",             "dns.nameservers", "dns.zone.",       "fan.",
    "ipv4.dhcp.routes", "ipv4.nat.",       "ipv4.ovn.ranges", "ipv4.routes", "ipv6.nat.",
    "ipv6.ovn.ranges",  "ipv6.routes",
};

/// "tunnel.<name>.<field>"
struct TunnelKey {
    std::string_view field;
    Status (*read)(Tunnel &tunnel, const std::string &value);
};

template <std::optional<Address> Tunnel::*Member> Status readTunnelAddress(Tunnel &tunnel, const std::string &value)
{
    tunnel.*Member = TRY(netlink::parseAddress(value));
    return value.find('/') == std::string::npos ? Status() : Status(invalid(quoted(value) + " is not a single address"));
}

Status checkProtocol(const std::string &value)
{
    return value == "gre" || value == "vxlan" ? Status() : Status(invalid(quoted(value) + " is neither gre nor vxlan"));
}

// clang-format off
constexpr TunnelKey kTunnelKeys[] = {
    {"group",     &readTunnelAddress<&Tunnel::group>},
    {"id",        [](Tunnel &t, const std::string &v) -> Status { t.id = static_cast<std::uint32_t>(TRY(parseUnsigned(v, 0, 0xffffff))); return {}; }},
    {"interface", [](Tunnel &t, const std::string &v) -> Status { TRY(netlink::checkLinkName(v)); t.interface = v; return {}; }},
    {"local",     &readTunnelAddress<&Tunnel::local>},
    {"port",      [](Tunnel &t, const std::string &v) -> Status { t.port = static_cast<std::uint16_t>(TRY(parseUnsigned(v, 0, 65535))); return {}; }},
    {"protocol",  [](Tunnel &t, const std::string &v) -> Status { TRY(checkProtocol(v)); t.protocol = v; return {}; }},
    {"remote",    &readTunnelAddress<&Tunnel::remote>},
    {"ttl",       [](Tunnel &t, const std::string &v) -> Status { t.ttl = static_cast<std::uint8_t>(TRY(parseUnsigned(v, 1, 255))); return {}; }},
};
// clang-format on

Status readTunnel(BridgeConfig &config, const std::string &key, const std::string &value)
{
    const std::vector<std::string> parts = split(key, '.');
    const auto good = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; };
    const auto known = parts.size() == 3 ? std::ranges::find(kTunnelKeys, parts[2], &TunnelKey::field) : std::end(kTunnelKeys);
    if (known == std::end(kTunnelKeys))
        return invalid("Unknown network key " + quoted(key)).hint("tunnel.<name>. and protocol, id, local, remote, group, interface, port or ttl");
    if (parts[1].empty() || parts[1].size() > 11 || !std::ranges::all_of(parts[1], good))
        return invalid(quoted(key) + ": the tunnel's name is not 1 to 11 of letters, digits, \"-_\"");
    Tunnel &tunnel = config.tunnels[parts[1]];
    tunnel.vxlanOnly |= !value.empty() && parts[2] != "protocol" && parts[2] != "local" && parts[2] != "remote";
    return value.empty() ? Status() : known->read(tunnel, value);
}

Status checkTunnel(Tunnel &tunnel)
{
    if (tunnel.protocol.empty())
        return invalid("protocol is missing (gre or vxlan)");
    if (tunnel.protocol == "gre" && tunnel.vxlanOnly)
        return invalid("group, id, interface, port and ttl are for vxlan").hint("gre has local and remote alone");
    if (tunnel.protocol == "gre" && !tunnel.remote)
        return invalid("gre needs remote, the address of the other host, and local, that of this one");
    if (tunnel.remote && tunnel.group)
        return invalid("remote and group do not go together");
    if (tunnel.remote && !tunnel.local)
        return invalid("remote needs local, the address of this host");
    if (!tunnel.remote && tunnel.interface.empty())
        return invalid("a group needs interface, where it is").hint("or give local and remote");
    if (!tunnel.remote && !tunnel.group)
        tunnel.group = TRY(netlink::parseAddress("239.0.0.1"));
    const Address &far = tunnel.remote ? *tunnel.remote : *tunnel.group;
    if (tunnel.local && tunnel.local->family != far.family)
        return invalid("local is of another address family");
    const auto first = static_cast<unsigned char>(far.bytes[0]);
    const bool multicast = far.family == AF_INET ? first >= 224 && first < 240 : first == 0xff;
    if (multicast != tunnel.group.has_value())
        return invalid(quoted(far.text()) + (multicast ? " is a multicast group and no host" : " is no multicast group"));
    return {};
}

Error unknownKey(const std::string &key)
{
    for (const std::string_view known : kKnownElsewhere)
        if (key.starts_with(known))
            return {Code::Unsupported, "Network key " + quoted(key) + " is not supported yet by this version"};
    std::array<std::string_view, std::size(kNetworkKeys)> names;
    std::ranges::transform(kNetworkKeys, names.begin(), &NetworkKey::name);
    Error error(Code::Invalid, "Unknown network key " + quoted(key));
    const std::optional<std::string> near = nearest(key, names);
    return near ? std::move(error).hint("did you mean \"" + *near + "\"?") : error;
}

Status checkInside(std::string_view key, const FamilyConfig &family, const Address &address)
{
    if (family.address && !contains(*family.address, address))
        return invalid(std::string(key) + ": " + quoted(address.text()) + " lies outside of " + subnetText(*family.address));
    return {};
}

Status checkTogether(const BridgeConfig &config)
{
    for (const AddressRange &range : config.ipv4.ranges)
        for (const Address &end : {range.first, range.last})
            TRY(checkInside("ipv4.dhcp.ranges", config.ipv4, end));
    for (const AddressRange &range : config.ipv6.ranges)
        for (const Address &end : {range.first, range.last})
            TRY(checkInside("ipv6.dhcp.ranges", config.ipv6, end));
    if (config.ipv4.gateway)
        TRY(checkInside("ipv4.dhcp.gateway", config.ipv4, *config.ipv4.gateway));
    if (config.ipv6.address && config.ipv6.address->prefix != 64 && !config.ipv6.stateful)
        return invalid("ipv6.address: guests make their own address from a prefix of 64 bits, not " +
                       std::to_string(config.ipv6.address->prefix))
            .hint("or set ipv6.dhcp.stateful=true");
    return {};
}

} // namespace

const FamilyConfig &BridgeConfig::family(int number) const { return number == AF_INET ? ipv4 : ipv6; }
FamilyConfig &BridgeConfig::family(int number) { return number == AF_INET ? ipv4 : ipv6; }

std::span<const NetworkKey> networkKeys() { return kNetworkKeys; }

Result<BridgeConfig> parseConfig(const Config &config)
{
    BridgeConfig parsed;
    for (const auto &[name, value] : config) {
        if (name.starts_with("user.") || name.starts_with("volatile."))
            continue;
        if (name.starts_with("tunnel.")) {
            TRY_IN(name, readTunnel(parsed, name, value));
            continue;
        }
        const auto key = std::ranges::find(kNetworkKeys, name, &NetworkKey::name);
        if (key == std::end(kNetworkKeys))
            return unknownKey(name);
        if (!value.empty() || name.ends_with(".address"))
            TRY_IN(name, key->read(parsed, value));
    }
    for (auto &[name, tunnel] : parsed.tunnels) {
        TRY_IN("tunnel." + name, checkTunnel(tunnel));
        // What is wrapped has to fit into a packet of 1500 bytes: by VXLAN 50 more with IPv4, 70 with IPv6; by GRE 38 and, with an option
        // that the kernel adds, 66.
        const bool six = (tunnel.remote ? tunnel.remote : tunnel.group)->family == AF_INET6;
        if (!config.contains("bridge.mtu"))
            parsed.mtu = std::min<std::uint32_t>(parsed.mtu, tunnel.protocol == "gre" ? (six ? 1434 : 1462) : six ? 1430 : 1450);
    }
    TRY(checkTogether(parsed));
    return parsed;
}

AddressRange subnetOf(const Address &address)
{
    AddressRange range{address, address};
    for (unsigned bit = address.prefix; bit < address.bytes.size() * 8; ++bit) {
        const int mask = 0x80 >> (bit % 8);
        range.first.bytes[bit / 8] = static_cast<char>(range.first.bytes[bit / 8] & ~mask);
        range.last.bytes[bit / 8] = static_cast<char>(range.last.bytes[bit / 8] | mask);
    }
    return range;
}

bool contains(const Address &subnet, const Address &address)
{
    Address inside = address;
    inside.prefix = subnet.prefix;
    return subnet.family == address.family && subnetOf(inside).first.bytes == subnetOf(subnet).first.bytes;
}

std::string subnetText(const Address &address)
{
    return subnetOf(address).first.text() + "/" + std::to_string(address.prefix);
}

} // namespace lxmgr::network
