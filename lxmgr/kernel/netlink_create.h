// Making a link of some kind by rtnetlink(7): what every kind has in common.
#pragma once

#include "base/text.h"
#include "kernel/netlink.h"
#include "kernel/netlink_message.h"

#include <cerrno>
#include <linux/if_link.h>
#include <string>

namespace lxmgr::netlink
{

/// `lower`: index of the link that it is on, 0 for none. `putData`: what only this kind has. Made down. AlreadyExists: the name is taken,
/// or there is another such one. Unsupported where the kernel has none; `module`: what it would be in.
template <class PutData>
Status createLink(const std::string &name, const std::string &kind, const std::string &module, std::uint32_t lower, const PutData &putData)
{
    TRY(checkLinkName(name));
    Message message(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, ifinfomsg{});
    message.putString(IFLA_IFNAME, name);
    if (lower != 0)
        message.putU32(IFLA_LINK, lower);
    const std::size_t info = message.begin(IFLA_LINKINFO);
    message.putString(IFLA_INFO_KIND, kind);
    const std::size_t data = message.begin(IFLA_INFO_DATA);
    putData(message);
    message.end(data);
    message.end(info);
    Socket socket = TRY(Socket::open());
    Status made = socket.request(message, "create " + kind + " " + quoted(name));
    if (!made && made.error().errnum == EEXIST)
        return std::move(made.error()).as(Code::AlreadyExists);
    if (!made && made.error().errnum == EOPNOTSUPP)
        return std::move(made.error()).as(Code::Unsupported).hint("the kernel has no " + kind + " (module " + module + ")");
    return made;
}

} // namespace lxmgr::netlink
