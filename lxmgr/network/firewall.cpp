#include "network/firewall.h"

#include "base/text.h"
#include "kernel/netlink_message.h"

#include <algorithm>
#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <memory>
#include <nftables/libnftables.h>

namespace lxmgr::network::firewall
{

namespace
{

using Context = std::unique_ptr<nft_ctx, decltype(&::nft_ctx_free)>;

/// A context holds a socket of the namespace it is made in, so it is not kept.
Result<std::string> run(const std::string &commands)
{
    const Context context(::nft_ctx_new(NFT_CTX_DEFAULT), &::nft_ctx_free);
    if (!context || ::nft_ctx_buffer_output(context.get()) != 0 || ::nft_ctx_buffer_error(context.get()) != 0)
        return Error(Code::Internal, "nftables: no context could be made");
    if (::nft_run_cmd_from_buffer(context.get(), commands.c_str()) != 0)
        return Error(Code::Internal, "nftables: " + escaped(trimmed(::nft_ctx_get_error_buffer(context.get()))));
    return std::string(::nft_ctx_get_output_buffer(context.get()));
}

/// A name in quotes: checkLinkName() let nothing in that could end them.
std::string interfaceText(const std::string &bridge) { return "\"" + bridge + "\""; }

std::string familyRules(const std::string &chain, const std::string &bridge, const BridgeConfig &config)
{
    std::string text;
    for (const auto &[family, protocol, ports] :
         {std::tuple{&config.ipv4, "ipv4", "53, 67"}, {&config.ipv6, "ipv6", "53, 547"}}) {
        if (!family->address || !family->firewall)
            continue;
        const std::string from = "  iifname " + interfaceText(bridge) + " meta nfproto " + protocol;
        if (chain == "input")
            text += from + " udp dport { " + ports + " } accept\n" + from + " tcp dport 53 accept\n";
        else if (family->routing)
            text += from + " accept\n  oifname " + interfaceText(bridge) + " meta nfproto " + protocol + " accept\n";
        else // Guests of this bridge among themselves do not pass here.
            text += from + " reject\n  oifname " + interfaceText(bridge) + " meta nfproto " + protocol + " reject\n";
    }
    return text;
}

std::string natRules(const BridgeConfig &config)
{
    std::string text;
    for (const auto &[family, word] : {std::pair{&config.ipv4, "ip"}, {&config.ipv6, "ip6"}})
        if (family->address && family->nat) {
            const std::string subnet = subnetText(*family->address);
            text += std::string("  ") + word + " saddr " + subnet + " " + word + " daddr != " + subnet + " masquerade\n";
        }
    return text;
}

std::string chain(const std::string &name, const std::string &type, const std::string &body)
{
    return body.empty() ? "" : " chain " + name + " {\n  type " + type + "; policy accept;\n" + body + " }\n";
}

} // namespace

std::string tableName(const std::string &bridge)
{
    std::string name = "lxmgr_";
    for (const char c : bridge) {
        const auto byte = static_cast<unsigned char>(c);
        name += std::isalnum(byte) ? std::string(1, c) : "_" + toHex({&byte, 1});
    }
    return name;
}

std::string rules(const std::string &bridge, const BridgeConfig &config)
{
    const std::string table = "table inet " + tableName(bridge);
    // Made, so that it can be deleted, so that it can be made: one transaction, whatever was there.
    return "add " + table + "\ndelete " + table + "\n" + table + " {\n" +
           chain("input", "filter hook input priority filter", familyRules("input", bridge, config)) +
           chain("forward", "filter hook forward priority filter", familyRules("forward", bridge, config)) +
           chain("postrouting", "nat hook postrouting priority srcnat", natRules(config)) + "}\n";
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

Status apply(const std::string &bridge, const BridgeConfig &config)
{
    Result<std::string> done = run(rules(bridge, config));
    if (done)
        return {};
    TRY(checkSupport());
    return std::move(done.error());
}

Status remove(const std::string &bridge)
{
    const std::string table = "table inet " + tableName(bridge);
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

std::vector<ForeignDrop> foreignDrops(const std::string &listing)
{
    std::vector<ForeignDrop> found;
    ForeignDrop at;
    for (const std::string &line : split(listing, '\n')) {
        const std::vector<std::string> parts = words(line);
        const auto after = [&](std::string_view word) {
            const auto place = std::ranges::find(parts, word);
            return parts.end() - place > 1 ? place[1] : std::string();
        };
        if (parts.size() >= 3 && parts[0] == "table")
            at.table = parts[1] + " " + parts[2];
        else if (parts.size() >= 2 && parts[0] == "chain")
            at.chain = parts[1];
        at.hook = after("hook");
        if ((at.hook == "forward" || at.hook == "input") && after("policy") == "drop;" &&
            at.table.find(" lxmgr_") == std::string::npos)
            found.push_back(at);
    }
    return found;
}

} // namespace lxmgr::network::firewall
