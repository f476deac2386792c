#include "network/firewall.h"

#include "base/text.h"
#include "kernel/netlink_message.h"
#include "network/rules.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <memory>
#include <mutex>
#include <nftables/libnftables.h>

namespace lxmgr::network::firewall
{

namespace
{

using Context = std::unique_ptr<nft_ctx, decltype(&::nft_ctx_free)>;

/// A context holds a socket of the namespace it is made in, so it is not kept. One at a time: the library has caches that all
/// contexts share.
std::mutex oneAtATime;
Result<std::string> run(const std::string &commands, unsigned flags = 0)
{
    const std::lock_guard lock(oneAtATime);
    const Context context(::nft_ctx_new(NFT_CTX_DEFAULT), &::nft_ctx_free);
    if (!context || ::nft_ctx_buffer_output(context.get()) != 0 || ::nft_ctx_buffer_error(context.get()) != 0)
        return Error(Code::Internal, "nftables: no context could be made");
    ::nft_ctx_output_set_flags(context.get(), flags);
    if (::nft_run_cmd_from_buffer(context.get(), commands.c_str()) != 0)
        return Error(Code::Internal, "nftables: " + escaped(trimmed(::nft_ctx_get_error_buffer(context.get()))));
    return std::string(::nft_ctx_get_output_buffer(context.get()));
}

/// A name in quotes: checkLinkName() let nothing in that could end them.
std::string interfaceText(const std::string &bridge) { return "\"" + bridge + "\""; }

/// `checked`: the chain "acl" has its say before anything goes on beyond the host.
std::string familyRules(const std::string &chain, const std::string &bridge, const BridgeConfig &config, bool checked)
{
    const std::string in = "  iifname " + interfaceText(bridge), out = "  oifname " + interfaceText(bridge);
    std::string text;
    if (chain == "forward" && (checked || !config.ipv4.routing || !config.ipv6.routing))
        text += in + out.substr(1) + " accept\n"; // br_netfilter brings what guests send each other here.
    for (const auto &[family, protocol, ports] :
         {std::tuple{&config.ipv4, "ipv4", "53, 67"}, {&config.ipv6, "ipv6", "53, 547"}}) {
        if (!family->address)
            continue;
        const std::string of = std::string(" meta nfproto ") + protocol;
        if (chain == "input" && (family->firewall || checked)) // Lists do not keep guests from an address and names.
            text += in + of + " udp dport { " + ports + " } accept\n" + in + of + " tcp dport 53 accept\n";
        else if (chain == "forward" && !family->routing) // Guests of this bridge among themselves do not pass here.
            text += in + of + " reject\n" + out + of + " reject\n";
    }
    if (checked)
        text += (chain == "output" ? "" : in + " jump acl\n") + (chain == "input" ? "" : out + " jump acl\n");
    for (const auto &[family, protocol] : {std::pair{&config.ipv4, "ipv4"}, {&config.ipv6, "ipv6"}})
        if (chain == "forward" && family->address && family->firewall && family->routing)
            text += in + " meta nfproto " + protocol + " accept\n" + out + " meta nfproto " + protocol + " accept\n";
    return text;
}

std::string natRules(const BridgeConfig &config, bool forwards)
{
    std::string text;
    for (const auto &[family, word] : {std::pair{&config.ipv4, "ip"}, {&config.ipv6, "ip6"}})
        if (family->address && family->nat) {
            const std::string subnet = subnetText(*family->address);
            text += std::string("  ") + word + " saddr " + subnet + " " + word + " daddr != " + subnet + " masquerade\n";
        }
    for (const auto &[family, word] : {std::pair{&config.ipv4, "ip"}, {&config.ipv6, "ip6"}})
        if (family->address && forwards) { // A guest that asks for a forward of its own network: the answer has to come back this way.
            const std::string subnet = subnetText(*family->address);
            text += std::string("  ") + word + " saddr " + subnet + " " + word + " daddr " + subnet + " ct status dnat masquerade\n";
        }
    return text;
}

std::string chain(const std::string &name, const std::string &type, const std::string &body)
{
    return body.empty() ? "" : " chain " + name + " {\n  type " + type + "; policy accept;\n" + body + " }\n";
}

} // namespace

std::string tableName(const std::string &owner)
{
    constexpr std::size_t kLongest = 200; // NFT_NAME_MAXLEN is 256
    std::string name = "lxmgr_";
    for (const char c : owner) {
        const auto byte = static_cast<unsigned char>(c);
        name += std::isalnum(byte) ? std::string(1, c) : "_" + toHex({&byte, 1});
    }
    return name.size() <= kLongest ? name : name.substr(0, kLongest) + "_" + std::to_string(nameHash(owner));
}

Result<std::string> rules(const Network &network, const BridgeConfig &config)
{
    const std::string &bridge = network.name;
    const std::string table = "table inet " + tableName(bridge);
    const bool checked = !config.acls.empty();
    const std::string forwards = TRY(forwardRules(network.forwards));
    const std::string lists = checked ? TRY(borderRules(bridge, config, network.acls)) : "";
    // Made, so that it can be deleted, so that it can be made: one transaction, whatever was there.
    return "add " + table + "\ndelete " + table + "\n" + table + " {\n" + (checked ? " chain acl {\n" + lists + " }\n" : "") +
           chain("input", "filter hook input priority filter", familyRules("input", bridge, config, checked)) +
           chain("forward", "filter hook forward priority filter", familyRules("forward", bridge, config, checked)) +
           chain("output", "filter hook output priority filter", checked ? familyRules("output", bridge, config, checked) : "") +
           chain("prerouting", "nat hook prerouting priority dstnat", forwards) +
           chain("localnat", "nat hook output priority -100", forwards) +
           chain("postrouting", "nat hook postrouting priority srcnat", natRules(config, !forwards.empty())) + "}\n";
}

std::string proxyTable(const std::string &owner) { return tableName("proxies:" + owner); }

Result<std::string> proxyRules(const std::string &owner, const std::vector<Forward> &forwards, const std::vector<BridgeConfig> &neighbours)
{
    const std::string table = "table inet " + proxyTable(owner);
    const std::string rules = TRY(forwardRules(forwards));
    std::string back; // One of the same network that asks: the answer has to come back this way.
    for (const BridgeConfig &config : neighbours)
        for (const auto &[family, word] : {std::pair{&config.ipv4, "ip"}, {&config.ipv6, "ip6"}})
            if (family->address) {
                const std::string subnet = subnetText(*family->address);
                back += std::string("  ") + word + " saddr " + subnet + " " + word + " daddr " + subnet + " ct status dnat masquerade\n";
            }
    return "add " + table + "\ndelete " + table + "\n" + table + " {\n" + chain("prerouting", "nat hook prerouting priority dstnat", rules) +
           chain("localnat", "nat hook output priority -100", rules) + chain("postrouting", "nat hook postrouting priority srcnat", back) + "}\n";
}

Result<std::vector<std::string>> proxyTables()
{
    const std::string prefix = proxyTable("");
    std::vector<std::string> found;
    for (const std::string &line : split(TRY(run("list tables inet")), '\n'))
        if (const auto fields = words(line); fields.size() == 3 && fields[2].starts_with(prefix))
            found.push_back(fields[2]);
    return found;
}

Status checkSupport()
{
    // One transaction that leaves nothing, with all that rules() may ask of the kernel.
    const Result<std::string> tried = run("add table inet lxmgr_probe\n"
                                          "add chain inet lxmgr_probe f { type filter hook forward priority filter; }\n"
                                          "add chain inet lxmgr_probe n { type nat hook postrouting priority srcnat; }\n"
                                          "add rule inet lxmgr_probe n ip saddr 192.0.2.0/24 masquerade\n"
                                          "delete table inet lxmgr_probe\n");
    if (tried)
        return {};
    return Error(Code::Unsupported, "This kernel has no nf_tables with masquerade in table inet (Linux 5.2)");
}

Status apply(const std::string &rules)
{
    Result<std::string> done = run(rules);
    if (done)
        return {};
    TRY(checkSupport());
    return std::move(done.error());
}

Status remove(const std::string &bridge) { return removeTable(tableName(bridge)); }

Status removeTable(const std::string &name)
{
    const std::string table = "table inet " + name;
    Result<std::string> done = run("add " + table + "\ndelete " + table + "\n");
    if (!done && checkSupport()) // A kernel that cannot have it has none to remove.
        return std::move(done.error());
    return {};
}

std::uint32_t generation()
{
    constexpr std::uint16_t kGetGeneration = NFNL_SUBSYS_NFTABLES << 8 | 16; // NFT_MSG_GETGEN
    constexpr std::uint16_t kId = 1;                                         // NFTA_GEN_ID, big endian
    Result<netlink::Socket> socket = netlink::Socket::open(-1, NETLINK_NETFILTER);
    std::uint32_t found = 0;
    const auto read = [&](const nlmsghdr &row) {
        found = ntohl(netlink::Attributes<4>(row, sizeof(nfgenmsg)).number<std::uint32_t>(kId));
    };
    if (!socket ||
        !socket->dump(netlink::Message(kGetGeneration, NLM_F_REQUEST | NLM_F_ACK, nfgenmsg{}), "read ruleset generation", read, [] {}))
        return 0;
    return found;
}

Result<std::string> listChains() { return run("list chains"); }

Result<std::string> listChain(const std::string &family, const std::string &table, const std::string &chain)
{
    return run("list chain " + family + " " + table + " " + chain, NFT_CTX_OUTPUT_HANDLE);
}

Status change(const std::string &text)
{
    TRY(run(text));
    return {};
}

} // namespace lxmgr::network::firewall
