// What keeps guests from something although all of ours is in place, or because it is not.
#include "base/text.h"
#include "kernel/files.h"
#include "kernel/program.h"
#include "network/config.h"
#include "network/dnsmasq.h"
#include "network/firewall.h"
#include "network/foreign.h"

#include <algorithm>
#include <linux/if.h>
#include <sys/socket.h>

namespace lxmgr::network
{

namespace
{

std::string sysctl(const std::string &name)
{
    const Result<std::string> text = files::read("/proc/sys/net/" + name, 64);
    return text ? std::string(trimmed(*text)) : "";
}

/// The end of what the server had to say.
std::string lastWords(const Network &network)
{
    const Result<std::string> log = files::read(network.directory + "/dnsmasq.log");
    const std::vector<std::string> lines = split(trimmed(log ? *log : ""), '\n');
    return lines.empty() || lines.back().empty() ? "" : "; its last words: " + escaped(lines.back().substr(0, 200));
}

class Doctor
{
public:
    Doctor(const Network &network, const BridgeConfig &config) : m_network(network), m_config(config) {}

    std::vector<Problem> examine()
    {
        bridge();
        if (m_link) {
            server();
            ports();
            ranges();
            forwarding();
            reversePath();
        }
        rules();
        return std::move(m_found);
    }

private:
    void add(const std::string &what, const std::string &cause, const std::string &cure) { m_found.push_back({what, cause, cure}); }

    void bridge()
    {
        const std::string &name = m_network.name;
        Result<netlink::Link> link = netlink::link(name);
        if (!link) {
            add("guests have no network", "the bridge " + quoted(name) + " does not exist; it is made when a guest on it starts",
                "start an instance on it, or: lxmgr network set " + name + " user.touched=1");
            return;
        }
        m_link = std::move(*link);
        if (m_link->kind != "bridge")
            add("guests have no network", quoted(name) + " is no bridge but an interface of somebody else", "ip link delete " + name);
        else if (!(m_link->flags & IFF_UP))
            add("guests have no network", "the bridge " + quoted(name) + " is down", "ip link set " + name + " up");
        for (const FamilyConfig *family : {&m_config.ipv4, &m_config.ipv6})
            if (family->address && std::ranges::none_of(m_link->addresses, [&](const auto &own) { return own.bytes == family->address->bytes; }))
                add("guests have no router and no name server", "the bridge lost its address " + family->address->text(),
                    "ip addr add " + family->address->text() + "/" + std::to_string(family->address->prefix) + " dev " + name);
    }

    void server()
    {
        if ((!m_config.ipv4.address && !m_config.ipv6.address) || dnsmasq::isRunning(m_network))
            return;
        const Status there = dnsmasq::checkProgram();
        add("guests get no address and no names", there ? "no dnsmasq runs for the bridge" + lastWords(m_network) : there.error().message,
            there ? "start an instance on it; where port 53 or 67 is in use, end its user: ss -lntup 'sport = 53 or sport = 67'"
                  : "apt-get install dnsmasq-base");
    }

