#include "instances/proxies.h"

#include "base/text.h"
#include "kernel/netlink.h"
#include "kernel/seccomp.h"
#include "network/rules.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

/// All that a process needs that moves bytes between sockets it has or makes; no file, no program, no other process.
const std::vector<std::string> kForwarderCalls = {
    "accept4",  "brk",      "clock_gettime", "close",       "connect",   "epoll_ctl",   "epoll_pwait", "epoll_wait", "exit",
    "exit_group", "futex",  "getpeername",   "getpid",      "getrandom", "getsockname", "getsockopt",  "gettid",     "madvise",
    "mmap",     "mremap",   "munmap",        "pipe2",       "poll",      "ppoll",       "recvfrom",    "recvmsg",    "restart_syscall",
    "rt_sigprocmask", "rt_sigreturn", "sendmsg", "sendto",  "setsockopt", "shutdown",   "socket",      "splice",     "tgkill",
    "write",
};

Result<std::string> forwarderFilter()
{
    seccomp::Policy policy;
    policy.allow = kForwarderCalls;
    return seccomp::compile(policy);
}

spec::ProxyEnd endOf(const config::ProxyAddress &address)
{
    using Kind = config::ProxyAddress::Kind;
    spec::ProxyEnd end;
    end.kind = address.kind == Kind::Tcp   ? spec::ProxyEnd::Kind::Tcp
               : address.kind == Kind::Udp ? spec::ProxyEnd::Kind::Udp
                                           : spec::ProxyEnd::Kind::Unix;
    end.address = address.isUnix() ? address.path : address.host;
    for (const std::uint16_t port : address.numbers())
        end.ports.push_back(port);
    return end;
}

/// The fixed addresses of the instance's cards, of the family that is connected to.
std::vector<std::string> fixedAddresses(const config::Effective &effective, bool ipv6)
{
    std::vector<std::string> fixed;
    for (const config::Device &device : effective.devices) {
        const auto *nic = device.as<config::NicDevice>();
        if (nic && !ipv6 && nic->ipv4Address)
            fixed.insert(fixed.end(), nic->ipv4Address->items.begin(), nic->ipv4Address->items.end());
        if (nic && ipv6 && nic->ipv6Address)
            fixed.insert(fixed.end(), nic->ipv6Address->items.begin(), nic->ipv6Address->items.end());
    }
    return fixed;
}

/// The fixed address that is meant: 0.0.0.0 and [::] are the first there is.
Result<std::string> natTarget(const config::Effective &effective, const config::ProxyAddress &connect)
{
    const std::vector<std::string> fixed = fixedAddresses(effective, connect.isIpv6());
    if (connect.isWildcard() && !fixed.empty())
        return fixed.front();
    if (std::ranges::find(fixed, connect.host) != fixed.end())
        return connect.host;
    Error error(Code::Invalid, "connect: with nat=true it is the fixed address of a network card of the instance, and none has " +
                                   (connect.isWildcard() ? std::string("one") : quoted(connect.host)));
    const std::string key = connect.isIpv6() ? "ipv6.address" : "ipv4.address";
    return std::move(error).hint(fixed.empty() ? "set " + key + " of its nic to that, or leave nat out"
                                               : "it has " + fixed.front() + "; or leave nat out");
}

Result<spec::Proxy> planProxy(const config::Effective &effective, const std::string &name, const config::ProxyDevice &device)
{
    spec::Proxy proxy;
    proxy.device = name;
    proxy.inside = device.listensInside();
    proxy.listen = endOf(*device.listen);
    proxy.connect = endOf(*device.connect);
    proxy.nat = device.nat.value_or(false);
    proxy.proxyProtocol = device.proxyProtocol.value_or(false);
    proxy.uid = device.uid.value_or(0);
    proxy.gid = device.gid.value_or(0);
    proxy.mode = device.mode ? device.mode->bits : 0644;
    proxy.connectUid = device.securityUid.value_or(0);
    proxy.connectGid = device.securityGid.value_or(0);
    if (proxy.nat)
        proxy.connect.address = TRY(natTarget(effective, *device.connect));
    else
        proxy.seccomp = TRY(forwarderFilter());
    return proxy;
}

bool isAny(const std::string &address) { return address == "0.0.0.0" || address == "::"; }

/// "::" takes IPv4 too; "0.0.0.0" only that.
bool overlap(const std::string &one, const std::string &other)
{
    const auto covers = [](const std::string &wide, const std::string &address) {
        return wide == "::" || (wide == "0.0.0.0" && address.find(':') == std::string::npos);
    };
    return one == other || (isAny(one) && covers(one, other)) || (isAny(other) && covers(other, one));
}

std::string textOf(const spec::ProxyEnd &end, std::uint32_t port)
{
    if (end.kind == spec::ProxyEnd::Kind::Unix)
        return "unix " + quoted(end.address);
    const std::string host = end.address.find(':') == std::string::npos ? end.address : "[" + end.address + "]";
    return (end.kind == spec::ProxyEnd::Kind::Tcp ? "tcp " : "udp ") + host + ":" + std::to_string(port);
}

/// The first port that both would listen on, as text; "" where there is none.
std::string sharedPlace(const spec::ProxyEnd &one, const spec::ProxyEnd &other)
{
    if (one.kind != other.kind || !(one.kind == spec::ProxyEnd::Kind::Unix ? one.address == other.address : overlap(one.address, other.address)))
        return {};
    for (const std::uint32_t port : one.ports)
        if (std::ranges::find(other.ports, port) != other.ports.end())
            return textOf(one, port);
    return {};
}

} // namespace

