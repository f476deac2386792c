#include "config/proxy.h"

#include "base/text.h"

#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace lxmgr::config
{

namespace
{

constexpr std::size_t kLongestPath = sizeof(sockaddr_un::sun_path) - 1;

Error bad(std::string_view text, const std::string &why) { return Error(Code::Invalid, quoted(text) + " " + why); }

/// The address in its one form ("FD42::1" → "fd42::1").
Result<std::string> parseHost(std::string_view text, bool bracketed)
{
    unsigned char bytes[sizeof(in6_addr)] = {};
    char again[INET6_ADDRSTRLEN] = {};
    const std::string copy(text);
    const int family = bracketed ? AF_INET6 : AF_INET;
    if (copy.find('\0') != std::string::npos || ::inet_pton(family, copy.c_str(), bytes) != 1 ||
        ::inet_ntop(family, bytes, again, sizeof again) == nullptr)
        return bad(text, std::string("is not an ") + (bracketed ? "IPv6" : "IPv4") +
                             " address; a name is not looked up (0.0.0.0 and [::] are all addresses)");
    return std::string(again);
}

Result<std::vector<PortRange>> parsePorts(std::string_view text)
{
    std::vector<PortRange> ranges;
    std::size_t count = 0;
    for (const std::string &part : split(text, ',')) {
        const std::size_t dash = part.find('-');
        const auto first = parseUnsigned(part.substr(0, dash), 1, 65535);
        const auto last = dash == std::string::npos ? first : parseUnsigned(part.substr(dash + 1), 1, 65535);
        if (!first || !last || *last < *first)
            return bad(part, "is no port or range of ports, like 80 or 8000-8010");
        count += *last - *first + 1;
        ranges.push_back({static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)});
    }
    if (ranges.empty())
        return bad(text, "has no port");
    if (count > 65535)
        return bad(text, "has more ports than there are");
    return ranges;
}

Result<ProxyAddress> parseUnix(std::string_view text)
{
    ProxyAddress address;
    address.kind = ProxyAddress::Kind::Unix;
    if (text.size() > kLongestPath)
        return bad(text, "is too long for a socket's path (at most " + std::to_string(kLongestPath) + " bytes)");
    if (!text.starts_with('@')) {
        address.path = TRY(Codec<AbsolutePath>::parse(text)).text;
        if (address.path == "/")
            return bad(text, "is no path of a socket");
        return address;
    }
    if (text.size() < 2 || escaped(text) != text)
        return bad(text, "is no name of an abstract socket (@ and some bytes that can be printed)");
    address.path = text;
    return address;
}

Result<ProxyAddress> parseInternet(ProxyAddress::Kind kind, std::string_view text)
{
    ProxyAddress address;
    address.kind = kind;
    const bool bracketed = text.starts_with('[');
    const std::size_t end = bracketed ? text.find("]:") : text.rfind(':');
    if (end == std::string_view::npos)
        return bad(text, "is not ADDRESS:PORT (an IPv6 address in brackets)");
    address.host = TRY(parseHost(bracketed ? text.substr(1, end - 1) : text.substr(0, end), bracketed));
    address.ports = TRY(parsePorts(text.substr(end + (bracketed ? 2 : 1))));
    return address;
}

} // namespace

std::vector<std::uint16_t> ProxyAddress::numbers() const
{
    if (isUnix())
        return {0};
    std::vector<std::uint16_t> all;
    for (const PortRange &range : ports)
        for (unsigned port = range.first; port <= range.last; ++port)
            all.push_back(static_cast<std::uint16_t>(port));
    return all;
}

Result<ProxyAddress> Codec<ProxyAddress>::parse(std::string_view text)
{
    const std::size_t colon = text.find(':');
    const std::string_view kind = text.substr(0, colon), rest = colon == std::string_view::npos ? "" : text.substr(colon + 1);
    if (kind == "tcp" && !rest.empty())
        return parseInternet(ProxyAddress::Kind::Tcp, rest);
    if (kind == "udp" && !rest.empty())
        return parseInternet(ProxyAddress::Kind::Udp, rest);
    if (kind == "unix" && !rest.empty())
        return parseUnix(rest);
    return bad(text, "is none of tcp:ADDRESS:PORT, udp:ADDRESS:PORT, unix:/PATH, unix:@NAME");
}

std::string Codec<ProxyAddress>::format(const ProxyAddress &value)
{
    if (value.isUnix())
        return "unix:" + value.path;
    std::vector<std::string> ports;
    for (const PortRange &range : value.ports)
        ports.push_back(range.first == range.last ? std::to_string(range.first)
                                                  : std::to_string(range.first) + "-" + std::to_string(range.last));
    const std::string host = value.isIpv6() ? "[" + value.host + "]" : value.host;
    return (value.kind == ProxyAddress::Kind::Tcp ? "tcp:" : "udp:") + host + ":" + join(ports, ",");
}

Result<ProxyBind> Codec<ProxyBind>::parse(std::string_view text)
{
    if (text == "host")
        return ProxyBind::Host;
    if (text == "instance" || text == "guest" || text == "container")
        return ProxyBind::Instance;
    return bad(text, "is neither host nor instance");
}

std::string Codec<ProxyBind>::format(const ProxyBind &value) { return value == ProxyBind::Host ? "host" : "instance"; }

} // namespace lxmgr::config