    void ports()
    {
        for (const std::string &name : m_config.externalInterfaces)
            if (!netlink::linkExists(name))
                add("the network behind " + quoted(name) + " is out of reach", "there is no interface " + quoted(name) + " on this host",
                    "lxmgr network unset " + m_network.name + " bridge.external_interfaces");
        if (m_link->mtu != m_config.mtu)
            add("large packets get lost", "the bridge's mtu is " + std::to_string(m_link->mtu) + " and not " + std::to_string(m_config.mtu),
                "ip link set " + m_network.name + " mtu " + std::to_string(m_config.mtu));
        const Result<std::vector<netlink::Link>> links = netlink::links();
        const Result<std::vector<netlink::Route>> routes = netlink::routes();
        for (const netlink::Link &link : links ? *links : std::vector<netlink::Link>()) {
            if (link.master == m_link->index && link.mtu != m_config.mtu)
                add("large packets get lost", "port " + quoted(link.name) + " has an mtu of " + std::to_string(link.mtu) + ", the bridge one of " +
                        std::to_string(m_config.mtu), "restart the instance, or give its nic mtu=" + std::to_string(m_config.mtu));
            const bool way = routes && std::ranges::any_of(*routes, [&](const netlink::Route &route) {
                return route.destination.prefix == 0 && route.linkIndex == link.index && route.gateway.bytes.size() > 0;
            });
            if (way && link.mtu < m_config.mtu)
                add("large packets to the outside may get lost", "the way out, " + quoted(link.name) + ", has an mtu of " + std::to_string(link.mtu) +
                        ", the bridge one of " + std::to_string(m_config.mtu), "lxmgr network set " + m_network.name + " bridge.mtu=" + std::to_string(link.mtu));
        }
    }

    void ranges()
    {
        const Result<std::vector<netlink::Route>> routes = netlink::routes();
        for (const netlink::Route &route : routes ? *routes : std::vector<netlink::Route>())
            for (const FamilyConfig *family : {&m_config.ipv4, &m_config.ipv6})
                if (family->address && route.linkIndex != m_link->index && route.linkIndex != 0 && route.type == 1 /* unicast */ &&
                    route.destination.family == family->address->family && route.destination.prefix >= family->address->prefix &&
                    overlap(*family->address, route.destination))
                    add("some guests cannot be reached", "their range " + subnetText(*family->address) + " overlaps with the route to " +
                            route.destination.text() + "/" + std::to_string(route.destination.prefix) + " by " + quoted(netlink::linkName(route.linkIndex)),
                        std::string("lxmgr network set ") + m_network.name + (family == &m_config.ipv4 ? " ipv4" : " ipv6") + ".address=auto");
    }

    void forwarding()
    {
        if (m_config.ipv4.address && m_config.ipv4.routing) {
            if (sysctl("ipv4/ip_forward") == "0")
                add("guests reach no farther than the host by IPv4", "IPv4 forwarding is off", "sysctl -w net.ipv4.ip_forward=1");
            else if (sysctl("ipv4/conf/" + m_network.name + "/forwarding") == "0")
                add("guests reach no farther than the host by IPv4", "IPv4 forwarding is off for the bridge",
                    "sysctl -w net.ipv4.conf." + m_network.name + ".forwarding=1");
        }
        if (m_config.ipv6.address && m_config.ipv6.routing && sysctl("ipv6/conf/all/forwarding") == "0")
            add("guests reach no farther than the host by IPv6", "IPv6 forwarding is off", "sysctl -w net.ipv6.conf.all.forwarding=1");
        if (m_config.ipv6.address && sysctl("ipv6/conf/" + m_network.name + "/disable_ipv6") == "1")
            add("guests have no IPv6", "IPv6 is switched off for the bridge", "sysctl -w net.ipv6.conf." + m_network.name + ".disable_ipv6=0");
    }

    /// Strict filtering drops answers that come in by another way than the one that leads to their sender.
    void reversePath()
    {
        const Result<std::vector<netlink::Route>> routes = netlink::routes();
        std::vector<std::string> ways;
        for (const netlink::Route &route : routes ? *routes : std::vector<netlink::Route>())
            if (route.destination.family == AF_INET && route.destination.prefix == 0 && route.linkIndex != 0)
                ways.push_back(netlink::linkName(route.linkIndex));
        std::ranges::sort(ways);
        ways.erase(std::unique(ways.begin(), ways.end()), ways.end());
        for (const std::string &way : ways)
            if (ways.size() > 1 && (sysctl("ipv4/conf/all/rp_filter") == "1" || sysctl("ipv4/conf/" + way + "/rp_filter") == "1") &&
                sysctl("ipv4/conf/" + way + "/rp_filter") != "2")
                add("answers from outside may get lost", "there are several ways out (" + join(ways, ", ") + "), and " + quoted(way) +
                        " takes only what would leave by it (rp_filter)", "sysctl -w net.ipv4.conf." + way + ".rp_filter=2");
    }

