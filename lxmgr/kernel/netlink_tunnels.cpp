#include "kernel/netlink_tunnels.h"

#include "base/text.h"
#include "kernel/netlink_create.h"

#include <arpa/inet.h>
#include <cerrno>
#include <net/if.h> // before what linux/if_tunnel.h takes in

#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <sys/socket.h>

namespace lxmgr::netlink
{

namespace
{

void putData(Message &message, const Vxlan &vxlan, std::uint32_t index)
{
    const bool six = vxlan.remote.family == AF_INET6;
    message.putU32(IFLA_VXLAN_ID, vxlan.id);
    message.putBytes(six ? IFLA_VXLAN_GROUP6 : IFLA_VXLAN_GROUP, vxlan.remote.bytes);
    if (vxlan.local)
        message.putBytes(six ? IFLA_VXLAN_LOCAL6 : IFLA_VXLAN_LOCAL, vxlan.local->bytes);
    if (index != 0)
        message.putU32(IFLA_VXLAN_LINK, index);
    if (vxlan.port != 0) {
        const std::uint16_t port = htons(vxlan.port);
        message.put(IFLA_VXLAN_PORT, &port, sizeof port);
    }
    if (vxlan.ttl != 0)
        message.put(IFLA_VXLAN_TTL, &vxlan.ttl, sizeof vxlan.ttl);
    const std::uint8_t learning = 1;
    message.put(IFLA_VXLAN_LEARNING, &learning, sizeof learning);
}

} // namespace

Status createVxlan(const Vxlan &vxlan)
{
    std::uint32_t index = 0;
    if (!vxlan.interface.empty() && (index = ::if_nametoindex(vxlan.interface.c_str())) == 0)
        return Error(Code::NotFound, "No network interface " + quoted(vxlan.interface), ENODEV);
    return createLink(vxlan.name, "vxlan", "vxlan", 0, [&](Message &message) { putData(message, vxlan, index); });
}

Status createGre(const Gre &gre)
{
    const bool six = gre.remote.family == AF_INET6;
    return createLink(gre.name, six ? "ip6gretap" : "gretap", six ? "ip6_gre" : "ip_gre", 0, [&](Message &message) {
        message.putBytes(IFLA_GRE_LOCAL, gre.local.bytes);
        message.putBytes(IFLA_GRE_REMOTE, gre.remote.bytes);
        const std::uint8_t ttl = 64; // without, that of what is inside, which may be 1
        message.put(IFLA_GRE_TTL, &ttl, sizeof ttl);
    });
}

} // namespace lxmgr::netlink
