#include "network/vlans.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/netlink_vlans.h"

#include <algorithm>
#include <net/if.h>
#include <unistd.h>

namespace lxmgr::network
{

namespace
{

/// What a family does not have is not there to be set.
Status setWhereThere(const std::string &file, const std::string &value)
{
    return ::access(file.c_str(), F_OK) == 0 ? files::put(file, value) : Status();
}

/// The host answers nobody on it: it is the guests'. Source: ip-sysctl of the kernel's documentation.
Status keepHostOut(const std::string &name)
{
    TRY(setWhereThere("/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6", "1"));
    return setWhereThere("/proc/sys/net/ipv4/conf/" + name + "/arp_ignore", "8");
}

} // namespace

std::string Vlan::name() const
{
    std::string plain = parent + "." + std::to_string(id);
    if (plain.size() < IFNAMSIZ)
        return plain;
    std::uint64_t hash = nameHash(parent);
    std::string name = "vl";
    for (int i = 0; i < 8; ++i, hash >>= 5)
        name += "abcdefghijklmnopqrstuvwxyz234567"[hash & 31];
    return name + "." + std::to_string(id);
}

std::string Vlan::text() const { return "VLAN " + std::to_string(id) + " of " + quoted(parent); }

Status checkVlanSupport()
{
    const Status can = netlink::checkVlanLinks();
    if (can)
        return {};
    return Error(Code::Unsupported, "This kernel has no interfaces for VLANs (CONFIG_VLAN_8021Q), which vlan of this nictype needs")
        .hint("modprobe 8021q, or a bridge of the host's that is on that VLAN (nictype=bridged)");
}

Result<bool> hasVlan(const Vlan &vlan)
{
    const std::vector<netlink::Link> links = TRY(netlink::links());
    const auto parent = std::ranges::find(links, vlan.parent, &netlink::Link::name);
    if (parent == links.end())
        return Error(Code::NotFound, "no interface " + quoted(vlan.parent) + " on this host");
    const auto isIt = [&](const netlink::Link &link) { return link.kind == "vlan" && link.peer == parent->index && link.vlan == vlan.id; };
    const auto own = std::ranges::find(links, vlan.name(), &netlink::Link::name);
    if (own != links.end() && !isIt(*own))
        return Error(Code::AlreadyExists, "interface " + quoted(own->name) + " is there already, and is not " + vlan.text()).hint("rename that one");
    if (own != links.end())
        return true;
    if (const auto other = std::ranges::find_if(links, isIt); other != links.end())
        return Error(Code::AlreadyExists, vlan.text() + " is interface " + quoted(other->name) + " already")
            .hint("use parent=" + other->name + " without vlan");
    return false;
}

Status makeVlan(const Vlan &vlan)
{
    TRY(netlink::createVlan(vlan.name(), vlan.parent, vlan.id));
    Status ready = keepHostOut(vlan.name());
    if (ready)
        ready = netlink::setPortUp(vlan.name());
    if (!ready)
        (void)removeVlan(vlan.name()); // the first error is the one to report
    return ready;
}

Status removeVlan(const std::string &name)
{
    Status gone = netlink::deleteLink(name);
    return !gone && gone.error().code == Code::NotFound ? Status() : gone;
}

} // namespace lxmgr::network
