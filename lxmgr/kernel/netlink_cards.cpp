#include "kernel/netlink_cards.h"

#include "base/text.h"
#include "kernel/netlink_message.h"

#include <algorithm>
#include <cerrno>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>

namespace lxmgr::netlink
{

namespace
{

constexpr std::uint16_t kDo = NLM_F_REQUEST | NLM_F_ACK;
constexpr std::uint16_t kMake = kDo | NLM_F_CREATE | NLM_F_EXCL;

Status ask(int netns, const Message &message, const std::string &what)
{
    Socket socket = TRY(Socket::open(netns));
    return socket.request(message, what);
}

Status mapExists(Status status)
{
    if (!status && status.error().errnum == EEXIST)
        return std::move(status.error()).as(Code::AlreadyExists);
    return status;
}

ifinfomsg ofLink(int index)
{
    ifinfomsg fixed{};
    fixed.ifi_index = index;
    return fixed;
}

template <class Match> Result<Link> findIn(int netns, const std::string &what, const Match &match)
{
    for (Link &link : TRY(links(netns)))
        if (match(link))
            return std::move(link);
    return Error(Code::NotFound, "No network interface " + what, ENODEV);
}

Result<Message> routeMessage(std::uint16_t type, std::uint16_t flags, const LinkRoute &route)
{
    rtmsg fixed{};
    fixed.rtm_family = static_cast<std::uint8_t>(route.destination.family);
    fixed.rtm_dst_len = static_cast<std::uint8_t>(route.destination.prefix);
    fixed.rtm_table = RT_TABLE_UNSPEC; // RTA_TABLE says it
    fixed.rtm_protocol = RTPROT_STATIC;
    fixed.rtm_type = RTN_UNICAST;
    fixed.rtm_scope = route.gateway.empty() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    Message message(type, flags, fixed);
    if (route.destination.prefix > 0)
        message.putBytes(RTA_DST, route.destination.bytes);
    if (!route.gateway.empty())
        message.putBytes(RTA_GATEWAY, TRY(parseAddress(route.gateway)).bytes);
    message.putU32(RTA_OIF, static_cast<std::uint32_t>(route.index));
    message.putU32(RTA_TABLE, route.table);
    return message;
}

std::string textOf(const LinkRoute &route)
{
    return route.destination.prefix == 0 ? "default route" : "route to " + route.destination.text() + "/" + std::to_string(route.destination.prefix);
}

Result<Message> proxyMessage(std::uint16_t type, std::uint16_t flags, const std::string &link, const Address &address)
{
    ndmsg fixed{};
    fixed.ndm_family = static_cast<std::uint8_t>(address.family);
    fixed.ndm_ifindex = TRY(indexOf(link));
    fixed.ndm_flags = NTF_PROXY;
    fixed.ndm_state = NUD_PERMANENT; // it outlives a cable that is pulled (Linux 6.16; before, all go with the carrier)
    Message message(type, flags, fixed);
    message.putBytes(NDA_DST, address.bytes);
    return message;
}

} // namespace

Status createMacvlan(const Macvlan &macvlan)
{
    const Link parent = TRY(link(macvlan.parent));
    Message message(RTM_NEWLINK, kMake, ifinfomsg{});
    message.putString(IFLA_IFNAME, macvlan.name);
    message.putU32(IFLA_LINK, static_cast<std::uint32_t>(parent.index));
    message.putU32(IFLA_NET_NS_PID, static_cast<std::uint32_t>(macvlan.pid));
    if (!macvlan.mac.empty())
        message.putBytes(IFLA_ADDRESS, macBytes(macvlan.mac));
    if (macvlan.mtu)
        message.putU32(IFLA_MTU, macvlan.mtu);
    const std::size_t info = message.begin(IFLA_LINKINFO);
    message.putString(IFLA_INFO_KIND, "macvlan");
    const std::size_t data = message.begin(IFLA_INFO_DATA);
    message.putU32(IFLA_MACVLAN_MODE, macvlan.mode);
    message.end(data);
    message.end(info);
    return mapExists(ask(-1, message, "create macvlan " + quoted(macvlan.name) + " on " + quoted(macvlan.parent)));
}

Result<Link> linkIn(int netns, const std::string &name)
{
    return findIn(netns, quoted(name), [&](const Link &each) { return each.name == name; });
}

Result<Link> linkIn(int netns, int index)
{
    return findIn(netns, "of index " + std::to_string(index), [&](const Link &each) { return each.index == index; });
}

Status deleteLinkIn(int netns, int index)
{
    Status deleted = ask(netns, Message(RTM_DELLINK, kDo, ofLink(index)), "delete link of index " + std::to_string(index));
    return !deleted && deleted.error().errnum == ENODEV ? Status(std::move(deleted.error()).as(Code::NotFound)) : deleted;
}

Status setUpIn(int netns, int index)
{
    ifinfomsg fixed = ofLink(index);
    fixed.ifi_flags = fixed.ifi_change = IFF_UP;
    return ask(netns, Message(RTM_NEWLINK, kDo, fixed), "set up link of index " + std::to_string(index));
}

Status moveLink(int netns, int index, int to, const std::string &name)
{
    Message message(RTM_NEWLINK, kDo, ofLink(index));
    message.putString(IFLA_IFNAME, name);
    message.putU32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(to));
    return mapExists(ask(netns, message, "move a link, to be called " + quoted(name)));
}

Status lendLink(int index, pid_t pid, const std::string &name)
{
    Message message(RTM_NEWLINK, kDo, ofLink(index));
    message.putString(IFLA_IFNAME, name);
    message.putU32(IFLA_NET_NS_PID, static_cast<std::uint32_t>(pid));
    return mapExists(ask(-1, message, "move a link inside, to be called " + quoted(name)));
}

Status addRoute(int netns, const LinkRoute &route)
{
    return mapExists(ask(netns, TRY(routeMessage(RTM_NEWROUTE, kMake, route)), "add " + textOf(route)));
}

Status deleteRoute(int netns, const LinkRoute &route)
{
    Status gone = ask(netns, TRY(routeMessage(RTM_DELROUTE, kDo, route)), "delete " + textOf(route));
    return !gone && gone.error().errnum == ESRCH ? Status() : gone;
}

Status addProxy(const std::string &link, const Address &address)
{
    constexpr std::uint16_t kPut = kDo | NLM_F_CREATE | NLM_F_REPLACE;
    return ask(-1, TRY(proxyMessage(RTM_NEWNEIGH, kPut, link, address)), "have " + quoted(link) + " answer for " + quoted(address.text()));
}

Status deleteProxy(const std::string &link, const Address &address)
{
    if (!linkExists(link))
        return {};
    Status gone = ask(-1, TRY(proxyMessage(RTM_DELNEIGH, kDo, link, address)), "have " + quoted(link) + " not answer for " + quoted(address.text()));
    return !gone && gone.error().errnum == ENOENT ? Status() : gone;
}

} // namespace lxmgr::netlink
