#include "network/filters.h"

#include "base/text.h"
#include "kernel/netlink.h"
#include "network/firewall.h"
#include "network/rules.h"

#include <algorithm>
#include <cstdio>
#include <sys/socket.h>

namespace lxmgr::network::filters
{

namespace
{

/// No bridge's table can have its name.
std::string tableName(const std::string &owner) { return firewall::tableName("nics:" + owner); }

/// "00:16:3e:01:02:03" → "0x00163e010203", to compare with raw bytes of a packet.
std::string macNumber(const std::string &mac)
{
    std::string number = "0x";
    for (const char c : mac)
        if (c != ':')
            number += c;
    return number;
}

std::string macRules(const std::string &mac)
{
    return "  ether saddr != " + mac + " drop\n"
           "  ether type arp arp saddr ether != " + mac + " drop\n"
           // The address that a neighbour advertisement gives for itself: behind 40 bytes of header, 24 of message, 2 of option.
           "  ether type ip6 icmpv6 type nd-neighbor-advert @nh,528,48 != " + macNumber(mac) + " drop\n";
}

std::string ipv4Rules(const std::string &address)
{
    return "  ether type arp arp saddr ip != { " + address + ", 0.0.0.0 } drop\n" // 0.0.0.0: is somebody there? (RFC 5227)
           "  ether type ip udp sport 67 drop\n" // a DHCP server
           "  ether type ip ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept\n"
           "  ether type ip ip saddr != " + address + " drop\n";
}

/// By RFC 4291: the MAC address with its universal bit turned and ff:fe in the middle. The one link-local address that is its own.
std::string linkLocal(const std::string &mac)
{
    unsigned b[6] = {};
    std::size_t i = 0;
    for (const std::string &part : split(mac, ':'))
        b[i++ % 6] = static_cast<unsigned>(std::stoul(part, nullptr, 16));
    char text[64];
    std::snprintf(text, sizeof text, "fe80::%x:%x:%x:%x", (b[0] ^ 2) << 8 | b[1], b[2] << 8 | 0xff, 0xfe00 | b[3], b[4] << 8 | b[5]);
    return text;
}

/// "fd42::1" → "0xfd42…0001", to compare with raw bytes of a packet.
Result<std::string> addressNumber(const std::string &address)
{
    const std::string bytes = TRY(netlink::parseAddress(address)).bytes;
    return "0x" + toHex({reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size()});
}

Result<std::string> ipv6Rules(const std::string &mac, const std::string &address)
{
    return "  ether type ip6 icmpv6 type nd-router-advert drop\n"
           "  ether type ip6 udp sport 547 drop\n"
           // Whom a neighbour advertisement is about: behind 40 bytes of header and 8 of message.
           "  ether type ip6 icmpv6 type nd-neighbor-advert @nh,384,128 != " + TRY(addressNumber(address)) + " @nh,384,128 != " +
           TRY(addressNumber(linkLocal(mac))) + " drop\n"
           "  ether type ip6 ip6 saddr != { " + address + ", " + linkLocal(mac) + ", :: } drop\n";
}

Result<std::string> chainOf(const PortFilter &filter, std::size_t number)
{
    TRY(netlink::checkLinkName(filter.port));
    const std::string mac = TRY(netlink::parseMac(filter.mac));
    std::string text = " chain c" + std::to_string(number) + " {\n" + macRules(mac); // an address is of no use without
    if (!filter.ipv4.empty() || !filter.ipv6.empty()) // a tag hides what is behind it
        text += "  ether type { 8021q, 8021ad } drop\n";
    if (!filter.ipv4.empty())
        text += ipv4Rules(TRY(netlink::parseAddress(filter.ipv4)).text());
    if (!filter.ipv6.empty())
        text += TRY(ipv6Rules(mac, TRY(netlink::parseAddress(filter.ipv6)).text()));
    return text + " }\n";
}

/// A class of a queueing discipline: both halves are hexadecimal.
std::string priorityText(std::uint32_t priority)
{
    char text[32];
    std::snprintf(text, sizeof text, "meta priority set %x:%x", priority >> 16, priority & 0xffff);
    return text;
}

/// A router sets the priority of an IPv4 packet anew, by its type of service (net.ipv4.ip_forward_update_priority): what the
/// bridge said is lost there, and the port is not to be seen any more behind a bridge.
Result<std::string> forwardRule(const PortFilter &filter)
{
    if (filter.bridge.empty())
        return "  iifname \"" + filter.port + "\" " + priorityText(filter.priority) + "\n";
    TRY(netlink::checkLinkName(filter.bridge));
    return "  iifname \"" + filter.bridge + "\" ether saddr " + TRY(netlink::parseMac(filter.mac)) + " " + priorityText(filter.priority) + "\n";
}

/// What needs a table of the family bridge.
bool isAtBridge(const PortFilter &filter) { return filter.checks() || (!filter.bridge.empty() && (filter.priority != 0 || !filter.acls.empty())); }
bool hasBridgeLists(const PortFilter &filter) { return !filter.bridge.empty() && !filter.acls.empty(); }
bool hasLists(const PortFilter &filter) { return filter.bridge.empty() && !filter.acls.empty(); }

/// Names are asked for whatever the lists say.
Result<std::string> serverRules(const PortFilter &filter)
{
    std::string text;
    for (const std::string &server : filter.servers) {
        const netlink::Address address = TRY(netlink::parseAddress(server));
        const std::string to = std::string("  ") + (address.family == AF_INET ? "ip" : "ip6") + " daddr " + address.text();
        text += to + " udp dport 53 accept\n" + to + " tcp dport 53 accept\n";
    }
    return text;
}

/// A chain for each direction, and the rules that lead there.
struct ListChains {
    std::string chains, in, out;
};

Status addLists(ListChains &to, const PortFilter &filter, std::size_t number)
{
    const bool frames = !filter.bridge.empty();
    // Lists are about IP; what else is let through would be a way around them, but for what finds neighbours.
    const std::string others = frames ? "  ether type arp accept\n  ether type != { ip, ip6 } drop\n" : "";
    const std::string from = "from" + std::to_string(number), into = "to" + std::to_string(number);
    to.chains += " chain " + from + " {\n" + others + TRY(serverRules(filter)) +
                 TRY(cardRules(Direction::Egress, filter.lists, filter.egress, true)) + " }\n chain " + into + " {\n" + others +
                 // The kernel answers frames where they come in, not where they go out (nft(8), reject).
                 TRY(cardRules(Direction::Ingress, filter.lists, filter.ingress, !frames)) + " }\n";
    to.in += "  iifname \"" + filter.port + "\" jump " + from + "\n";
    to.out += "  oifname \"" + filter.port + "\" jump " + into + "\n";
    return {};
}

std::string hook(const std::string &name, const std::string &where, const std::string &rules)
{
    return rules.empty() ? "" : " chain " + name + " {\n  type filter hook " + where + "; policy accept;\n" + rules + " }\n";
}

std::string table(const std::string &family, const std::string &owner, const std::string &body)
{
    return body.empty() ? "" : "table " + family + " " + tableName(owner) + " {\n" + body + "}\n";
}

/// Made, so that they can be deleted, whatever was there.
std::string removal(const std::string &owner, Families families)
{
    const std::string name = tableName(owner);
    return (families == Families::Both ? "add table bridge " + name + "\ndelete table bridge " + name + "\n" : "") + "add table inet " + name +
           "\ndelete table inet " + name + "\n";
}

bool hasBridgeTables()
{
    return firewall::change("add table bridge lxmgr_probe\nadd chain bridge lxmgr_probe p { type filter hook prerouting priority -300; }\n"
                            "delete table bridge lxmgr_probe\n").has_value();
}

} // namespace

Result<std::string> rules(const std::string &owner, const std::vector<PortFilter> &filters, Families families)
{
    std::string chains, in, forward;
    ListChains frames, packets;
    for (std::size_t i = 0; i < filters.size(); ++i) {
        const PortFilter &filter = filters[i];
        TRY(netlink::checkLinkName(filter.port));
        if (filter.priority != 0 && !filter.bridge.empty())
            in += "  iifname \"" + filter.port + "\" " + priorityText(filter.priority) + "\n";
        if (filter.priority != 0)
            forward += TRY(forwardRule(filter));
        if (!filter.acls.empty())
            TRY(addLists(filter.bridge.empty() ? packets : frames, filter, i));
        if (!filter.checks())
            continue;
        chains += TRY(chainOf(filter, i));
        in += "  iifname \"" + filter.port + "\" jump c" + std::to_string(i) + "\n";
    }
    // Connections of a bridge are known from -200 on; what the lists let pass is what the filters let pass.
    return removal(owner, families) +
           table("bridge", owner, chains + frames.chains + hook("in", "prerouting priority -300", in) + hook("listsin", "prerouting priority 0", frames.in) +
                                      hook("listsout", "postrouting priority 0", frames.out)) +
           table("inet", owner, packets.chains + hook("forward", "forward priority mangle", forward) + hook("listsin", "input priority filter", packets.in) +
                                    hook("listsforward", "forward priority filter", packets.in + packets.out) +
                                    hook("listsout", "output priority filter", packets.out));
}

Status checkBridgeLists()
{
    if (firewall::change("add table bridge lxmgr_probe\nadd chain bridge lxmgr_probe p { type filter hook prerouting priority 0; }\n"
                         "add rule bridge lxmgr_probe p ct state established accept\ndelete table bridge lxmgr_probe\n"))
        return {};
    return Error(Code::Unsupported, "This kernel does not follow connections through a bridge (nf_conntrack_bridge), which security.acls of "
                                    "a card at one needs")
        .hint("set security.acls of the network, for what crosses its border, or give the guest a card with nictype=routed");
}

Status apply(const std::string &owner, const std::vector<PortFilter> &filters)
{
    Status done = firewall::change(TRY(rules(owner, filters, Families::Both)));
    if (done)
        return done;
    if (!hasBridgeTables()) {
        if (std::ranges::any_of(filters, &isAtBridge))
            return Error(Code::Unsupported, "This kernel has no nf_tables for bridges (nf_tables_bridge), which security.*_filtering of a card, "
                                           "and security.acls, limits.priority and limits.network.priority of one at a bridge need");
        return firewall::change(TRY(rules(owner, filters, Families::Inet)));
    }
    if (std::ranges::any_of(filters, &hasBridgeLists))
        TRY(checkBridgeLists());
    return done;
}

bool present(const std::string &owner, const std::vector<PortFilter> &filters)
{
    const auto has = [&](const char *family, const char *chain) { return firewall::listChain(family, tableName(owner), chain).has_value(); };
    if (filters.empty())
        return has("bridge", "in") || has("bridge", "listsin") || has("inet", "forward") || has("inet", "listsin");
    const bool marks = std::ranges::any_of(filters, [](const PortFilter &filter) { return filter.priority != 0; });
    const bool looks = std::ranges::any_of(filters, [](const PortFilter &filter) {
        return filter.checks() || (filter.priority != 0 && !filter.bridge.empty());
    });
    return (!looks || has("bridge", "in")) && (!marks || has("inet", "forward")) &&
           (std::ranges::none_of(filters, &hasBridgeLists) || has("bridge", "listsin")) &&
           (std::ranges::none_of(filters, &hasLists) || has("inet", "listsin"));
}

Status remove(const std::string &owner)
{
    Status done = firewall::change(removal(owner, Families::Both));
    return done || hasBridgeTables() ? done : firewall::change(removal(owner, Families::Inet));
}

} // namespace lxmgr::network::filters
