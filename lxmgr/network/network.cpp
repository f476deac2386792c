#include "network/network.h"

#include "base/text.h"
#include "base/undo.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "kernel/netlink_tunnels.h"
#include "kernel/netlink_vlans.h"
#include "network/config.h"
#include "network/dnsmasq.h"
#include "network/firewall.h"
#include "network/foreign.h"

#include <algorithm>
#include <functional>
#include <linux/if.h>
#include <map>
#include <mutex>
#include <sys/socket.h>
#include <unistd.h>

namespace lxmgr::network
{

namespace
{

// Sysctls

std::string sysctlPath(const std::string &name) { return "/proc/sys/net/" + name; }

bool sysctlIs(const std::string &name, std::string_view value)
{
    const Result<std::string> text = files::read(sysctlPath(name), 64);
    return text && trimmed(*text) == value;
}

Status setSysctl(const std::string &name, const std::string &value)
{
    if (sysctlIs(name, value)) // Writing ip_forward again would reset every interface's own settings.
        return {};
    return files::put(sysctlPath(name), value);
}

// Link

/// Told to everybody on the bridge (arp_notify, ndisc_notify): those who run would send to the old one else.
Status changeMac(const std::string &name, const std::string &mac)
{
    for (const std::string &family : {std::string("ipv4/conf/") + name + "/arp_notify", "ipv6/conf/" + name + "/ndisc_notify"})
        if (::access(sysctlPath(family).c_str(), F_OK) == 0)
            TRY(setSysctl(family, "1"));
    return netlink::setMac(name, mac);
}

/// The same after every boot, so that guests' neighbour tables stay right; locally administered.
std::string derivedMac(const Network &network)
{
    std::uint64_t hash = 14695981039346656037U; // FNV-1a
    const auto mix = [&](const std::string &text) {
        for (const char c : text)
            hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
    };
    mix(network.name);
    for (const char *key : {"ipv4.address", "ipv6.address"})
        if (const auto found = network.config.find(key); found != network.config.end())
            mix(found->second);
    const unsigned char tail[] = {static_cast<unsigned char>(hash >> 40), static_cast<unsigned char>(hash >> 24),
                                  static_cast<unsigned char>(hash >> 8)};
    const std::string hex = toHex(tail);
    return "0a:16:3e:" + hex.substr(0, 2) + ":" + hex.substr(2, 2) + ":" + hex.substr(4, 2);
}

Status ensureLink(const Network &network, const BridgeConfig &config)
{
    const std::string mac = config.mac.empty() ? derivedMac(network) : config.mac;
    Result<netlink::Link> found = netlink::link(network.name);
    if (!found && found.error().code != Code::NotFound)
        return std::move(found.error());
    if (!found)
        return netlink::createBridge({network.name, mac, config.mtu});
    if (found->kind != "bridge")
        return Error(Code::AlreadyExists, "Network interface " + quoted(network.name) + " exists and is no bridge")
            .hint("choose another network name");
    if (found->mtu != config.mtu)
        TRY(netlink::setMtu(network.name, config.mtu));
    // Without a wish it keeps the one it has: guests have it in their neighbour tables.
    return config.mac.empty() || config.mac == found->mac ? Status() : changeMac(network.name, config.mac);
}

/// A port of ours brings no address along: the host would answer for it on the wrong link.
Status checkPort(const std::string &bridge, const std::string &name)
{
    const Result<netlink::Link> link = netlink::link(name);
    if (!link)
        return Error(link.error().code, "bridge.external_interfaces: there is no interface " + quoted(name) + " on this host");
    const std::string master = link->master == 0 ? "" : netlink::linkName(link->master);
    if (!master.empty() && master != bridge)
        return Error(Code::Invalid, "bridge.external_interfaces: " + quoted(name) + " is a port of " + quoted(master) + " already");
    if (link->kind == "bridge" || (link->flags & IFF_LOOPBACK))
        return Error(Code::Invalid, "bridge.external_interfaces: " + quoted(name) + " cannot be a port of a bridge");
    for (const netlink::Address &address : link->addresses)
        if (address.scopeName() == "global")
            return Error(Code::Invalid, "bridge.external_interfaces: " + quoted(name) + " has the address " + quoted(address.text()))
                .hint("take it away first, or give it to the bridge: ipv4.address, ipv6.address");
    return {};
}

/// One that is not there is passed over: a card that was pulled out must not keep the guests from starting.
Status ensurePorts(const Network &network, const BridgeConfig &config)
{
    for (const std::string &name : config.externalInterfaces) {
        if (!netlink::linkExists(name))
            continue;
        TRY(checkPort(network.name, name));
        if (netlink::linkName(TRY(netlink::link(name)).master) != network.name)
            TRY(netlink::setMaster(name, network.name));
        TRY(netlink::setUp(name));
    }
    return {};
}

/// Ours and no others; link-local ones are the kernel's.
Status ensureAddresses(const Network &network, const BridgeConfig &config)
{
    const netlink::Link link = TRY(netlink::link(network.name));
    const auto wanted = [&](const netlink::Address &address) {
        const std::optional<netlink::Address> &own = config.family(address.family).address;
        return own && own->bytes == address.bytes && own->prefix == address.prefix;
    };
    for (const netlink::Address &address : link.addresses)
        if (address.scopeName() == "global" && !wanted(address))
            TRY(netlink::deleteAddress(network.name, address));
    for (const FamilyConfig *family : {&config.ipv4, &config.ipv6})
        if (family->address)
            TRY(netlink::addAddress(network.name, *family->address));
    return {};
}

// Tunnels

std::string tunnelLink(const std::string &bridge, const std::string &name) { return bridge + "-" + name; }

Status createTunnel(const std::string &link, const Tunnel &tunnel)
{
    if (tunnel.protocol == "gre")
        return netlink::createGre({link, *tunnel.local, *tunnel.remote});
    return netlink::createVxlan({link, tunnel.id, tunnel.remote ? *tunnel.remote : *tunnel.group, tunnel.local, tunnel.interface, tunnel.port, tunnel.ttl});
}

/// One that is there is as it was made: a changed one is taken away first (releaseInterfaces).
Status ensureTunnels(const Network &network, const BridgeConfig &config)
{
    for (const auto &[name, tunnel] : config.tunnels) {
        const std::string link = tunnelLink(network.name, name);
        if (!netlink::linkExists(link))
            TRY_IN("tunnel." + name, createTunnel(link, tunnel));
        if (netlink::linkName(TRY(netlink::link(link)).master) != network.name)
            TRY(netlink::setMaster(link, network.name));
        if (TRY(netlink::link(link)).mtu != config.mtu)
            TRY(netlink::setMtu(link, config.mtu));
        TRY(netlink::setUp(link));
    }
    return {};
}

/// Also of a network whose configuration is not known any more.
Status deleteTunnels(const std::string &bridge)
{
    const Result<netlink::Link> own = netlink::link(bridge);
    for (const netlink::Link &link : own ? TRY(netlink::links()) : std::vector<netlink::Link>())
        if (link.master == own->index && (link.kind == "vxlan" || link.kind.ends_with("gretap")) && link.name.starts_with(bridge + "-"))
            TRY(netlink::deleteLink(link.name));
    return {};
}

// VLANs

} // namespace

Status checkVlans(const std::string &bridge, bool managed)
{
    if (!netlink::linkExists(bridge))
        return {};
    const netlink::BridgeFacts facts = TRY(netlink::bridgeFacts(bridge));
    if (!facts.canFilterVlans)
        return Error(Code::Unsupported, "This kernel does not filter a bridge's VLANs (CONFIG_BRIDGE_VLAN_FILTERING), which vlan and "
                                        "vlan.tagged of a card need")
            .hint("give the guests networks of their own");
    if (!managed && !facts.vlanFiltering)
        return Error(Code::WrongState, "bridge " + quoted(bridge) + " does not tell VLANs apart")
            .hint("ip link set " + bridge + " type bridge vlan_filtering 1");
    return {};
}

Status keepVlansApart(const std::string &bridge, bool managed)
{
    TRY(checkVlans(bridge, managed));
    return netlink::linkExists(bridge) && !TRY(netlink::bridgeFacts(bridge)).vlanFiltering ? netlink::filterVlans(bridge) : Status();
}

namespace
{

// Sysctls of the bridge

/// An interface that takes its address from router advertisements stops doing so once the host forwards, unless told 2:
/// the host would lose its own IPv6.
Status keepAdvertisements()
{
    const Fd folder = TRY(path::openFolder(sysctlPath("ipv6/conf")));
    for (const std::string &name : TRY(path::list(folder)))
        if (name != "all" && name != "lo" && sysctlIs("ipv6/conf/" + name + "/accept_ra", "1"))
            TRY(setSysctl("ipv6/conf/" + name + "/accept_ra", "2"));
    return {};
}

/// Before the link goes up and gets addresses.
Status prepareBridgeSysctls(const Network &network, const BridgeConfig &config)
{
    const std::string own = "ipv6/conf/" + network.name;
    if (::access(sysctlPath(own).c_str(), F_OK) != 0)
        return {}; // No IPv6 on this host.
    TRY(setSysctl(own + "/disable_ipv6", config.ipv6.address ? "0" : "1"));
    TRY(setSysctl(own + "/accept_ra", "0")); // A guest could advertise itself as the host's router.
    TRY(setSysctl(own + "/autoconf", "0"));
    return setSysctl(own + "/accept_dad", "0"); // An address on probation cannot be bound.
}

Status ensureForwarding(const BridgeConfig &config)
{
    if (config.ipv4.address && config.ipv4.routing)
        TRY(setSysctl("ipv4/ip_forward", "1"));
    if (!config.ipv6.address || !config.ipv6.routing || sysctlIs("ipv6/conf/all/forwarding", "1"))
        return {};
    TRY(keepAdvertisements());
    return setSysctl("ipv6/conf/all/forwarding", "1");
}

// Firewall

/// Which rules of ours are in force in a namespace as of a generation of its whole rule set: as long as nobody else changed
/// anything, none are sent again. One for all networks, or each would take the others' changes for somebody else's.
struct InForce {
    std::uint32_t generation = 0;
    std::map<std::string, std::string> rules; ///< By network.
};
std::mutex inForceMutex;
std::map<std::string, InForce> inForce;

Status ensureFirewall(const Network &network, const BridgeConfig &config)
{
    const std::string wanted = TRY(firewall::rules(network, config));
    const std::lock_guard lock(inForceMutex);
    InForce &last = inForce[TRY(sys::readlinkat(sys::cwd(), "/proc/thread-self/ns/net"))];
    const std::uint32_t now = firewall::generation();
    if (now == 0 || last.generation != now)
        last.rules.clear();
    if (const auto known = last.rules.find(network.name); known != last.rules.end() && known->second == wanted)
        return {};
    Status applied = firewall::apply(wanted);
    if (!applied && applied.error().code == Code::Unsupported)
        return {}; // Guests reach each other and the host, as diagnose() says; better than no guest at all.
    TRY(std::move(applied));
    const foreign::Outcome others = TRY(foreign::open(network.name, config, foreign::Act::Change));
    const std::uint32_t after = now + 1 + others.transactions;
    if (firewall::generation() != after) { // Somebody changed something meanwhile: looked at the next time.
        last = {};
        return {};
    }
    last.generation = after;
    last.rules[network.name] = wanted;
    return {};
}

/// One transaction of ours: what is known of all others stays known.
Status whileKnown(const std::string &name, const std::string &wanted, const std::function<Status()> &change)
{
    const std::lock_guard lock(inForceMutex);
    InForce &last = inForce[TRY(sys::readlinkat(sys::cwd(), "/proc/thread-self/ns/net"))];
    const std::uint32_t now = firewall::generation();
    if (now == 0 || last.generation != now)
        last.rules.clear();
    if (const auto known = last.rules.find(name); known != last.rules.end() && known->second == wanted)
        return {};
    TRY(change());
    last.generation = firewall::generation() == now + 1 ? now + 1 : 0;
    if (wanted.empty())
        last.rules.erase(name);
    else
        last.rules[name] = wanted;
    return {};
}

bool needsServer(const BridgeConfig &config) { return config.ipv4.address || config.ipv6.address; }

// Reservations: a file each, named as the guest, and a link from its MAC to that name, so that neither way needs a search

/// The leading dot hides it from the server.
std::string macLink(const std::string &mac)
{
    std::string name = ".mac-" + mac;
    std::ranges::replace(name, ':', '-');
    return name;
}

/// The folder, or an empty Fd where nothing was ever reserved.
Result<Fd> openHosts(const Network &network)
{
    Result<Fd> folder = path::openFolder(dnsmasq::hostsFolder(network));
    return !folder && folder.error().errnum == ENOENT ? Result<Fd>(Fd()) : std::move(folder);
}

Result<Reservation> readReservation(const Fd &hosts, const std::string &name)
{
    return dnsmasq::parseHostLine(TRY(files::read(hosts, name, 4096)));
}

Result<std::vector<Reservation>> reservations(const Network &network)
{
    std::vector<Reservation> found;
    const Fd hosts = TRY(openHosts(network));
    for (const std::string &name : hosts ? TRY(path::list(hosts)) : std::vector<std::string>())
        if (Result<Reservation> row = name.starts_with(".") ? Error() : readReservation(hosts, name))
            found.push_back(std::move(*row));
    return found;
}

Status checkFree(const Network &network, const Fd &hosts, const Reservation &wanted)
{
    const Result<Reservation> sameName = readReservation(hosts, wanted.instance);
    if (sameName && sameName->mac != wanted.mac)
        return Error(Code::AlreadyExists,
                     "Instance DNS name " + quoted(wanted.instance) + " already used on network " + quoted(network.name));
    if (wanted.ipv4.empty() && wanted.ipv6.empty())
        return {};
    for (const Reservation &other : TRY(reservations(network)))
        if (other.mac != wanted.mac && ((!wanted.ipv4.empty() && other.ipv4 == wanted.ipv4) ||
                                        (!wanted.ipv6.empty() && other.ipv6 == wanted.ipv6)))
            return Error(Code::AlreadyExists, "The address is reserved for " + quoted(other.instance) + " on network " +
                                                  quoted(network.name));
    return {};
}

/// Of a subnet that the host reaches some other way: packets for one of them would end at the other.
Status checkFree(const std::string &bridge, const netlink::Address &address)
{
    for (const netlink::Link &link : TRY(netlink::links()))
        for (const netlink::Address &other : link.addresses)
            if (link.name != bridge && other.scopeName() == "global" && overlap(address, other))
                return Error(Code::Invalid, quoted(address.text() + "/" + std::to_string(address.prefix)) + " overlaps with " +
                                                other.text() + "/" + std::to_string(other.prefix) + " of interface " + quoted(link.name))
                    .hint("choose another range, or auto for a free one");
    return {};
}

Status removeIfThere(const Fd &folder, const std::string &name)
{
    Status removed = sys::unlinkat(folder, name);
    return !removed && removed.error().errnum == ENOENT ? Status() : std::move(removed);
}

/// Before the file it leads to, so that a crash never leaves a file that nothing leads to.
Status writeMacLink(const Fd &hosts, const Reservation &wanted)
{
    const std::string link = macLink(wanted.mac);
    const Result<std::string> present = sys::readlinkat(hosts, link);
    if (present && *present == wanted.instance)
        return {};
    if (present) // Renamed.
        TRY(removeIfThere(hosts, *present));
    TRY(removeIfThere(hosts, link));
    return sys::symlinkat(wanted.instance, hosts, link);
}

/// The server's group may read it: the folder's.
Status writeHostFile(const Fd &hosts, const std::string &name, const std::string &line)
{
    const Result<std::string> present = files::read(hosts, name, 4096);
    if (present && *present == line + "\n")
        return {};
    const std::string temporary = "." + name; // Not read by the server before it is whole.
    {
        const Fd file = TRY(sys::openat(hosts, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0640));
        TRY(sys::fchown(file, 0, TRY(sys::fstat(hosts)).st_gid));
        TRY(sys::fchmod(file, 0640)); // open(2) obeyed the daemon's umask
        TRY(files::writeAll(file, line + "\n"));
    }
    return sys::renameat2(hosts, temporary, hosts, name);
}

Result<std::vector<dnsmasq::LeaseLine>> leaseLines(const Network &network)
{
    const Result<std::string> text = files::read(dnsmasq::leaseFile(network));
    if (!text && text.error().errnum != ENOENT)
        return text.error();
    return dnsmasq::parseLeases(text ? *text : "");
}

/// Ends the leases of `mac` in its name. Where bridge or server are down they run out by themselves.
Status endLeases(const Network &network, const std::string &mac)
{
    const BridgeConfig config = TRY(parseConfig(network.config));
    if (!config.ipv4.address || !netlink::linkExists(network.name))
        return {};
    for (const dnsmasq::LeaseLine &lease : TRY(leaseLines(network)))
        if (lease.mac == mac && lease.address.find(':') == std::string::npos)
            (void)dnsmasq::releaseLease(network.name, *config.ipv4.address, lease); // see above
    return {};
}

} // namespace

Status checkName(const std::string &name)
{
    TRY(netlink::checkLinkName(name));
    if (!std::isalpha(static_cast<unsigned char>(name.front())))
        return Error(Code::Invalid, "Network name " + quoted(name) + " does not start with a letter");
    if (name == "all" || name == "default") // The folders of settings for every interface are called so.
        return Error(Code::Invalid, "Network name " + quoted(name) + " means every interface to the kernel")
            .hint("choose another name");
    return {};
}

Status validate(const Config &config)
{
    TRY(parseConfig(config));
    return {};
}

Status ensureUp(const Network &network)
{
    TRY(checkName(network.name));
    const BridgeConfig config = TRY(parseConfig(network.config));
    if (config.ipv4.automatic || config.ipv6.automatic)
        return Error(Code::Internal, "An address is still to be chosen"); // withDefaults() does
    TRY(ensureLink(network, config));
    TRY(prepareBridgeSysctls(network, config));
    TRY(ensureAddresses(network, config));
    TRY(netlink::setUp(network.name));
    TRY(ensurePorts(network, config));
    TRY(ensureTunnels(network, config));
    TRY(ensureForwarding(config));
    TRY(ensureFirewall(network, config));
    return needsServer(config) ? dnsmasq::ensureRunning(network, config) : dnsmasq::stop(network);
}

Status ensureRules(const Network &network)
{
    return netlink::linkExists(network.name) ? ensureFirewall(network, TRY(parseConfig(network.config))) : Status();
}

Result<std::string> proxyRules(const std::string &owner, const std::vector<Forward> &forwards, const std::vector<Network> &neighbours)
{
    std::vector<BridgeConfig> configs;
    for (const Network &network : neighbours)
        configs.push_back(TRY(parseConfig(network.config)));
    return firewall::proxyRules(owner, forwards, configs);
}

Status ensureProxies(const std::string &owner, const std::string &rules)
{
    return whileKnown(firewall::proxyTable(owner), rules, [&] { return firewall::apply(rules); });
}

Status removeProxies(const std::string &owner)
{
    return whileKnown(firewall::proxyTable(owner), "", [&] { return firewall::removeTable(firewall::proxyTable(owner)); });
}

Status sweepProxies(const std::set<std::string> &owners)
{
    std::set<std::string> kept;
    for (const std::string &owner : owners)
        kept.insert(firewall::proxyTable(owner));
    const auto tables = firewall::proxyTables();
    for (const std::string &table : tables ? *tables : std::vector<std::string>()) // a kernel that has none lists none
        if (!kept.contains(table))
            TRY(firewall::removeTable(table));
    return {};
}

Status checkHost(const Network &network, const Config &before)
{
    TRY(checkName(network.name));
    const BridgeConfig config = TRY(parseConfig(network.config));
    const BridgeConfig old = TRY(parseConfig(before));
    for (const auto &[family, last, key] : {std::tuple{&config.ipv4, &old.ipv4, "ipv4.address"}, {&config.ipv6, &old.ipv6, "ipv6.address"}})
        if (family->address && !(last->address && *last->address == *family->address))
            TRY_IN(key, checkFree(network.name, *family->address));
    for (const std::string &name : config.externalInterfaces)
        if (std::ranges::find(old.externalInterfaces, name) == old.externalInterfaces.end())
            TRY(checkPort(network.name, name));
    for (const auto &[name, tunnel] : config.tunnels) {
        const std::string link = tunnelLink(network.name, name);
        TRY_IN("tunnel." + name, netlink::checkLinkName(link));
        if (!old.tunnels.contains(name) && netlink::linkExists(link))
            return Error(Code::AlreadyExists, "tunnel." + name + ": network interface " + quoted(link) + " already exists");
        if (!tunnel.interface.empty() && !netlink::linkExists(tunnel.interface))
            return Error(Code::NotFound, "tunnel." + name + ".interface: there is no interface " + quoted(tunnel.interface) + " on this host");
    }
    return config.rawDnsmasq.empty() || config.rawDnsmasq == old.rawDnsmasq ? Status() : dnsmasq::checkLines(config.rawDnsmasq);
}

Status releaseInterfaces(const Network &network, const Config &before)
{
    const BridgeConfig config = TRY(parseConfig(network.config));
    for (const std::string &name : TRY(parseConfig(before)).externalInterfaces) {
        const bool stays = std::ranges::find(config.externalInterfaces, name) != config.externalInterfaces.end();
        const Result<netlink::Link> link = stays ? Error() : netlink::link(name);
        if (link && netlink::linkName(link->master) == network.name)
            TRY(netlink::setMaster(name, ""));
    }
    for (const auto &[name, tunnel] : TRY(parseConfig(before)).tunnels) {
        const auto now = config.tunnels.find(name);
        const std::string link = tunnelLink(network.name, name);
        if ((now == config.tunnels.end() || now->second != tunnel) && netlink::linkExists(link))
            TRY(netlink::deleteLink(link));
    }
    return {};
}

Status tearDown(const Network &network)
{
    TRY(dnsmasq::stop(network));
    TRY(firewall::remove(network.name));
    if (firewall::checkSupport())
        TRY(foreign::close(network.name));
    const Result<netlink::Link> link = netlink::link(network.name);
    if (!link)
        return link.error().code == Code::NotFound ? Status() : Status(link.error());
    TRY(deleteTunnels(network.name));
    if (link->kind != "bridge") // Somebody else's, that took the name meanwhile.
        return {};
    return netlink::deleteLink(network.name);
}

Status checkReservation(const Network &network, const Reservation &wanted)
{
    const BridgeConfig config = TRY(parseConfig(network.config));
    for (const auto &[text, family] : {std::pair{&wanted.ipv4, &config.ipv4}, {&wanted.ipv6, &config.ipv6}}) {
        if (text->empty())
            continue;
        const netlink::Address address = TRY(netlink::parseAddress(*text));
        if (!family->address || !contains(*family->address, address))
            return Error(Code::Invalid, "Address " + quoted(*text) + " is not in a subnet of network " + quoted(network.name))
                .hint(family->address ? "that is " + subnetText(*family->address) : "which has none of that family");
        if (family->address->bytes == address.bytes)
            return Error(Code::Invalid, "Address " + quoted(*text) + " is the bridge's own");
    }
    return {};
}

Status checkGives(const Network &network, int family)
{
    const BridgeConfig config = TRY(parseConfig(network.config));
    const FamilyConfig &of = config.family(family);
    const std::string cure = "; or set the address inside, and keep it to that one with security.ipv" + std::string(family == AF_INET ? "4" : "6") +
                             "_filtering=true";
    if (!of.dhcp)
        return Error(Code::Invalid, "Network " + quoted(network.name) + " gives nobody an address: it has no DHCP")
            .hint("unset ipv" + std::string(family == AF_INET ? "4" : "6") + ".dhcp of the network" + cure);
    if (family == AF_INET6 && !of.stateful)
        return Error(Code::Invalid, "Network " + quoted(network.name) + " gives nobody an IPv6 address: its guests make their own of its prefix")
            .hint("lxmgr network set " + network.name + " ipv6.dhcp.stateful=true" + cure);
    return {};
}

Status reserve(const Network &network, const Reservation &reservation)
{
    Reservation wanted = reservation;
    wanted.mac = TRY(netlink::parseMac(reservation.mac));
    const std::string line = TRY(dnsmasq::hostLine(wanted));
    TRY(checkReservation(network, wanted));
    TRY(dnsmasq::makeFolders(network));
    const Fd hosts = TRY(path::openFolder(dnsmasq::hostsFolder(network)));
    TRY(checkFree(network, hosts, wanted));
    TRY_IN("reserve for " + quoted(wanted.instance), writeMacLink(hosts, wanted));
    TRY_IN("reserve for " + quoted(wanted.instance), writeHostFile(hosts, wanted.instance, line));
    return {};
}

Status release(const Network &network, const std::string &mac)
{
    const std::string key = TRY(netlink::parseMac(mac));
    TRY(endLeases(network, key));
    const Fd hosts = TRY(openHosts(network));
    const Result<std::string> name = hosts ? sys::readlinkat(hosts, macLink(key)) : Error();
    if (!name)
        return {};
    const Result<Reservation> row = readReservation(hosts, *name);
    if (row && row->mac == key)
        TRY(removeIfThere(hosts, *name));
    TRY(removeIfThere(hosts, macLink(key)));
    return dnsmasq::reload(network);
}

Result<std::vector<Lease>> leases(const Network &network)
{
    const BridgeConfig config = TRY(parseConfig(network.config));
    const std::vector<Reservation> known = TRY(reservations(network));
    std::vector<Lease> found;
    const std::string gateway = network.name + ".gw";
    for (const FamilyConfig *family : {&config.ipv4, &config.ipv6})
        if (family->address)
            found.push_back({gateway, "", family->address->text(), Lease::Type::Gateway});
    for (const dnsmasq::LeaseLine &line : TRY(leaseLines(network))) {
        if (std::ranges::any_of(known, [&](const Reservation &row) { return row.ipv4 == line.address || row.ipv6 == line.address; }))
            continue;
        // A lease of DHCPv6 has no MAC address, only the name; one that we did not give is nobody's.
        const auto owner = std::ranges::find_if(known, [&](const Reservation &row) {
            return line.mac.empty() ? row.instance == line.name : row.mac == line.mac;
        });
        found.push_back({owner == known.end() ? "" : owner->instance, owner == known.end() ? line.mac : owner->mac, line.address, Lease::Type::Dynamic});
    }
    for (const Reservation &row : known)
        for (const std::string &address : {row.ipv4, row.ipv6})
            if (!address.empty())
                found.push_back({row.instance, row.mac, address, Lease::Type::Static});
    return found;
}

} // namespace lxmgr::network
