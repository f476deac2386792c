// Choosing private ranges that nothing on this host uses yet.
#include "base/text.h"
#include "kernel/files.h"
#include "kernel/sys.h"
#include "network/config.h"

#include <algorithm>
#include <linux/rtnetlink.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lxmgr::network
{

namespace
{

using netlink::Address;

Result<std::string> randomBytes(std::size_t count)
{
    std::string bytes(count, '\0');
    TRY(sys::call("getrandom", {}, [&] { return ::getrandom(bytes.data(), bytes.size(), 0); }));
    return bytes;
}


/// Everything that is reached some other way: routes but the default ones, name servers of the host.
Result<std::vector<Address>> takenAddresses()
{
    std::vector<Address> taken;
    for (netlink::Route &route : TRY(netlink::routes()))
        if (route.destination.prefix > 0)
            taken.push_back(std::move(route.destination));
    // A server beyond the default route would become unreachable were its address ours.
    const Result<std::string> resolv = files::read("/etc/resolv.conf", 1U << 20);
    for (const std::string &line : split(resolv ? *resolv : "", '\n'))
        if (const std::vector<std::string> parts = words(line); parts.size() >= 2 && parts[0] == "nameserver")
            if (Result<Address> server = netlink::parseAddress(parts[1]))
                taken.push_back(std::move(*server));
    return taken;
}

/// 10.x.y.1/22: room for a thousand guests.
Result<Address> randomIpv4()
{
    const std::string random = TRY(randomBytes(2));
    return Address{AF_INET, std::string("\x0a", 1) + random[0] + static_cast<char>(random[1] & ~3) + '\x01', 22, 0};
}

/// RFC 4193: fd, 40 random bits, 16 of subnet.
Result<Address> randomIpv6()
{
    Address address{AF_INET6, "\xfd\x42" + TRY(randomBytes(6)) + std::string(7, '\0') + '\x01', 64, 0};
    return address;
}

Result<Address> pickFree(Result<Address> (*draw)(), const std::vector<Address> &taken)
{
    for (int tries = 0; tries < 1000; ++tries) {
        const Address candidate = TRY(draw());
        if (std::ranges::none_of(taken, [&](const Address &other) { return overlap(candidate, other); }))
            return candidate;
    }
    return Error(Code::Unavailable, "No free private address range was found; all are routed somewhere")
        .hint("give one: ipv4.address=192.168.x.1/24");
}

void setIfMissing(Config &config, const std::string &key, const std::string &value) { config.emplace(key, value); }

} // namespace

bool overlap(const Address &one, const Address &other)
{
    return one.prefix < other.prefix ? contains(one, other) : contains(other, one);
}

Result<Subnets> pickSubnets()
{
    const std::vector<Address> taken = TRY(takenAddresses());
    return Subnets{TRY(pickFree(&randomIpv4, taken)), TRY(pickFree(&randomIpv6, taken))};
}

Result<Config> withDefaults(Config config)
{
    setIfMissing(config, "ipv4.address", "auto");
    setIfMissing(config, "ipv6.address", ::access("/proc/sys/net/ipv6", F_OK) == 0 ? "auto" : "none");
    return withAddresses(std::move(config));
}

Result<Config> withAddresses(Config config)
{
    const BridgeConfig wanted = TRY(parseConfig(config));
    if (!wanted.ipv4.automatic && !wanted.ipv6.automatic)
        return config;
    const Subnets free = TRY(pickSubnets());
    for (const auto &[family, name, address] : {std::tuple{&wanted.ipv4, std::string("ipv4"), &free.ipv4},
                                                {&wanted.ipv6, std::string("ipv6"), &free.ipv6}}) {
        if (!family->automatic)
            continue;
        config[name + ".address"] = address->text() + "/" + std::to_string(address->prefix);
        setIfMissing(config, name + ".nat", "true"); // Nobody outside can have a route to a range just made up.
    }
    TRY(parseConfig(config));
    return config;
}

} // namespace lxmgr::network
