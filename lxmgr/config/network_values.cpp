// Values of network cards: addresses, interfaces, rates, lists of rules.
#include "config/values.h"

#include "base/text.h"
#include "config/value_parts.h"

#include <algorithm>
#include <arpa/inet.h>

namespace lxmgr::config
{

namespace
{

/// Two hex digits a byte, colons between them.
bool isBytes(const std::string &text, std::size_t count)
{
    bool good = text.size() == count * 3 - 1;
    for (std::size_t i = 0; good && i < text.size(); ++i)
        good = i % 3 == 2 ? text[i] == ':' : hexDigit(text[i]) >= 0;
    return good;
}

} // namespace

Result<MacAddress> Codec<MacAddress>::parse(std::string_view text)
{
    const std::string mac = lower(text);
    if (!isBytes(mac, 6))
        return bad(text, "is not a MAC address (10:66:6a:12:34:56)");
    if (hexDigit(mac[1]) & 1 || mac == "00:00:00:00:00:00")
        return bad(text, "is not the MAC address of one interface (first byte even, not all zero)");
    return MacAddress{mac};
}
std::string Codec<MacAddress>::format(const MacAddress &value) { return value.text; }

Result<InfinibandAddress> Codec<InfinibandAddress>::parse(std::string_view text)
{
    const std::string address = lower(text);
    if (!isBytes(address, 8) && !isBytes(address, 20))
        return bad(text, "is not the address of an InfiniBand port (20 bytes, or the 8 of its GUID: 4a:c8:f9:1b:aa:57:ef:19)");
    return InfinibandAddress{address};
}
std::string Codec<InfinibandAddress>::format(const InfinibandAddress &value) { return value.text; }

Result<InterfaceName> Codec<InterfaceName>::parse(std::string_view text)
{
    const auto allowed = [](char c) { return isDigit(c) || isLetter(c) || c == '-' || c == '_' || c == '.'; };
    if (text.empty() || text.size() > 15 || text.front() == '-' || text.front() == '.' ||
        !std::ranges::all_of(text, allowed))
        return bad(text,
                   "is not an interface name (1 to 15 of letters, digits and -_., starting with a letter, digit or _)");
    // lo is there already; all and default are folders of their own in /proc/sys/net/ipv4/conf.
    if (text == "lo" || text == "all" || text == "default")
        return bad(text, "is an interface name the kernel keeps for itself");
    return InterfaceName{std::string(text)};
}
std::string Codec<InterfaceName>::format(const InterfaceName &value) { return value.text; }

namespace
{

constexpr std::size_t kMostAddresses = 64;

/// The bytes of an address whose text is the one form of it.
Result<std::string> addressBytes(std::string_view text, int family)
{
    std::string bytes(family == AF_INET ? 4 : 16, '\0');
    const std::string copy(text);
    char again[INET6_ADDRSTRLEN] = {};
    // inet_pton(3) takes no short or octal forms; the text made again must be the same.
    if (::inet_pton(family, copy.c_str(), bytes.data()) != 1 || ::inet_ntop(family, bytes.data(), again, sizeof again) == nullptr ||
        lower(copy) != again)
        return bad(text, family == AF_INET ? "is not an IPv4 address" : "is not an IPv6 address in its short form (fd42::1)");
    return bytes;
}

Result<std::string> parseHost(std::string_view text, int family)
{
    TRY(addressBytes(text, family));
    return lower(text);
}

Result<std::string> parseSubnet(std::string_view text, int family)
{
    const std::size_t slash = text.find('/');
    const unsigned whole = family == AF_INET ? 32 : 128;
    if (slash == std::string_view::npos)
        return bad(text, "is not a subnet: the prefix is missing, as in " + std::string(family == AF_INET ? "10.1.2.0/24" : "fd42::/64"));
    const std::string bytes = TRY(addressBytes(text.substr(0, slash), family));
    const auto prefix = parseUnsigned(text.substr(slash + 1), 1, whole);
    if (!prefix)
        return bad(text, "is not a subnet: its prefix is not from 1 to " + std::to_string(whole));
    for (unsigned bit = static_cast<unsigned>(*prefix); bit < whole; ++bit)
        if (bytes[bit / 8] & (0x80 >> (bit % 8)))
            return bad(text, "is not a subnet: there are bits behind its prefix");
    return lower(text);
}

template <class List> Result<List> parseItems(std::string_view text, int family, Result<std::string> (*parse)(std::string_view, int))
{
    List list;
    for (const std::string &part : split(text, ',')) {
        std::string item = TRY(parse(trimmed(part), family));
        if (std::ranges::find(list.items, item) != list.items.end())
            return bad(item, "is given twice");
        list.items.push_back(std::move(item));
    }
    if (list.items.size() > kMostAddresses)
        return bad(text, "is too long a list (at most " + std::to_string(kMostAddresses) + ")");
    return list;
}

} // namespace

Result<Ipv4List> Codec<Ipv4List>::parse(std::string_view text) { return parseItems<Ipv4List>(text, AF_INET, &parseHost); }
std::string Codec<Ipv4List>::format(const Ipv4List &value) { return join(value.items, ","); }
Result<Ipv6List> Codec<Ipv6List>::parse(std::string_view text) { return parseItems<Ipv6List>(text, AF_INET6, &parseHost); }
std::string Codec<Ipv6List>::format(const Ipv6List &value) { return join(value.items, ","); }
Result<Ipv4Subnets> Codec<Ipv4Subnets>::parse(std::string_view text) { return parseItems<Ipv4Subnets>(text, AF_INET, &parseSubnet); }
std::string Codec<Ipv4Subnets>::format(const Ipv4Subnets &value) { return join(value.items, ","); }
Result<Ipv6Subnets> Codec<Ipv6Subnets>::parse(std::string_view text) { return parseItems<Ipv6Subnets>(text, AF_INET6, &parseSubnet); }
std::string Codec<Ipv6Subnets>::format(const Ipv6Subnets &value) { return join(value.items, ","); }

namespace
{
struct RateUnit {
    std::string_view name;
    std::uint64_t factor;
};
// Largest first: a value is written in the largest that it is a multiple of.
constexpr RateUnit kRateUnits[] = {{"Tbit", 1'000'000'000'000}, {"Gbit", 1'000'000'000}, {"Mbit", 1'000'000}, {"kbit", 1'000}, {"bit", 1}, {"", 1}};
} // namespace

Result<BitRate> Codec<BitRate>::parse(std::string_view text)
{
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto unit = std::ranges::find(kRateUnits, text.substr(digits), &RateUnit::name);
    const auto number = parseUnsigned(text.substr(0, digits), 0, BitRate::kMost);
    if (unit == std::end(kRateUnits) || !number)
        return bad(text, "is not a bit rate, such as 500kbit, 10Mbit or 1Gbit");
    if (*number > BitRate::kMost / unit->factor || *number * unit->factor < BitRate::kLeast)
        return bad(text, "is not from 8kbit to 1Tbit");
    return BitRate{*number * unit->factor};
}
std::string Codec<BitRate>::format(const BitRate &value)
{
    const auto unit = std::ranges::find_if(kRateUnits, [&](const RateUnit &each) { return value.bits % each.factor == 0; });
    return std::to_string(value.bits / unit->factor) + std::string(unit->name);
}

namespace
{
constexpr Word<Gateway> kGateways[] = {{"auto", Gateway::Auto}, {"none", Gateway::None}};
constexpr Word<MacvlanMode> kMacvlanModes[] = {
    {"bridge", MacvlanMode::Bridge}, {"vepa", MacvlanMode::Vepa}, {"private", MacvlanMode::Private}, {"passthru", MacvlanMode::Passthru}};
constexpr Word<AclAction> kAclActions[] = {{"allow", AclAction::Allow}, {"drop", AclAction::Drop}, {"reject", AclAction::Reject}};
} // namespace

Result<Gateway> Codec<Gateway>::parse(std::string_view text) { return parseWord(text, kGateways); }
std::string Codec<Gateway>::format(const Gateway &value) { return formatWord(value, kGateways); }

Result<MacvlanMode> Codec<MacvlanMode>::parse(std::string_view text) { return parseWord(text, kMacvlanModes); }
std::string Codec<MacvlanMode>::format(const MacvlanMode &value) { return formatWord(value, kMacvlanModes); }

Result<AclAction> Codec<AclAction>::parse(std::string_view text) { return parseWord(text, kAclActions); }
std::string Codec<AclAction>::format(const AclAction &value) { return formatWord(value, kAclActions); }

namespace
{
constexpr std::uint32_t kMostVlan = 4094;
} // namespace

Result<PortVlan> Codec<PortVlan>::parse(std::string_view text)
{
    if (text == "none")
        return PortVlan{};
    const auto id = parseUnsigned(text, 1, kMostVlan);
    if (!id)
        return bad(text, "is not the number of a VLAN (1 to 4094), nor none");
    return PortVlan{static_cast<std::uint32_t>(*id)};
}
std::string Codec<PortVlan>::format(const PortVlan &value) { return value.id == 0 ? "none" : std::to_string(value.id); }

Result<VlanList> Codec<VlanList>::parse(std::string_view text)
{
    const auto ids = parseNumbers(text, 1, kMostVlan);
    if (!ids)
        return bad(text, "is no list of VLANs, such as 5,10-12 (1 to 4094)");
    return VlanList{*ids};
}
std::string Codec<VlanList>::format(const VlanList &value) { return formatNumbers(value.ids); }

Status checkAclName(const std::string &name)
{
    const auto good = [](char c) { return isDigit(c) || isLetter(c) || c == '-' || c == '_' || c == '.'; };
    if (name.empty() || name.size() > 63 || !isLetter(name.front()) || !std::ranges::all_of(name, good))
        return Error(Code::Invalid, "Network ACL name " + quoted(name) + " is not 1 to 63 of letters, digits, \"-_.\", starting with a letter");
    return {};
}

Result<AclNames> Codec<AclNames>::parse(std::string_view text)
{
    AclNames list;
    for (const std::string &part : split(text, ',')) {
        std::string name(trimmed(part));
        TRY(checkAclName(name));
        if (std::ranges::find(list.items, name) != list.items.end())
            return bad(name, "is given twice");
        list.items.push_back(std::move(name));
    }
    return list;
}
std::string Codec<AclNames>::format(const AclNames &value) { return join(value.items, ","); }

} // namespace lxmgr::config
