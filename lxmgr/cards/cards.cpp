#include "cards/cards.h"

#include "base/text.h"
#include "base/undo.h"
#include "kernel/files.h"
#include "kernel/netlink_cards.h"
#include "kernel/netlink_limits.h"
#include "kernel/netlink_vlans.h"
#include "kernel/sys.h"

#include <algorithm>
#include <fcntl.h>
#include <linux/if.h>
#include <sys/mount.h>
#include <sys/socket.h>

namespace lxmgr::cards
{

namespace
{

using netlink::Address;
using netlink::Link;
using netlink::LinkRoute;
using spec::Nic;

// What a routed guest has for a gateway, the same for all: their links are apart.
constexpr const char *kGateways[] = {"169.254.0.1", "fe80::1"};

std::string gatewayOf(const Nic &card, int family)
{
    const auto isOfFamily = [&](const std::string &text) { return (text.find(':') == std::string::npos) == (family == AF_INET); };
    const auto own = std::ranges::find_if(card.hostAddresses, isOfFamily);
    return own == card.hostAddresses.end() ? kGateways[family == AF_INET ? 0 : 1] : *own;
}

std::string pinOf(const std::string &runDir) { return runDir + "/net"; }

/// Of the namespace itself and not of a process, which may be dead by the time it is needed.
Status pin(const Inside &guest)
{
    const std::string path = pinOf(guest.runDir);
    const Fd file = TRY(sys::open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    const std::string space = "/proc/" + std::to_string(guest.pid) + "/ns/net";
    const struct stat own = TRY(sys::fstat(file)), wanted = TRY(sys::fstatat(sys::cwd(), space, 0)), folder = TRY(sys::fstatat(sys::cwd(), guest.runDir, 0));
    if (own.st_dev == wanted.st_dev && own.st_ino == wanted.st_ino)
        return {};
    if (own.st_dev != folder.st_dev)
        return Error(Code::WrongState, quoted(path) + " still holds the network of an earlier guest, with a card of the host in it")
            .hint("stop the instance; look for the card there (nsenter --net=" + path + " ip link)");
    return sys::mount(space, path, "", MS_BIND);
}

void unpin(const std::string &runDir)
{
    (void)sys::umount2(pinOf(runDir), MNT_DETACH); // EINVAL, ENOENT: there is none
    (void)sys::unlinkat(sys::cwd(), pinOf(runDir));
}

Status setForwarding(const std::string &link, int family)
{
    return files::put(std::string("/proc/sys/net/") + (family == AF_INET ? "ipv4" : "ipv6") + "/conf/" + link + "/forwarding", "1");
}

Result<std::vector<Address>> parsed(const std::vector<std::string> &texts)
{
    std::vector<Address> addresses;
    for (const std::string &text : texts)
        addresses.push_back(TRY(netlink::parseAddress(text)));
    return addresses;
}

/// One in the main table of the host, and one in the card's own where it has one.
std::vector<LinkRoute> inTables(const Nic &card, LinkRoute route)
{
    const std::uint32_t table = route.destination.family == AF_INET ? card.hostTable4 : card.hostTable6;
    std::vector<LinkRoute> all = {route};
    if (table != 0) {
        route.table = table;
        all.push_back(route);
    }
    return all;
}

/// By the guest's own address where that is known.
Result<std::vector<LinkRoute>> hostRoutes(const Nic &card, int index, const Address &subnet)
{
    const std::vector<Address> own = TRY(parsed(card.addresses));
    const auto by = std::ranges::find(own, subnet.family, &Address::family);
    return inTables(card, {index, subnet, by == own.end() ? "" : by->text()});
}

/// Where the host sends to what is behind the card.
const std::string &routeLink(const Nic &card) { return card.bridge.empty() ? card.hostName : card.bridge; }

/// Those on a bridge do not go with the card's end.
Status removeRoutes(const Nic &card, const std::vector<std::string> &routes)
{
    if (card.bridge.empty() || routes.empty() || !netlink::linkExists(card.bridge))
        return {};
    const int index = TRY(netlink::link(card.bridge)).index;
    for (const Address &subnet : TRY(parsed(routes)))
        TRY(netlink::deleteRoute(-1, {index, subnet, ""}));
    return {};
}

/// Routes to what is behind the card. After an error there are none.
Status addHostRoutes(const Nic &card, int index)
{
    const std::vector<Address> own = TRY(parsed(card.addresses));
    for (const Address &address : own) {
        TRY(netlink::addAddress(card.hostName, TRY(netlink::parseAddress(gatewayOf(card, address.family)))));
        TRY(setForwarding(card.hostName, address.family));
        for (const LinkRoute &route : inTables(card, {index, address, ""}))
            TRY(netlink::addRoute(-1, route));
    }
    std::vector<std::string> added;
    Undo undo;
    undo.add("routes", [&] { return removeRoutes(card, added); });
    for (const std::string &route : card.routes) {
        for (const LinkRoute &each : TRY(hostRoutes(card, index, TRY(netlink::parseAddress(route)))))
            TRY(netlink::addRoute(-1, each));
        added.push_back(route);
    }
    undo.keep();
    return {};
}

Status addProxies(const Nic &card)
{
    if (card.parent.empty() || card.kind != Nic::Kind::Veth)
        return {};
    for (const Address &address : TRY(parsed(card.addresses)))
        TRY(netlink::addProxy(card.parent, address));
    return {};
}

Status removeProxies(const Nic &card)
{
    if (card.parent.empty() || card.kind != Nic::Kind::Veth)
        return {};
    for (const Address &address : TRY(parsed(card.addresses)))
        TRY(netlink::deleteProxy(card.parent, address));
    return {};
}

bool wantsGateway(const Nic &card, int family)
{
    return std::ranges::any_of(card.gateways, [&](std::uint32_t each) { return static_cast<int>(each) == family; });
}

/// What DHCP does for the others.
Status configureInside(const Inside &guest, const Nic &card)
{
    if (card.addresses.empty())
        return {};
    const Link link = TRY(netlink::linkIn(guest.netns, card.guestName));
    TRY(netlink::setUpIn(guest.netns, link.index));
    std::vector<int> done;
    for (const Address &address : TRY(parsed(card.addresses))) {
        TRY(netlink::addAddress(guest.netns, link.index, address));
        if (!wantsGateway(card, address.family) || std::ranges::find(done, address.family) != done.end())
            continue;
        done.push_back(address.family);
        const std::string gateway = gatewayOf(card, address.family);
        TRY(netlink::addRoute(guest.netns, {link.index, TRY(netlink::parseAddress(gateway)), ""}));
        Status route = netlink::addRoute(guest.netns, {link.index, {address.family, std::string(address.bytes.size(), '\0'), 0, 0}, gateway});
        if (!route && route.error().errnum == EEXIST)
            return std::move(route.error()).hint(std::string("the guest has one already; set ") +
                                                 (address.family == AF_INET ? "ipv4" : "ipv6") + ".gateway=none");
        TRY(std::move(route));
    }
    return {};
}

/// What its traffic goes through on its way out of the guest, where that is limited. As unique as the name it is made of.
std::string helperOf(const Nic &card)
{
    std::uint64_t hash = nameHash(card.hostName);
    std::string name = "lxq";
    for (int i = 0; i < 12; ++i, hash >>= 5)
        name += "abcdefghijklmnopqrstuvwxyz234567"[hash & 31];
    return name;
}

Status limit(const Nic &card)
{
    TRY(netlink::limitSending(card.hostName, card.ingress));
    return netlink::limitReceiving(card.hostName, helperOf(card), card.egress);
}

Status dropHelper(const Nic &card)
{
    return card.egress == 0 ? Status() : netlink::limitReceiving(card.hostName, helperOf(card), 0);
}

Status deleteVeth(const std::string &hostName)
{
    Status gone = netlink::deleteLink(hostName);
    return !gone && gone.error().code == Code::NotFound ? Status() : gone; // deleted inside: a pair goes together
}

/// Without vlan= a port is of what the bridge gives all of its ports.
Status setVlans(const Nic &card)
{
    const std::uint32_t usual = card.vlan == 0 ? TRY(netlink::bridgeFacts(card.bridge)).vlanDefault : card.vlan;
    return netlink::setPortVlans(card.hostName, {usual == Nic::kNoVlan ? 0 : usual, card.vlans});
}

/// It is in its VLANs before a frame can pass.
Status joinVlans(const Nic &card)
{
    TRY(netlink::setMaster(card.hostName, card.bridge));
    TRY(setVlans(card));
    return netlink::setPortUp(card.hostName);
}

Status createVeth(const Inside &guest, const Nic &card)
{
    netlink::Veth veth;
    veth.hostName = card.hostName;
    veth.peerName = card.guestName;
    veth.peerPid = guest.pid;
    veth.bridge = card.hasVlans() ? "" : card.bridge;
    veth.mac = card.mac;
    veth.mtu = card.mtu;
    if (card.hasVlans() && veth.mtu == 0)
        veth.mtu = TRY(netlink::link(card.bridge)).mtu;
    veth.queueLength = card.queueLength;
    TRY(netlink::createVeth(veth));
    Status joined = card.hasVlans() ? joinVlans(card) : Status();
    if (!joined)
        (void)deleteVeth(card.hostName); // the first error is the one to report
    return joined;
}

/// br_netfilter has the firewall see frames before the bridge does: what it sends on to another address does not come to the host's own
/// stack any more, and a bridge gives no frame back to the port it came by. Elsewhere that stays so: guests need not hear themselves.
bool firewallSeesFrames()
{
    for (const char *call : {"/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"})
        if (const auto text = files::read(call); text && text->starts_with("1"))
            return true;
    return false;
}

Status plugVeth(const Inside &guest, const Nic &card)
{
    TRY(createVeth(guest, card));
    Undo undo;
    undo.add("remove interface", [&] { return deleteVeth(card.hostName); });
    undo.add("proxies", [&] { return removeProxies(card); });
    TRY(configureInside(guest, card));
    if (!card.addresses.empty() || !card.routes.empty())
        TRY(addHostRoutes(card, TRY(netlink::link(routeLink(card))).index));
    undo.add("routes", [&] { return removeRoutes(card, card.routes); });
    TRY(addProxies(card));
    if (card.isolated)
        TRY(netlink::setIsolated(card.hostName, true));
    if (card.hairpin && firewallSeesFrames())
        TRY(netlink::setHairpin(card.hostName, true));
    if (card.egress != 0) { // what a killed monitor left
        TRY(dropHelper(card));
        undo.add("limits", [&] { return dropHelper(card); });
    }
    if (card.ingress != 0 || card.egress != 0)
        TRY_IN("limits", limit(card));
    undo.keep();
    return {};
}

Status plugMacvlan(const Inside &guest, Nic &card)
{
    Status made = netlink::createMacvlan({card.parent, card.guestName, guest.pid, card.mac, card.mtu, card.mode});
    if (!made && (made.error().errnum == EBUSY || made.error().errnum == EINVAL))
        return std::move(made.error()).hint("passthru wants the parent for itself; a bridge's port or another macvlan's parent in passthru has none");
    TRY(std::move(made));
    auto inside = netlink::linkIn(guest.netns, card.guestName);
    card.index = inside ? static_cast<std::uint32_t>(inside->index) : 0;
    return {};
}

Status give(const std::string &name, const Nic &card)
{
    TRY(netlink::setMac(name, card.hostMac));
    TRY(netlink::setMtu(name, card.hostMtu));
    return card.hostUp ? netlink::setUp(name) : Status();
}

/// By its index, or by the name it was put in by where the index is not known (the monitor died in that very moment).
Result<Link> findCard(int netns, const Nic &card)
{
    return card.index ? netlink::linkIn(netns, static_cast<int>(card.index)) : netlink::linkIn(netns, card.guestName);
}

/// From the namespace `netns` to ours.
Status bringBack(int netns, const Nic &card)
{
    const auto inside = findCard(netns, card);
    if (!inside && inside.error().code == Code::NotFound)
        return {}; // it is back, or was taken out of the machine
    if (!inside)
        return inside.error();
    const Fd home = TRY(sys::open("/proc/thread-self/ns/net", O_RDONLY));
    std::string name = card.parent;
    Status moved = netlink::moveLink(netns, inside->index, home.get(), name);
    if (!moved && moved.error().code == Code::AlreadyExists) { // somebody took the name meanwhile: better another than none
        // The kernel moves it first and names it then, where nobody has the name that it has inside.
        name = inside->name;
        if (netlink::linkIn(netns, inside->index))
            TRY(netlink::moveLink(netns, inside->index, home.get(), name = "card" + std::to_string(inside->index)));
        TRY(give(name, card));
        return Error(Code::AlreadyExists, "the host has another interface " + quoted(card.parent) + " by now; this one is called " + quoted(name));
    }
    TRY(std::move(moved));
    return give(name, card);
}

Status plugPhysical(const Inside &guest, Nic &card)
{
    TRY_IN("keep its network namespace", pin(guest));
    const Link link = TRY(netlink::link(card.parent));
    card.hostMac = link.mac;
    card.hostMtu = link.mtu;
    card.hostUp = (link.flags & IFF_UP) != 0;
    if (!card.mac.empty())
        TRY(netlink::setMac(card.parent, netlink::fullAddress(card.mac, link.mac)));
    if (card.mtu)
        TRY(netlink::setMtu(card.parent, card.mtu));
    Status lent = netlink::lendLink(link.index, guest.pid, card.guestName);
    if (!lent) {
        // It may be inside already, under the name it had. The first error is the one to report.
        Nic back = card;
        back.guestName = card.parent;
        (void)(netlink::linkExists(card.parent) ? give(card.parent, card) : bringBack(guest.netns, back));
        return lent;
    }
    auto inside = netlink::linkIn(guest.netns, card.guestName);
    // The guest may have renamed it already.
    card.index = static_cast<std::uint32_t>(inside ? inside->index : link.index);
    return {};
}

Status plugOnce(const Inside &guest, Nic &card)
{
    switch (card.kind) {
    case Nic::Kind::Macvlan:
        return plugMacvlan(guest, card);
    case Nic::Kind::Physical:
        return plugPhysical(guest, card);
    case Nic::Kind::Veth:
        break;
    }
    return plugVeth(guest, card);
}

Status withdrawOne(int netns, const Nic &card)
{
    if (card.kind == Nic::Kind::Physical)
        return netns < 0 ? Status() : bringBack(netns, card); // without a pin it never was inside
    TRY(dropHelper(card));
    TRY(removeRoutes(card, card.routes));
    if (card.kind == Nic::Kind::Veth && card.bridge.empty() && !(card.addresses.empty() && card.routes.empty()))
        TRY(deleteVeth(card.hostName)); // its routes are free for another guest now, not when the kernel gets to the namespace
    return removeProxies(card);
}

Status changeRoutes(const Nic &before, const Nic &after)
{
    const int index = TRY(netlink::link(routeLink(before))).index;
    Nic gone = before, come = after;
    const auto in = [](const std::vector<std::string> &list) {
        return [&list](const std::string &item) { return std::ranges::find(list, item) != list.end(); };
    };
    std::erase_if(gone.routes, in(after.routes));
    std::erase_if(come.routes, in(before.routes));
    for (const Address &subnet : TRY(parsed(gone.routes)))
        for (const LinkRoute &route : TRY(hostRoutes(before, index, subnet)))
            TRY(netlink::deleteRoute(-1, route));
    for (const Address &subnet : TRY(parsed(come.routes)))
        for (const LinkRoute &route : TRY(hostRoutes(after, index, subnet)))
            TRY(netlink::addRoute(-1, route));
    return {};
}

Status retuneOnce(const Nic &before, const Nic &after)
{
    if (before.routes != after.routes)
        TRY(changeRoutes(before, after));
    if (before.isolated != after.isolated)
        TRY(netlink::setIsolated(after.hostName, after.isolated));
    if (before.vlan != after.vlan || before.vlans != after.vlans)
        TRY(setVlans(after));
    if (before.hairpin != after.hairpin)
        TRY(netlink::setHairpin(after.hostName, after.hairpin && firewallSeesFrames()));
    return before.ingress != after.ingress || before.egress != after.egress ? limit(after) : Status();
}

} // namespace

Status retune(const Nic &before, const Nic &after)
{
    Status done = retuneOnce(before, after);
    if (!done) {
        (void)retuneOnce(after, before); // the first error is the one to report
        return done;
    }
    return {};
}

Status plug(const Inside &guest, Nic &card)
{
    Status made = plugOnce(guest, card);
    if (!made && made.error().code == Code::AlreadyExists && !card.hostName.empty() && netlink::linkExists(card.hostName))
        return std::move(made.error()).hint("interface " + quoted(card.hostName) + " is there already, on the host");
    if (!made && made.error().code == Code::AlreadyExists && netlink::linkIn(guest.netns, card.guestName))
        return std::move(made.error()).hint("interface " + quoted(card.guestName) + " is there already, inside");
    return made;
}

Status unplug(const Inside &guest, const Nic &card)
{
    if (card.kind == Nic::Kind::Physical)
        return bringBack(guest.netns, card);
    if (card.kind == Nic::Kind::Macvlan) {
        const auto link = findCard(guest.netns, card);
        if (!link)
            return link.error().code == Code::NotFound ? Status() : Status(link.error());
        return link->kind == "macvlan" ? netlink::deleteLinkIn(guest.netns, link->index) : Status();
    }
    TRY(removeProxies(card));
    TRY(removeRoutes(card, card.routes));
    TRY(dropHelper(card));
    return deleteVeth(card.hostName);
}

Status withdraw(const std::string &runDir, const std::vector<Nic> &cards)
{
    Status first;
    bool held = false;
    {
        struct stat folder {
        };
        Fd netns;
        if (auto opened = sys::open(pinOf(runDir), O_RDONLY | O_CLOEXEC))
            if (::stat(runDir.c_str(), &folder) == 0 && TRY(sys::fstat(*opened)).st_dev != folder.st_dev)
                netns = std::move(*opened);
        for (const Nic &card : cards)
            if (Status done = withdrawOne(netns ? netns.get() : -1, card); !done) {
                held = held || (netns && card.kind == Nic::Kind::Physical && findCard(netns.get(), card));
                if (first)
                    first = std::move(done.error()).in("device " + quoted(card.device));
            }
    }
    if (!held) // a card that could not come back is not given up
        unpin(runDir);
    return first;
}

} // namespace lxmgr::cards
