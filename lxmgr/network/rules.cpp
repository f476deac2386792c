#include "network/rules.h"

#include "base/text.h"

#include <algorithm>
#include <array>
#include <sys/socket.h>

namespace lxmgr::network
{

namespace
{

using netlink::Address;

constexpr std::size_t kMostPorts = 4096; ///< Of one forward's lists, each number counted.
constexpr std::size_t kMostRules = 1024; ///< Of one list.

Error invalid(const std::string &text) { return {Code::Invalid, text}; }

std::string field(const StringMap &map, std::string_view name)
{
    const auto found = map.find(std::string(name));
    return found == map.end() ? std::string() : found->second;
}

Status checkFields(const StringMap &map, std::span<const std::string_view> known)
{
    for (const auto &[name, value] : map) {
        if (std::ranges::find(known, name) != known.end())
            continue;
        const std::optional<std::string> near = nearest(name, known);
        Error error = invalid("unknown field " + quoted(name));
        return near ? std::move(error).hint("did you mean \"" + *near + "\"?") : std::move(error);
    }
    return {};
}

// Ports

struct PortRange {
    unsigned first = 0, last = 0;
    std::string text() const { return first == last ? std::to_string(first) : std::to_string(first) + "-" + std::to_string(last); }
};

/// "80,443,8000-8010"
Result<std::vector<PortRange>> parsePorts(const std::string &text)
{
    std::vector<PortRange> ranges;
    std::size_t count = 0;
    for (const std::string &part : split(text, ',')) {
        const std::string one(trimmed(part));
        const std::size_t dash = one.find('-');
        const auto first = parseUnsigned(one.substr(0, dash), 1, 65535);
        const auto last = dash == std::string::npos ? first : parseUnsigned(one.substr(dash + 1), 1, 65535);
        if (!first || !last || *last < *first)
            return invalid(quoted(one) + " is no port or range of ports, like 80 or 8000-8010");
        ranges.push_back({static_cast<unsigned>(*first), static_cast<unsigned>(*last)});
        count += *last - *first + 1;
    }
    if (count > 65535)
        return invalid("more ports than there are");
    return ranges;
}

std::vector<unsigned> numbersOf(const std::vector<PortRange> &ranges)
{
    std::vector<unsigned> numbers;
    for (const PortRange &range : ranges)
        for (unsigned port = range.first; port <= range.last; ++port)
            numbers.push_back(port);
    return numbers;
}

template <class Item> std::string setOf(const std::vector<Item> &items)
{
    std::vector<std::string> texts;
    for (const Item &item : items)
        texts.push_back(item.text());
    return "{ " + join(texts, ", ") + " }";
}

// Forwards

struct PortMap {
    std::string protocol; ///< tcp, udp
    std::vector<PortRange> listen;
    std::vector<unsigned> targets; ///< Empty: the same as it listens on; one for all; else one each.
    Address target;
};

std::string word(int family) { return family == AF_INET ? "ip" : "ip6"; }

Result<Address> parseTarget(const std::string &text, int family)
{
    Address address = TRY(netlink::parseAddress(text));
    if (text.find('/') != std::string::npos || address.family != family)
        return invalid(quoted(text) + " is not an address of the family that is listened on");
    return address;
}

Result<PortMap> parsePort(const StringMap &port, int family)
{
    TRY(checkFields(port, kPortFields));
    PortMap map;
    map.protocol = field(port, "protocol");
    if (map.protocol != "tcp" && map.protocol != "udp")
        return invalid("protocol: " + quoted(map.protocol) + " is not one of tcp, udp");
    map.listen = TRY_IN("listen_port", parsePorts(field(port, "listen_port")));
    if (map.listen.empty())
        return invalid("listen_port is missing");
    map.target = TRY_IN("target_address", parseTarget(field(port, "target_address"), family));
    map.targets = numbersOf(TRY_IN("target_port", parsePorts(field(port, "target_port"))));
    const std::vector<unsigned> listen = numbersOf(map.listen);
    if (map.targets == listen)
        map.targets.clear();
    if (map.targets.size() > 1 && map.targets.size() != listen.size())
        return invalid("target_port: there are " + std::to_string(map.targets.size()) + " for " + std::to_string(listen.size()) +
                       " that are listened on; give as many, one, or none for the same");
    if (map.targets.size() > kMostPorts)
        return invalid("target_port: more than " + std::to_string(kMostPorts) + " that differ from those listened on");
    return map;
}

std::string dnat(const std::string &what, const Address &target, unsigned port)
{
    const std::string address = port != 0 && target.family == AF_INET6 ? "[" + target.text() + "]" : target.text();
    return "  " + what + " dnat " + word(target.family) + " to " + address + (port == 0 ? "" : ":" + std::to_string(port)) + "\n";
}

std::string textOf(const std::string &from, const PortMap &map)
{
    const std::string to = from + " " + map.protocol + " dport ";
    if (map.targets.size() < 2)
        return dnat(to + setOf(map.listen), map.target, map.targets.empty() ? 0 : map.targets[0]);
    std::string text;
    const std::vector<unsigned> listen = numbersOf(map.listen);
    for (std::size_t i = 0; i < listen.size(); ++i)
        text += dnat(to + std::to_string(listen[i]), map.target, map.targets[i]);
    return text;
}

/// A target that is no guest of this network could be anywhere.
Status checkInside(const BridgeConfig &config, const std::string &what, const Address &target)
{
    const FamilyConfig &family = config.family(target.family);
    if (!family.address || !contains(*family.address, target))
        return invalid(what + ": " + quoted(target.text()) + " is not in the network's subnet");
    return family.address->bytes == target.bytes ? Status(invalid(what + ": " + quoted(target.text()) + " is the bridge's own")) : Status();
}

// Access control lists

struct Subject {
    Address first, last; ///< The same: a subnet or an address.
    bool range = false;
    std::string text() const
    {
        if (range)
            return first.text() + "-" + last.text();
        const unsigned whole = first.family == AF_INET ? 32 : 128;
        return first.prefix == whole ? first.text() : subnetText(first);
    }
};

Result<Subject> parseSubject(const std::string &text)
{
    if (text.starts_with("@"))
        return Error(Code::Unsupported, quoted(text) + " is a word of other kinds of networks; give addresses, subnets or ranges");
    const std::size_t dash = text.find('-');
    if (dash == std::string::npos) {
        const auto address = netlink::parseAddress(text);
        if (!address)
            return invalid(quoted(text) + " is no address, subnet or range of addresses");
        return Subject{*address, *address, false};
    }
    const auto first = netlink::parseAddress(text.substr(0, dash)), last = netlink::parseAddress(text.substr(dash + 1));
    if (!first || !last || first->family != last->family || last->bytes < first->bytes || text.find('/') != std::string::npos)
        return invalid(quoted(text) + " is no range of addresses, like 10.20.0.5-10.20.0.9");
    return Subject{*first, *last, true};
}

/// All of one family, as one rule is.
Result<std::vector<Subject>> parseSubjects(const std::string &text)
{
    std::vector<Subject> subjects;
    for (const std::string &part : split(text, ',')) {
        subjects.push_back(TRY(parseSubject(std::string(trimmed(part)))));
        if (subjects.back().first.family != subjects.front().first.family)
            return invalid("IPv4 and IPv6 in one rule").hint("make it two");
    }
    return subjects;
}

struct Rule {
    std::string action; ///< allow, drop, reject
    bool logged = false, enabled = true;
    std::vector<Subject> source, destination;
    std::string protocol; ///< "", tcp, udp, icmp4, icmp6
    std::vector<PortRange> sourcePorts, destinationPorts;
    std::optional<std::uint64_t> icmpType, icmpCode;