    std::string remedy(const foreign::Chain &chain) const
    {
        const std::string &bridge = m_network.name;
        const bool forward = chain.hook == "forward";
        if (chain.table == "firewalld")
            return "firewall-cmd --permanent --zone=trusted --add-interface=" + bridge + " && firewall-cmd --reload";
        if (chain.family != "inet" && chain.table == "filter") {
            const std::string program = chain.family == "ip" ? "iptables" : "ip6tables";
            return forward ? program + " -I " + chain.name + " -i " + bridge + " -j ACCEPT; " + program + " -I " + chain.name + " -o " + bridge + " -j ACCEPT"
                           : program + " -I " + chain.name + " -i " + bridge + " -j ACCEPT";
        }
        const std::string rule = "nft insert rule " + chain.title();
        return rule + " iifname " + bridge + " accept" + (forward ? "; " + rule + " oifname " + bridge + " accept" : "");
    }

    void rules()
    {
        if (const Status able = firewall::checkSupport(); !able) {
            add("guests reach each other and the host, nothing beyond", able.error().message, "boot a kernel that has it (nft_masq, nft_chain_nat)");
            return;
        }
        const Result<foreign::Outcome> others = foreign::open(m_network.name, m_config, foreign::Act::Look);
        if (!others) {
            add("firewall rules of others are unknown", others.error().message, "run this as root");
            return;
        }
        for (const foreign::Closed &closed : others->closed)
            add(closed.chain.hook == "forward" ? "what guests send beyond the host is dropped" : "what guests ask of the host (addresses, names) is dropped",
                "chain " + quoted(closed.chain.name) + " of table " + quoted(closed.chain.family + " " + closed.chain.table) +
                    " lets nothing of the bridge through; lxmgr could not, or has not yet, put its rules there",
                remedy(closed.chain));
        legacy();
    }

    /// The older iptables has tables of its own, which nftables does not show.
    void legacy()
    {
        for (const auto &[names, name] : {std::pair{"/proc/net/ip_tables_names", "iptables-legacy"}, {"/proc/net/ip6_tables_names", "ip6tables-legacy"}}) {
            const Result<std::string> tables = files::read(names, 4096);
            const Result<std::string> program = tables && tables->find("filter") != std::string::npos ? program::find(name) : Error();
            if (!program)
                continue;
            for (const char *chain : {"FORWARD", "INPUT"}) {
                const Result<program::Output> said = program::run({*program, "-S", chain}, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, program::Errors::Drop);
                if (!said || said->text.find(std::string("-P ") + chain + " DROP") == std::string::npos ||
                    said->text.find("-i " + m_network.name + " -j ACCEPT") != std::string::npos)
                    continue;
                const std::string open = std::string(name) + " -I " + chain;
                add(chain == std::string_view("FORWARD") ? "what guests send beyond the host is dropped"
                                                         : "what guests ask of the host (addresses, names) is dropped",
                    std::string("chain ") + quoted(chain) + " of the older iptables drops what no rule lets through",
                    open + " -i " + m_network.name + " -j ACCEPT; " + open + " -o " + m_network.name + " -j ACCEPT");
            }
        }
    }

    const Network &m_network;
    const BridgeConfig &m_config;
    std::optional<netlink::Link> m_link;
    std::vector<Problem> m_found;
};

} // namespace

std::vector<Problem> diagnose(const Network &network)
{
    const Result<BridgeConfig> config = parseConfig(network.config);
    if (!config)
        return {{"the network cannot be brought up", config.error().message, "lxmgr network edit " + network.name}};
    return Doctor(network, *config).examine();
}

} // namespace lxmgr::network
