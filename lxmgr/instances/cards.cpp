// Network cards that need something of the host: what is refused before anything is made.
#include "instances/manager.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/sysfs.h"
#include "network/interfaces.h"
#include "spec/monitor_client.h"

#include <algorithm>
#include <array>
#include <linux/rtnetlink.h>

namespace lxmgr::instances
{

namespace
{

using spec::Nic;

Status checkHostName(const Nic &card)
{
    if (card.hostName.empty() || !network::hostInterface(card.hostName))
        return {};
    return Error(Code::AlreadyExists, "interface " + quoted(card.hostName) + " is there already on the host").hint("choose another host_name");
}

/// A card that is lent out is in use by nothing else.
Status checkPhysical(const Nic &card, const std::vector<netlink::Link> &links, const Lent &lent)
{
    const auto link = std::ranges::find(links, card.parent, &netlink::Link::name);
    const auto holder = lent.find(card.parent);
    if (link == links.end() && holder != lent.end())
        return Error(Code::WrongState, "no interface " + quoted(card.parent) + " on this host: it is in instance " + quoted(holder->second))
            .hint("stop that, or take the device out of it");
    if (link == links.end())
        return Error(Code::NotFound, "no interface " + quoted(card.parent) + " on this host");
    if (link->master != 0)
        return Error(Code::WrongState, "interface " + quoted(card.parent) + " is in use: it is a port of " + quoted(netlink::linkName(link->master)))
            .hint("take it out of there first (ip link set " + card.parent + " nomaster)");
    for (const netlink::Link &other : links)
        if (other.peer == link->index && (other.kind == "macvlan" || other.kind == "vlan" || other.kind == "ipvlan"))
            return Error(Code::WrongState, "interface " + quoted(card.parent) + " is in use: " + quoted(other.name) + " is on top of it")
                .hint("remove that first (ip link delete " + other.name + ")");
    if (link->kind == "bridge" || link->kind == "bond" || link->kind == "vxlan")
        return Error(Code::Invalid, "interface " + quoted(card.parent) + " is a " + link->kind + ", which cannot be moved to a guest")
            .hint("nictype=bridged joins a bridge, nictype=macvlan shares a card");
    return {};
}

/// One that is to be made is used by nobody.
Status checkParent(const Nic &card, const std::vector<netlink::Link> &links, const Lent &lent)
{
    const auto vlan = vlanOf(card);
    if (vlan && !lent.contains(card.parent) && !TRY(network::hasVlan(*vlan)))
        return {};
    return card.kind == Nic::Kind::Physical ? checkPhysical(card, links, lent) : Status();
}

Status checkMtu(const Nic &card, const std::vector<netlink::Link> &links)
{
    const auto link = std::ranges::find(links, card.vlanOf.empty() ? card.parent : card.vlanOf, &netlink::Link::name);
    if (card.kind != Nic::Kind::Macvlan || link == links.end() || card.mtu <= link->mtu)
        return {};
    return Error(Code::Invalid, "mtu: " + std::to_string(card.mtu) + " is above that of " + quoted(link->name) + ", " + std::to_string(link->mtu));
}

bool isOn(const std::string &name)
{
    const auto text = files::read("/proc/sys/net/" + name);
    return text && trimmed(*text) != "0";
}

/// The host has to send on what comes in by the parent for the guest.
Status checkForwarding(const Nic &card)
{
    if (card.kind != Nic::Kind::Veth || card.parent.empty())
        return {};
    for (const std::string &text : card.addresses) {
        const bool old = text.find(':') == std::string::npos;
        const std::string folder = std::string(old ? "ipv4" : "ipv6") + "/conf/" + card.parent + "/";
        for (const char *name : {"forwarding", "proxy_ndp"}) {
            if ((old && std::string_view(name) == "proxy_ndp") || isOn(folder + name))
                continue;
            return Error(Code::WrongState, "interface " + quoted(card.parent) + " does not pass packets on to guests: net/" + folder + name + " is 0")
                .hint("sysctl -w net/" + folder + name + "=1");
        }
    }
    return {};
}

Status checkRoutes(const Nic &card, const std::vector<netlink::Route> &routes, const std::vector<Nic> &gone)
{
    std::vector<std::string> wanted = card.addresses;
    wanted.insert(wanted.end(), card.routes.begin(), card.routes.end());
    for (const std::string &text : wanted) {
        const netlink::Address subnet = TRY(netlink::parseAddress(text));
        for (const netlink::Route &route : routes) {
            if (route.table != RT_TABLE_MAIN || route.destination.family != subnet.family || route.destination.prefix != subnet.prefix ||
                route.destination.bytes != subnet.bytes)
                continue;
            const std::string by = netlink::linkName(route.linkIndex);
            const auto isOwn = [&](const Nic &old) {
                return old.hostName == by || (old.bridge == by && std::ranges::find(old.routes, text) != old.routes.end());
            };
            if (std::ranges::any_of(gone, isOwn))
                continue;
            return Error(Code::AlreadyExists, "the host has a route to " + quoted(text) + " already, by interface " + quoted(by))
                .hint("give the guest another address, or remove that route");
        }
    }
    return {};
}

} // namespace

Status checkCards(const std::vector<Nic> &come, const std::vector<Nic> &gone, const Lent &lent)
{
    const bool plain = std::ranges::all_of(come, [](const Nic &card) { return card.parent.empty() && card.addresses.empty() && card.routes.empty(); });
    const std::vector<netlink::Link> links = plain ? std::vector<netlink::Link>() : TRY(netlink::links());
    const std::vector<netlink::Route> routes = plain ? std::vector<netlink::Route>() : TRY(netlink::routes());
    for (const Nic &card : come) {
        const std::string place = "device " + quoted(card.device);
        if (std::ranges::find(gone, card.hostName, &Nic::hostName) == gone.end())
            TRY_IN(place, checkHostName(card));
        const bool comesBack = std::ranges::any_of(gone, [&](const Nic &old) {
            return &old != &card && old.kind == Nic::Kind::Physical && old.parent == card.parent;
        });
        if (!comesBack)
            TRY_IN(place, checkParent(card, links, lent));
        TRY_IN(place, checkMtu(card, links));
        TRY_IN(place, checkForwarding(card));
        TRY_IN(place, checkRoutes(card, routes, gone));
    }
    return {};
}

Status Manager::filterNics(const InstanceKey &key, const std::vector<NicPlan> &nics)
{
    std::vector<network::PortFilter> filters;
    std::vector<Nic> cards;
    for (const NicPlan &nic : nics) {
        if (!nic.filter.empty())
            filters.push_back(nic.filter);
        cards.push_back(nic.card);
    }
    TRY(m_s.networks.setVlans(key.project + "/" + key.name, vlansOf(cards)));
    TRY(m_s.networks.setFilters(key.project + "/" + key.name, filters));
    for (const NicPlan &nic : nics)
        if (nic.card.hasVlans())
            TRY_IN("device " + quoted(nic.card.device), network::keepVlansApart(nic.card.bridge, !nic.network.empty()));
    return {};
}

std::vector<VlanUse> vlansOf(const std::vector<Nic> &cards)
{
    std::vector<VlanUse> uses;
    for (const Nic &card : cards)
        if (const auto vlan = vlanOf(card))
            uses.push_back({card.device, *vlan, card.kind == Nic::Kind::Physical});
    return uses;
}

Status Manager::adoptNics(const InstanceKey &key, const Result<config::Effective> &now)
{
    const spec::LaunchSpec running = TRY(spec::readLaunchSpec(m_s.paths.instanceRunDir(key.project, key.name)));
    m_s.networks.adoptVlans(key.project + "/" + key.name, vlansOf(running.nics));
    if (!now)
        return now.error();
    std::vector<NicPlan> nics = TRY(planNics(*now));
    for (const Nic &card : running.nics) // a change may not have come into force
        if (!card.vlanOf.empty())
            nics.push_back({card, {}, {}, {}, {}});
    return filterNics(key, nics);
}

Lent Manager::lentCards(const config::Effective &effective)
{
    const bool looks = std::ranges::any_of(effective.devices, [](const config::Device &device) {
        const auto *nic = device.as<config::NicDevice>();
        return device.as<config::InfinibandDevice>() || (nic && (nic->kind() == config::NicKind::Physical || nic->isVirtual()));
    });
    Lent lent;
    if (!looks)
        return lent;
    for (const auto &[key, guest] : m_running->all())
        if (const auto spec = spec::readLaunchSpec(m_s.paths.instanceRunDir(key.project, key.name)))
            for (const Nic &card : spec->nics)
                if (card.kind == Nic::Kind::Physical)
                    lent[card.parent] = key.name;
    return lent;
}

namespace
{

/// Of a guest that runs: it keeps its function where the device is still one of the same card.
bool isKept(const DeviceMap &before, const config::Device &device)
{
    const auto old = before.find(device.name);
    const StringMap now = config::formatDevice(device);
    return old != before.end() && std::ranges::all_of(std::array{"type", "nictype", "parent"}, [&](const char *key) {
               return valueOf(old->second, key) == valueOf(now, key);
           });
}

} // namespace

Result<StringMap> Manager::chooseFunctions(const config::Effective &wanted, const DeviceMap &before, std::set<std::string> &taken)
{
    StringMap chosen;
    const Lent lent = lentCards(wanted);
    for (const config::Device &device : wanted.devices)
        if (const std::string own = lentInterface(device, {}); !own.empty())
            taken.insert(own);
    for (const config::Device &device : wanted.devices) {
        const std::string *const parentName = parentOfFunction(device);
        if (parentName == nullptr || isKept(before, device))
            continue;
        const std::string place = "device " + quoted(device.name), &parent = *parentName;
        const std::vector<std::string> all = TRY_IN(place, virtualFunctions(device, m_s.paths));
        const auto free = std::ranges::find_if(all, [&](const std::string &each) { return !lent.contains(each) && !taken.contains(each); });
        if (free == all.end())
            return Error(Code::WrongState, place + ": no virtual function of " + quoted(parent) + " is free")
                .hint("make more (/sys/class/net/" + parent + "/device/sriov_numvfs), or stop an instance that has one");
        taken.insert(*free);
        chosen["volatile." + device.name + ".host_name"] = *free;
    }
    return chosen;
}

} // namespace lxmgr::instances
