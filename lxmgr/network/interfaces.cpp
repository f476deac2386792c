#include "network/interfaces.h"

#include <algorithm>
#include <linux/if.h>
#include <linux/if_arp.h>

namespace lxmgr::network
{

namespace
{

std::vector<Interface> asInterfaces(std::vector<netlink::Link> links)
{
    std::vector<Interface> interfaces;
    interfaces.reserve(links.size());
    for (netlink::Link &link : links)
        interfaces.push_back({std::move(link), {}});
    return interfaces;
}

} // namespace

bool Interface::up() const { return (flags & IFF_UP) != 0; }

std::string_view Interface::typeName() const
{
    if (flags & IFF_LOOPBACK)
        return "loopback";
    return flags & IFF_POINTOPOINT ? "point-to-point" : "broadcast";
}

std::string_view Interface::apiType() const
{
    if (flags & IFF_LOOPBACK)
        return "loopback";
    if (kind == "bridge" || kind == "vlan" || kind == "bond")
        return kind;
    return kind.empty() && type == ARPHRD_ETHER ? "physical" : "unknown";
}

Result<std::vector<Interface>> hostInterfaces() { return asInterfaces(TRY(netlink::links())); }

Result<Interface> hostInterface(const std::string &name) { return Interface{TRY(netlink::link(name)), {}}; }

Result<std::vector<Interface>> guestInterfaces(int netns)
{
    std::vector<Interface> inside = asInterfaces(TRY(netlink::links(netns)));
    for (Interface &interface : inside)
        if (interface.kind == "veth" && interface.peer > 0)
            interface.hostName = netlink::linkName(interface.peer);
    return inside;
}

} // namespace lxmgr::network
