// What may keep guests off the network although all of ours is in place.
#include "base/text.h"
#include "kernel/files.h"
#include "network/config.h"
#include "network/dnsmasq.h"
#include "network/firewall.h"

#include <algorithm>

namespace lxmgr::network
{

namespace
{

bool switchedOff(const std::string &sysctl)
{
    const Result<std::string> text = files::read("/proc/sys/net/" + sysctl, 64);
    return text && trimmed(*text) == "0";
}

/// Who made a dropping chain, by the names they give, and what opens it for our bridge.
std::string remedy(const std::string &listing, const std::string &bridge, const std::string &hook)
{
    if (listing.find("DOCKER-USER") != std::string::npos && hook == "forward")
        return "Docker did; allow the bridge: iptables -I DOCKER-USER -i " + bridge + " -j ACCEPT; iptables -I DOCKER-USER -o " +
               bridge + " -j ACCEPT";
    if (listing.find("ufw-") != std::string::npos)
        return "ufw did; allow the bridge: " +
               (hook == "forward" ? "ufw route allow in on " + bridge + "; ufw route allow out on " + bridge
                                  : "ufw allow in on " + bridge);
    if (listing.find("firewalld") != std::string::npos)
        return "firewalld did; allow the bridge: firewall-cmd --permanent --zone=trusted --add-interface=" + bridge +
               "; firewall-cmd --reload";
    return "accept packets of interface " + bridge + " there";
}

void diagnoseFirewall(std::vector<std::string> &found, const Network &network)
{
    if (const Status able = firewall::checkSupport(); !able) {
        found.push_back(able.error().message + ": guests reach each other and the host, nothing beyond");
        return;
    }
    const Result<std::string> listing = firewall::listChains();
    if (!listing) {
        found.push_back("The firewall cannot be read: " + listing.error().message);
        return;
    }
    for (const firewall::ForeignDrop &drop : firewall::foreignDrops(*listing))
        found.push_back("Chain " + quoted(drop.chain) + " of table " + quoted(drop.table) + " drops " +
                        (drop.hook == "forward" ? "what guests send beyond the host"
                                                : "what guests ask of the host (addresses, names)") +
                        ": " + remedy(*listing, network.name, drop.hook));
    // firewalld accepts by policy and rejects by rule.
    if (listing->find("table inet firewalld") != std::string::npos)
        found.push_back("firewalld is at work and rejects what no zone lets in: firewall-cmd --permanent --zone=trusted "
                        "--add-interface=" + network.name + "; firewall-cmd --reload");
    const Result<std::string> legacy = files::read("/proc/net/ip_tables_names", 4096);
    if (legacy && !trimmed(*legacy).empty())
        found.push_back("Rules of the older iptables are loaded, which nftables does not show: see iptables-legacy -S");
}

} // namespace

std::vector<std::string> diagnose(const Network &network)
{
    std::vector<std::string> found;
    const Result<BridgeConfig> config = parseConfig(network.config);
    if (!config)
        return {config.error().message};
    if (!netlink::linkExists(network.name))
        found.push_back("The bridge " + quoted(network.name) + " does not exist; it is made when a guest on it starts");
    else if (!dnsmasq::isRunning(network))
        found.push_back("No dnsmasq runs for " + quoted(network.name) + ": guests get no address; see " + network.directory +
                        "/dnsmasq.log");
    if (config->ipv4.address && config->ipv4.routing && switchedOff("ipv4/ip_forward"))
        found.push_back("IPv4 forwarding is off: guests reach no farther than the host (sysctl net.ipv4.ip_forward=1)");
    if (config->ipv6.address && config->ipv6.routing && switchedOff("ipv6/conf/all/forwarding"))
        found.push_back("IPv6 forwarding is off: guests reach no farther than the host (sysctl net.ipv6.conf.all.forwarding=1)");
    diagnoseFirewall(found, network);
    return found;
}

} // namespace lxmgr::network
