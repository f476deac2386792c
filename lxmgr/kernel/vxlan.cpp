#include "kernel/vxlan.h"

#include "base/text.h"
#include "kernel/netlink_message.h"

#include <arpa/inet.h>
#include <cerrno>
#include <linux/if_link.h>
#include <net/if.h>
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
    TRY(checkLinkName(vxlan.name));
    std::uint32_t index = 0;
    if (!vxlan.interface.empty() && (index = ::if_nametoindex(vxlan.interface.c_str())) == 0)
        return Error(Code::NotFound, "No network interface " + quoted(vxlan.interface), ENODEV);
    Message message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
    message.putString(IFLA_IFNAME, vxlan.name);
    const std::size_t info = message.begin(IFLA_LINKINFO);
    message.putString(IFLA_INFO_KIND, "vxlan");
    const std::size_t data = message.begin(IFLA_INFO_DATA);
    putData(message, vxlan, index);
    message.end(data);
    message.end(info);
    Socket socket = TRY(Socket::open());
    Status made = socket.request(message, "create vxlan " + quoted(vxlan.name));
    if (!made && made.error().errnum == EEXIST)
        return std::move(made.error()).as(Code::AlreadyExists);
    if (!made && made.error().errnum == EOPNOTSUPP)
        return std::move(made.error()).as(Code::Unsupported).hint("the kernel has no vxlan");
    return made;
}

} // namespace lxmgr::netlink