Result<std::vector<spec::Proxy>> planProxies(const config::Effective &effective)
{
    std::vector<spec::Proxy> proxies;
    for (const config::Device &device : effective.devices)
        if (const auto *proxy = device.as<config::ProxyDevice>())
            proxies.push_back(TRY_IN("device " + quoted(device.name), planProxy(effective, device.name, *proxy)));
    return proxies;
}

bool isSame(const spec::Proxy &one, const spec::Proxy &other)
{
    spec::Proxy copy = one;
    copy.seccomp = other.seccomp;
    return copy == other;
}

Status checkProxiesFree(const std::vector<spec::Proxy> &wanted, const std::vector<spec::Proxy> &others, const std::string &owner)
{
    for (const spec::Proxy &proxy : wanted)
        for (const spec::Proxy &other : others) {
            const std::string place = proxy.inside || other.inside ? "" : sharedPlace(proxy.listen, other.listen);
            if (!place.empty())
                return Error(Code::AlreadyExists, "device " + quoted(proxy.device) + ": " + place + " is taken by device " + quoted(other.device) +
                                                      " of instance " + quoted(owner))
                    .hint("listen elsewhere, or stop that one");
        }
    return {};
}

namespace
{

/// Whether it is at all addresses of the host, or at that one.
enum class At { Address, All };

/// The first port of a proxy whose packets `forward` takes before it, as text; "" where there is none.
std::string forwardedPlace(const spec::Proxy &proxy, const network::Forward &forward, At at)
{
    const spec::ProxyEnd &listen = proxy.listen;
    if (proxy.inside || listen.kind == spec::ProxyEnd::Kind::Unix || isAny(listen.address) != (at == At::All) ||
        !overlap(listen.address, forward.listenAddress))
        return {};
    for (const std::uint32_t port : listen.ports)
        if (network::takes(forward, listen.kind == spec::ProxyEnd::Kind::Tcp ? "tcp" : "udp", port))
            return textOf({listen.kind, forward.listenAddress, {}}, port);
    return {};
}

} // namespace

Status checkForwardsFree(const std::vector<spec::Proxy> &proxies, const network::Forward &forward, const std::string &network)
{
    for (const spec::Proxy &proxy : proxies)
        if (const std::string place = forwardedPlace(proxy, forward, At::Address); !place.empty())
            return Error(Code::AlreadyExists, "device " + quoted(proxy.device) + ": " + place + " is taken by forward " + quoted(forward.listenAddress) +
                                                  " of network " + quoted(network))
                .hint("listen elsewhere, or see lxmgr network forward show " + network + " " + forward.listenAddress);
    return {};
}

Status checkForwardFree(const network::Forward &forward, const std::vector<spec::Proxy> &proxies, const std::string &owner)
{
    for (const spec::Proxy &proxy : proxies)
        if (const std::string place = forwardedPlace(proxy, forward, At::Address); !place.empty())
            return Error(Code::AlreadyExists, place + " is taken by device " + quoted(proxy.device) + " of instance " + quoted(owner))
                .hint("forward other ports, or stop that one");
    return {};
}

std::vector<network::Problem> proxyProblems(const std::vector<spec::Proxy> &proxies, const std::string &owner, const std::vector<network::Forward> &forwards,
                                            const std::string &network)
{
    std::vector<network::Problem> problems;
    const auto hosts = netlink::links();
    const auto isOfHost = [&](const std::string &text) {
        const auto address = netlink::parseAddress(text);
        return !hosts || !address || std::ranges::any_of(*hosts, [&](const netlink::Link &link) {
            return std::ranges::any_of(link.addresses, [&](const netlink::Address &own) { return own.bytes == address->bytes; });
        });
    };
    for (const spec::Proxy &proxy : proxies) {
        const std::string name = "device " + quoted(proxy.device) + " of instance " + quoted(owner);
        for (const network::Forward &forward : forwards)
            for (const At at : {At::Address, At::All})
                if (const std::string place = forwardedPlace(proxy, forward, at); !place.empty())
                    problems.push_back({name + " gets nothing of what arrives for " + place, "the forward of network " + quoted(network) + " takes it",
                                        "lxmgr network forward show " + network + " " + forward.listenAddress});
        if (!proxy.inside && proxy.nat && !isOfHost(proxy.listen.address))
            problems.push_back({name + " is reached by nobody who does not send through this host",
                                proxy.listen.address + " is no address of this host", "listen on one that is: ip address show"});
    }
    return problems;
}

std::vector<network::Forward> natForwards(const std::vector<spec::Proxy> &proxies)
{
    std::vector<network::Forward> forwards;
    for (const spec::Proxy &proxy : proxies) {
        if (!proxy.nat)
            continue;
        const auto portsOf = [](const spec::ProxyEnd &end) {
            std::vector<std::string> texts;
            for (const std::uint32_t port : end.ports)
                texts.push_back(std::to_string(port));
            return join(texts, ",");
        };
        forwards.push_back({proxy.listen.address,
                            {},
                            {{{"protocol", proxy.listen.kind == spec::ProxyEnd::Kind::Udp ? "udp" : "tcp"},
                              {"listen_port", portsOf(proxy.listen)},
                              {"target_address", proxy.connect.address},
                              {"target_port", portsOf(proxy.connect)}}}});
    }
    return forwards;
}

} // namespace lxmgr::instances
