// What a proxy device listens on and connects to, as values with one text form each.
#pragma once

#include "config/values.h"

#include <cstdint>
#include <string>
#include <vector>

namespace lxmgr::config
{

struct PortRange {
    std::uint16_t first = 0, last = 0;
    bool operator==(const PortRange &) const = default;
};

/// "tcp:192.0.2.1:80,8000-8010", "udp:[::1]:53", "unix:/run/x.sock", "unix:@name" (abstract, unix(7)).
struct ProxyAddress {
    enum class Kind { Tcp, Udp, Unix };
    Kind kind = Kind::Tcp;
    std::string host;             ///< Not of Unix: an IPv4 or IPv6 address, without brackets.
    std::vector<PortRange> ports; ///< Not of Unix: in the order given.
    std::string path;             ///< Unix: absolute, or "@name".
    bool operator==(const ProxyAddress &) const = default;

    bool isUnix() const { return kind == Kind::Unix; }
    bool isAbstract() const { return isUnix() && path.starts_with('@'); }
    bool isIpv6() const { return host.find(':') != std::string::npos; }
    bool isWildcard() const { return host == "0.0.0.0" || host == "::"; }
    /// Each port by itself; {0} of Unix, which has one place.
    std::vector<std::uint16_t> numbers() const;
};

/// Where it listens: it connects on the other side.
enum class ProxyBind { Host, Instance };

template <> struct Codec<ProxyAddress> {
    static constexpr std::string_view kType = "address";
    static Result<ProxyAddress> parse(std::string_view text);
    static std::string format(const ProxyAddress &value);
};
template <> struct Codec<ProxyBind> {
    static constexpr std::string_view kType = "host or instance";
    static Result<ProxyBind> parse(std::string_view text);
    static std::string format(const ProxyBind &value);
};

} // namespace lxmgr::config
