#include "kernel/netlink_vlans.h"

#include "base/text.h"
#include "kernel/netlink_create.h"

#include <cerrno>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/socket.h>

namespace lxmgr::netlink
{

namespace
{

constexpr std::uint16_t kDo = NLM_F_REQUEST | NLM_F_ACK;

void put(Message &message, std::uint32_t vlan, int flags)
{
    const bridge_vlan_info info{static_cast<std::uint16_t>(flags), static_cast<std::uint16_t>(vlan)};
    message.put(IFLA_BRIDGE_VLAN_INFO, &info, sizeof info);
}

template <class Fill> Status change(std::uint16_t type, const std::string &port, const Fill &fill)
{
    ifinfomsg fixed{};
    fixed.ifi_family = AF_BRIDGE;
    fixed.ifi_index = TRY(link(port)).index;
    Message message(type, kDo, fixed);
    const std::size_t spec = message.begin(IFLA_AF_SPEC);
    fill(message);
    message.end(spec);
    Socket socket = TRY(Socket::open());
    Status done = socket.request(message, "set VLANs of port " + quoted(port));
    if (!done && done.error().errnum == EOPNOTSUPP)
        return std::move(done.error()).as(Code::Unsupported).hint("the kernel has no VLAN filter of bridges (CONFIG_BRIDGE_VLAN_FILTERING)");
    return done;
}

} // namespace

Status setPortVlans(const std::string &port, const PortVlans &vlans)
{
    TRY(change(RTM_DELLINK, port, [](Message &message) { // those that it is not of are no error
        put(message, 1, BRIDGE_VLAN_INFO_RANGE_BEGIN);
        put(message, kMostVlan, BRIDGE_VLAN_INFO_RANGE_END);
    }));
    if (vlans.untagged == 0 && vlans.tagged.empty())
        return {};
    return change(RTM_SETLINK, port, [&](Message &message) {
        for (const std::uint32_t vlan : vlans.tagged)
            put(message, vlan, 0);
        if (vlans.untagged != 0)
            put(message, vlans.untagged, BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED);
    });
}

Status filterVlans(const std::string &bridge)
{
    ifinfomsg fixed{};
    fixed.ifi_index = TRY(link(bridge)).index;
    Message message(RTM_NEWLINK, kDo, fixed);
    const std::size_t info = message.begin(IFLA_LINKINFO);
    message.putString(IFLA_INFO_KIND, "bridge");
    const std::size_t data = message.begin(IFLA_INFO_DATA);
    const std::uint8_t on = 1;
    message.put(IFLA_BR_VLAN_FILTERING, &on, sizeof on);
    message.end(data);
    message.end(info);
    Socket socket = TRY(Socket::open());
    return socket.request(message, "keep the VLANs of bridge " + quoted(bridge) + " apart");
}

Status createVlan(const std::string &name, const std::string &parent, std::uint32_t vlan)
{
    const auto id = static_cast<std::uint16_t>(vlan);
    return createLink(name, "vlan", "8021q", static_cast<std::uint32_t>(TRY(link(parent)).index),
                      [&](Message &message) { message.put(IFLA_VLAN_ID, &id, sizeof id); });
}

Status checkVlanLinks()
{
    // One that says not which is refused as such by a kernel that has them (vlan_validate() of net/8021q).
    Status made = createLink("vlan-none", "vlan", "8021q", 0, [](Message &) {});
    if (made)
        return deleteLink("vlan-none");
    return made.error().code == Code::Unsupported ? std::move(made) : Status();
}

} // namespace lxmgr::netlink