    int family() const
    {
        if (!source.empty())
            return source.front().first.family;
        if (!destination.empty())
            return destination.front().first.family;
        return protocol == "icmp4" ? AF_INET : protocol == "icmp6" ? AF_INET6 : AF_UNSPEC;
    }
};

Status checkOneOf(std::string_view name, const std::string &value, std::initializer_list<std::string_view> words)
{
    if (std::ranges::find(words, value) != words.end())
        return {};
    std::vector<std::string> texts;
    for (const std::string_view each : words)
        if (!each.empty())
            texts.emplace_back(each);
    return invalid(std::string(name) + ": " + quoted(value) + " is not one of " + join(texts, ", "));
}

Result<std::optional<std::uint64_t>> parseIcmp(const StringMap &map, std::string_view name, const std::string &protocol)
{
    const std::string text = field(map, name);
    if (text.empty())
        return std::optional<std::uint64_t>();
    if (!protocol.starts_with("icmp"))
        return invalid(std::string(name) + " needs protocol icmp4 or icmp6");
    return std::optional(TRY_IN(std::string(name), parseUnsigned(text, 0, 255)));
}

Status checkFamilies(const Rule &rule)
{
    const bool differ = !rule.source.empty() && !rule.destination.empty() &&
                        rule.source.front().first.family != rule.destination.front().first.family;
    const bool icmp = (rule.protocol == "icmp4" && rule.family() != AF_INET) || (rule.protocol == "icmp6" && rule.family() != AF_INET6);
    return differ || icmp ? Status(invalid("IPv4 and IPv6 in one rule").hint("make it two")) : Status();
}

Result<Rule> parseRule(const StringMap &map)
{
    TRY(checkFields(map, kRuleFields));
    Rule rule;
    rule.action = field(map, "action");
    TRY(checkOneOf("action", rule.action, {"allow", "drop", "reject"}));
    const std::string state = field(map, "state");
    TRY(checkOneOf("state", state, {"", "enabled", "disabled", "logged"}));
    rule.enabled = state != "disabled";
    rule.logged = state == "logged";
    rule.protocol = field(map, "protocol");
    TRY(checkOneOf("protocol", rule.protocol, {"", "tcp", "udp", "icmp4", "icmp6"}));
    rule.source = TRY_IN("source", parseSubjects(field(map, "source")));
    rule.destination = TRY_IN("destination", parseSubjects(field(map, "destination")));
    rule.sourcePorts = TRY_IN("source_port", parsePorts(field(map, "source_port")));
    rule.destinationPorts = TRY_IN("destination_port", parsePorts(field(map, "destination_port")));
    if ((!rule.sourcePorts.empty() || !rule.destinationPorts.empty()) && rule.protocol != "tcp" && rule.protocol != "udp")
        return invalid("ports need protocol tcp or udp");
    rule.icmpType = TRY(parseIcmp(map, "icmp_type", rule.protocol));
    rule.icmpCode = TRY(parseIcmp(map, "icmp_code", rule.protocol));
    TRY(checkFamilies(rule));
    return rule;
}

std::string protocolText(const Rule &rule)
{
    if (rule.protocol.empty())
        return "";
    if (rule.protocol.starts_with("icmp")) {
        const std::string name = rule.protocol == "icmp4" ? "icmp" : "icmpv6";
        std::string text = " meta l4proto " + std::string(rule.protocol == "icmp4" ? "icmp" : "ipv6-icmp");
        if (rule.icmpType)
            text += " " + name + " type " + std::to_string(*rule.icmpType);
        if (rule.icmpCode)
            text += " " + name + " code " + std::to_string(*rule.icmpCode);
        return text;
    }
    std::string text = " meta l4proto " + rule.protocol;
    if (!rule.sourcePorts.empty())
        text += " " + rule.protocol + " sport " + setOf(rule.sourcePorts);
    if (!rule.destinationPorts.empty())
        text += " " + rule.protocol + " dport " + setOf(rule.destinationPorts);
    return text;
}

/// Of packets that `match` is of: a rule of its own, which lets them go on. A guest must not fill the host's disk with its log.
std::string logRule(const std::string &match, const std::string &what)
{
    return match + " limit rate 10/second burst 20 packets log prefix \"lxmgr acl " + what + ": \"\n";
}

std::string verdict(const std::string &action, bool answers) { return action == "allow" ? "accept" : answers ? action : "drop"; }

std::string textOf(const std::string &match, const std::string &name, const Rule &rule, bool answers)
{
    std::string text = match;
    if (rule.family() != AF_UNSPEC) // meta nfproto is "bridge" of frames
        text += rule.family() == AF_INET ? " meta protocol ip" : " meta protocol ip6";
    if (!rule.source.empty())
        text += " " + word(rule.family()) + " saddr " + setOf(rule.source);
    if (!rule.destination.empty())
        text += " " + word(rule.family()) + " daddr " + setOf(rule.destination);
    text += protocolText(rule);
    return (rule.logged ? logRule(text, name) : "") + text + " " + verdict(rule.action, answers) + "\n";
}

/// What guests go in by is what the bridge goes out by.
std::string matchOf(Direction direction, const std::string &bridge)
{
    return std::string("  ") + (direction == Direction::Ingress ? "oifname" : "iifname") + " \"" + bridge + "\"";
}

/// What goes in one direction, and what is done with it where no list says.
struct Way {
    Direction direction;
    std::string match;
    Otherwise otherwise;
};

Result<std::string> listsText(const std::vector<Way> &ways, const std::vector<Acl> &acls, bool answers)
{
    std::string text;
    // Across all lists: what is dropped, then what is rejected, then what is let through.
    for (const std::string_view action : {"drop", "reject", "allow"})
        for (const Acl &acl : acls)
            for (const Way &way : ways)
                for (const StringMap &row : way.direction == Direction::Ingress ? acl.ingress : acl.egress) {
                    const Rule rule = TRY_IN("network ACL " + quoted(acl.name), parseRule(row));
                    if (rule.enabled && rule.action == action)
                        text += textOf(way.match, acl.name, rule, answers);
                }
    for (const Way &way : ways)
        text += (way.otherwise.logged ? logRule(way.match, "default") : "") + way.match + " " +
                verdict(config::Codec<config::AclAction>::format(way.otherwise.action), answers) + "\n";
    return text;
}

} // namespace

Result<std::string> listenAddress(const BridgeConfig &config, const std::string &text)
{
    const Address address = TRY_IN("listen_address", netlink::parseAddress(text));
    const bool any = std::ranges::all_of(address.bytes, [](char byte) { return byte == '\0'; });
    const auto first = static_cast<unsigned char>(address.bytes[0]);
    const bool loopback = address.family == AF_INET ? first == 127 : address.text() == "::1";
    const bool multicast = address.family == AF_INET ? first >= 224 : first == 0xff;
    if (text.find('/') != std::string::npos || any || loopback || multicast)
        return invalid("listen_address: " + quoted(text) + " is not one address that packets arrive for from elsewhere");
    const FamilyConfig &family = config.family(address.family);
    if (!family.address)
        return invalid("listen_address: the network has no addresses of the family of " + quoted(text));
    if (contains(*family.address, address))
        return invalid("listen_address: " + quoted(text) + " lies in the network itself").hint("give one of the host's addresses");
    return address.text();
}

Status checkForward(const BridgeConfig &config, const Forward &forward)
{
    const int family = TRY(netlink::parseAddress(forward.listenAddress)).family;
    for (const auto &[key, value] : forward.config) {
        if (key.starts_with("user."))
            continue;
        if (key != "target_address")
            return invalid("Unknown key " + quoted(key) + " of a forward").hint("target_address or user.*");
        TRY(checkInside(config, key, TRY_IN(key, parseTarget(value, family))));
    }
    std::map<std::pair<std::string, unsigned>, std::size_t> taken;
    for (std::size_t i = 0; i < forward.ports.size(); ++i) {
        const std::string place = "port " + std::to_string(i + 1);
        const PortMap map = TRY_IN(place, parsePort(forward.ports[i], family));
        TRY_IN(place, checkInside(config, "target_address", map.target));
        for (const unsigned port : numbersOf(map.listen))
            if (const auto [other, isNew] = taken.emplace(std::pair(map.protocol, port), i); !isNew)
                return Error(Code::AlreadyExists, place + ": listen_port: " + map.protocol + " " + std::to_string(port) +
                                                      " is forwarded to " + field(forward.ports[other->second], "target_address") + " already");
    }
    return {};
}

Status checkAcl(const Acl &acl)
{
    TRY(config::checkAclName(acl.name));
    for (const auto &[rules, direction] : {std::pair{&acl.ingress, "ingress"}, {&acl.egress, "egress"}}) {
        if (rules->size() > kMostRules)
            return invalid(std::string(direction) + ": more than " + std::to_string(kMostRules) + " rules");
        for (std::size_t i = 0; i < rules->size(); ++i)
            TRY_IN(std::string(direction) + " rule " + std::to_string(i + 1), parseRule((*rules)[i]));
    }
    return {};
}

bool takes(const Forward &forward, std::string_view protocol, unsigned port)
{
    if (!field(forward.config, "target_address").empty())
        return true;
    const auto listen = netlink::parseAddress(forward.listenAddress);
    return listen && std::ranges::any_of(forward.ports, [&](const StringMap &each) {
               const auto map = parsePort(each, listen->family);
               return map && map->protocol == protocol && std::ranges::any_of(numbersOf(map->listen), [&](unsigned own) { return own == port; });
           });
}

Result<std::string> forwardRules(const std::vector<Forward> &forwards)
{
    std::string text, rest;
    for (const Forward &forward : forwards) {
        const Address listen = TRY(netlink::parseAddress(forward.listenAddress));
        const std::string from = word(listen.family) + " daddr " + listen.text();
        for (const StringMap &port : forward.ports)
            text += textOf(from, TRY(parsePort(port, listen.family)));
        if (const std::string target = field(forward.config, "target_address"); !target.empty())
            rest += dnat(from, TRY(parseTarget(target, listen.family)), 0);
    }
    return text + rest;
}

Result<std::string> borderRules(const std::string &bridge, const BridgeConfig &config, const std::vector<Acl> &acls)
{
    // Answers, and what IPv6 does not work without.
    const std::string always = "  ct state established,related accept\n"
                               "  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert, "
                               "mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept\n"
                               "  udp sport 67 udp dport 68 accept\n  udp sport 547 udp dport 546 accept\n";
    return always + TRY(listsText({{Direction::Ingress, matchOf(Direction::Ingress, bridge), config.aclIngress},
                                   {Direction::Egress, matchOf(Direction::Egress, bridge), config.aclEgress}}, acls, true));
}

Result<std::string> cardRules(Direction direction, const std::vector<Acl> &acls, const Otherwise &otherwise, bool answers)
{
    const bool in = direction == Direction::Ingress;
    const std::string always = std::string("  ct state established,related accept\n") +
                               "  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, " +
                               (in ? "nd-router-advert, mld-listener-query, " : "") +
                               "mld-listener-report, mld-listener-done, mld2-listener-report } accept\n" +
                               (in ? "  udp sport 67 udp dport 68 accept\n  udp sport 547 udp dport 546 accept\n"
                                   : "  udp sport 68 udp dport 67 accept\n  udp sport 546 udp dport 547 accept\n");
    return always + TRY(listsText({{direction, " ", otherwise}}, acls, answers));
}

} // namespace lxmgr::network
