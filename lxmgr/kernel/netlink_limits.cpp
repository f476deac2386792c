#include "kernel/netlink_limits.h"

#include "base/text.h"
#include "kernel/netlink_message.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>

namespace lxmgr::netlink
{

namespace
{

constexpr std::uint16_t kDo = NLM_F_REQUEST | NLM_F_ACK;
constexpr std::uint16_t kReplace = kDo | NLM_F_CREATE | NLM_F_REPLACE;
constexpr std::uint32_t kIngressHandle = 0xFFFF0000;

Status ask(const Message &message, const std::string &what)
{
    Socket socket = TRY(Socket::open());
    return socket.request(message, what);
}

tcmsg below(int index, std::uint32_t parent, std::uint32_t handle = 0)
{
    tcmsg fixed{};
    fixed.tcm_ifindex = index;
    fixed.tcm_parent = parent;
    fixed.tcm_handle = handle;
    return fixed;
}

/// A missing module says ENOENT (qdisc) or ENOENT, EOPNOTSUPP (classifier, action, kind of link).
Status mapMissing(Status status, const std::string &modules)
{
    if (!status && (status.error().errnum == ENOENT || status.error().errnum == EOPNOTSUPP))
        return std::move(status.error()).as(Code::Unsupported).hint("the kernel needs " + modules);
    return status;
}

Message bucketMessage(int index, std::uint64_t bits)
{
    const std::uint64_t bytes = bits / 8;
    Message message(RTM_NEWQDISC, kReplace, below(index, TC_H_ROOT));
    message.putString(TCA_KIND, "tbf");
    const std::size_t options = message.begin(TCA_OPTIONS);
    tc_tbf_qopt wanted{};
    wanted.rate.rate = static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, ~std::uint32_t{0}));
    wanted.rate.linklayer = TC_LINKLAYER_ETHERNET; // says that no table of times comes along (Linux 3.8)
    // 10 ms at full rate at once, but a whole packet as the sender's offload makes them; and no more than 100 ms waits.
    const auto burst = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(bytes / 100, 65'536, 64U << 20));
    wanted.limit = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(bytes / 10, 131'072, 256U << 20));
    message.put(TCA_TBF_PARMS, &wanted, sizeof wanted);
    message.putU32(TCA_TBF_BURST, burst);
    if (bytes > ~std::uint32_t{0})
        message.put(TCA_TBF_RATE64, &bytes, sizeof bytes);
    message.end(options);
    return message;
}

Status dropQdisc(int index, std::uint32_t parent, std::uint32_t handle, const std::string &what)
{
    Status gone = ask(Message(RTM_DELQDISC, kDo, below(index, parent, handle)), what);
    // ENOENT, EINVAL: there is none.
    return !gone && (gone.error().errnum == ENOENT || gone.error().errnum == EINVAL) ? Status() : gone;
}

Status createIfb(const std::string &name, std::uint32_t mtu)
{
    ifinfomsg fixed{};
    fixed.ifi_flags = fixed.ifi_change = IFF_UP;
    Message message(RTM_NEWLINK, kDo | NLM_F_CREATE | NLM_F_EXCL, fixed);
    message.putString(IFLA_IFNAME, name);
    message.putU32(IFLA_MTU, mtu);
    const std::size_t info = message.begin(IFLA_LINKINFO);
    message.putString(IFLA_INFO_KIND, "ifb");
    message.end(info);
    return ask(message, "create link " + quoted(name));
}

Status addIngress(int index)
{
    Message message(RTM_NEWQDISC, kDo | NLM_F_CREATE | NLM_F_EXCL, below(index, TC_H_INGRESS, kIngressHandle));
    message.putString(TCA_KIND, "ingress");
    return ask(message, "take in through a filter");
}

/// All that comes in goes out by the link `to`, and comes in again behind it.
Status redirect(int index, int to)
{
    tcmsg fixed = below(index, kIngressHandle);
    fixed.tcm_info = TC_H_MAKE(1U << 16, htons(ETH_P_ALL));
    Message message(RTM_NEWTFILTER, kDo | NLM_F_CREATE | NLM_F_EXCL, fixed);
    message.putString(TCA_KIND, "u32");
    const std::size_t options = message.begin(TCA_OPTIONS);
    tc_u32_sel selector{};
    selector.flags = TC_U32_TERMINAL;
    selector.nkeys = 1;
    // One key behind it, all zero: its mask matches everything.
    message.putBytes(TCA_U32_SEL, std::string(reinterpret_cast<const char *>(&selector), sizeof selector) + std::string(sizeof(tc_u32_key), '\0'));
    const std::size_t actions = message.begin(TCA_U32_ACT);
    const std::size_t first = message.begin(1);
    message.putString(TCA_ACT_KIND, "mirred");
    const std::size_t inner = message.begin(TCA_ACT_OPTIONS);
    tc_mirred mirred{};
    mirred.action = TC_ACT_STOLEN;
    mirred.eaction = TCA_EGRESS_REDIR;
    mirred.ifindex = static_cast<std::uint32_t>(to);
    message.put(TCA_MIRRED_PARMS, &mirred, sizeof mirred);
    message.end(inner);
    message.end(first);
    message.end(actions);
    message.end(options);
    return ask(message, "redirect what comes in");
}

Status removeIfb(const std::string &name)
{
    const auto present = link(name);
    if (!present || present->kind != "ifb")
        return {};
    Status gone = deleteLink(name);
    return !gone && gone.error().code == Code::NotFound ? Status() : gone;
}

} // namespace

Status limitSending(const std::string &name, std::uint64_t bits)
{
    const int index = TRY(indexOf(name));
    if (bits == 0)
        return dropQdisc(index, TC_H_ROOT, 0, "remove the limit of " + quoted(name));
    return mapMissing(ask(bucketMessage(index, bits), "limit " + quoted(name)), "sch_tbf");
}

Status limitReceiving(const std::string &name, const std::string &helper, std::uint64_t bits)
{
    if (bits == 0) {
        // The filter first: what it would redirect to a link that is gone is lost.
        if (linkExists(name))
            TRY(dropQdisc(TRY(indexOf(name)), TC_H_INGRESS, kIngressHandle, "remove the limit of " + quoted(name)));
        return removeIfb(helper);
    }
    const Link own = TRY(link(name));
    if (linkExists(helper)) // it stays, with another limit
        return limitSending(helper, bits);
    const std::string modules = "ifb, sch_ingress, cls_u32, act_mirred and sch_tbf";
    TRY(mapMissing(createIfb(helper, own.mtu), modules));
    Status done = [&]() -> Status {
        TRY(limitSending(helper, bits));
        TRY(addIngress(own.index));
        return redirect(own.index, TRY(indexOf(helper)));
    }();
    if (!done) {
        (void)limitReceiving(name, helper, 0); // the first error is the one to report
        return mapMissing(std::move(done), modules);
    }
    return {};
}

namespace
{

Status setPortFlag(const std::string &port, unsigned short attribute, bool on)
{
    ifinfomsg fixed{};
    fixed.ifi_family = AF_BRIDGE;
    fixed.ifi_index = TRY(indexOf(port));
    Message message(RTM_SETLINK, kDo, fixed);
    const std::size_t info = message.begin(IFLA_PROTINFO);
    const std::uint8_t value = on ? 1 : 0;
    message.put(attribute, &value, sizeof value);
    message.end(info);
    return ask(message, "set up port " + quoted(port));
}

} // namespace

Status setIsolated(const std::string &port, bool isolated) { return setPortFlag(port, IFLA_BRPORT_ISOLATED, isolated); }

Status setHairpin(const std::string &port, bool hairpin) { return setPortFlag(port, IFLA_BRPORT_MODE, hairpin); }

} // namespace lxmgr::netlink
