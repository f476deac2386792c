#include "network/foreign.h"

#include "base/text.h"
#include "kernel/sys.h"
#include "network/firewall.h"

#include <algorithm>
#include <array>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lxmgr::network::foreign
{

namespace
{

std::string comment(const std::string &bridge) { return " comment \"lxmgr " + bridge + "\""; }

/// Of firewalld every packet reaches a zone that rejects it, before the end of the chain.
bool isFirewalld(const Chain &chain) { return chain.family == "inet" && chain.table == "firewalld"; }

/// Without "counter packets 1 bytes 2", which is no condition.
std::string_view withoutCounter(std::string_view text)
{
    if (!text.starts_with("counter packets "))
        return text;
    for (int word = 0; word < 5; ++word)
        text.remove_prefix(std::min(text.size(), text.find(' ') == std::string_view::npos ? text.size() : text.find(' ') + 1));
    return text;
}

/// A rule that ends all packets that come to it, or the jump to ufw's chain that says they were.
bool isEnd(const Rule &rule)
{
    const std::string_view text = withoutCounter(rule.text);
    if (text == "drop" || text.starts_with("reject") || text.starts_with("xt target \"REJECT\""))
        return true;
    return text.starts_with("jump ufw") && (text.find("-after-logging-") != std::string_view::npos || text.find("-reject-") != std::string_view::npos);
}

bool isOurs(const Rule &rule, const std::string &bridge) { return rule.text.ends_with(comment(bridge)); }

std::string whereText(const Chain &chain) { return chain.family + " " + chain.table + " " + chain.name; }

/// Names of chains come from others: only such as need no quoting are touched.
bool isPlain(std::string_view name)
{
    return !name.empty() && std::ranges::all_of(name, [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
    });
}

} // namespace

std::vector<Chain> chains(std::string_view listing)
{
    std::vector<Chain> found;
    Chain at;
    for (const std::string &line : split(listing, '\n')) {
        const std::vector<std::string> parts = words(line);
        const auto after = [&](std::string_view word) {
            const auto place = std::ranges::find(parts, word);
            return parts.end() - place > 1 ? place[1] : std::string();
        };
        if (parts.size() >= 3 && parts[0] == "table") {
            at.family = parts[1];
            at.table = parts[2];
        } else if (parts.size() >= 2 && parts[0] == "chain") {
            at.name = parts[1];
        }
        at.hook = after("hook");
        at.drops = after("policy") == "drop;";
        const bool known = at.family == "ip" || at.family == "ip6" || at.family == "inet";
        if (known && after("type") == "filter" && (at.hook == "forward" || at.hook == "input") && !at.table.starts_with("lxmgr_") &&
            isPlain(at.table) && isPlain(at.name))
            found.push_back(at);
    }
    return found;
}

std::vector<Rule> rulesOf(std::string_view listing)
{
    std::vector<Rule> found;
    constexpr std::string_view kHandle = " # handle ";
    for (const std::string &line : split(listing, '\n')) {
        const std::string text(trimmed(line));
        const std::size_t at = text.rfind(kHandle);
        if (at == std::string::npos || text.starts_with("table ") || text.starts_with("chain ") || text.starts_with("type "))
            continue;
        const std::string handle = text.substr(at + kHandle.size());
        if (parseUnsigned(handle))
            found.push_back({text.substr(0, at), handle});
    }
    return found;
}

bool closes(const Chain &chain, const std::vector<Rule> &rules)
{
    return chain.drops || isFirewalld(chain) || std::ranges::any_of(rules, &isEnd);
}

std::vector<std::string> wantedRules(const Chain &chain, const std::string &bridge, const BridgeConfig &config)
{
    std::vector<std::string> wanted;
    const std::string in = "iifname \"" + bridge + "\"", out = "oifname \"" + bridge + "\"", end = " accept" + comment(bridge);
    for (const auto &[family, name, protocol] : {std::tuple{&config.ipv4, "ip", "ipv4"}, {&config.ipv6, "ip6", "ipv6"}}) {
        if (!family->address || !family->firewall || (chain.family != "inet" && chain.family != name))
            continue;
        const std::string of = chain.family == "inet" ? std::string("meta nfproto ") + protocol + " " : "";
        if (chain.hook == "forward") {
            if (family->routing)
                wanted.insert(wanted.end(), {of + in + end, of + out + end});
            continue;
        }
        // One port a rule: iptables shows and keeps these, but not a set.
        const bool six = protocol == std::string_view("ipv6");
        for (const char *what : {"udp dport 53", "tcp dport 53", six ? "udp dport 547" : "udp dport 67"})
            wanted.push_back(of + in + " " + what + end);
        if (six)
            wanted.push_back(of + in + " meta l4proto ipv6-icmp" + end);
    }
    return wanted;
}

std::string changes(const Chain &chain, const std::vector<Rule> &rules, const std::string &bridge, const std::vector<std::string> &wanted)
{
    const auto end = std::ranges::find_if(rules, [](const Rule &rule) { return isEnd(rule); });
    std::vector<std::string> present;
    for (auto rule = rules.begin(); rule != end; ++rule)
        if (isOurs(*rule, bridge))
            present.push_back(rule->text);
    const auto all = std::ranges::count_if(rules, [&](const Rule &rule) { return isOurs(rule, bridge); });
    if (present == wanted && all == static_cast<std::ptrdiff_t>(wanted.size()))
        return "";
    std::string text;
    for (const Rule &rule : rules)
        if (isOurs(rule, bridge))
            text += "delete rule " + whereText(chain) + " handle " + rule.handle + "\n";
    // What guests ask of our own server is let through before anything else; what they send elsewhere only where nobody
    // has said otherwise.
    if (chain.hook == "input" || isFirewalld(chain)) {
        for (auto rule = wanted.rbegin(); rule != wanted.rend(); ++rule)
            text += "insert rule " + whereText(chain) + " " + *rule + "\n";
        return text;
    }
    for (const std::string &rule : wanted)
        text += (end == rules.end() ? "add rule " + whereText(chain) : "insert rule " + whereText(chain) + " handle " + end->handle) +
                " " + rule + "\n";
    return text;
}

namespace
{

/// Whether an administrator of firewalld gave the bridge a zone: what that says counts, whatever it is.
bool hasZone(const Chain &chain, const std::string &bridge)
{
    const Result<std::string> zones = isFirewalld(chain) ? firewall::listChain(chain.family, chain.table, chain.name + "_ZONES") : Error();
    return zones && zones->find("name \"" + bridge + "\" ") != std::string::npos;
}

} // namespace

Result<Outcome> open(const std::string &bridge, const BridgeConfig &config, Act act)
{
    Outcome outcome;
    for (const Chain &chain : chains(TRY(firewall::listChains()))) {
        const Result<std::string> listing = firewall::listChain(chain.family, chain.table, chain.name);
        if (!listing) // Gone meanwhile.
            continue;
        const std::vector<Rule> rules = rulesOf(*listing);
        const bool closing = closes(chain, rules) && !hasZone(chain, bridge);
        const std::string change = changes(chain, rules, bridge, closing ? wantedRules(chain, bridge, config) : std::vector<std::string>());
        if (change.empty())
            continue;
        if (act == Act::Look) {
            if (closing)
                outcome.closed.push_back({chain, ""});
            continue;
        }
        if (const Status changed = firewall::change(change))
            ++outcome.transactions;
        else if (closing)
            outcome.closed.push_back({chain, changed.error().message});
    }
    return outcome;
}

Status close(const std::string &bridge)
{
    TRY(open(bridge, BridgeConfig{}, Act::Change)); // Nothing is wanted of a bridge without addresses.
    return {};
}

// Watch

namespace
{

constexpr int kPause = 100; ///< Milliseconds without a change: a firewall that starts makes many.
constexpr int kMostPauses = 20;

/// Reads what is there. Whether it tells of a change (NFT_MSG_NEWGEN ends each transaction), or of changes lost.
bool drain(const Fd &socket)
{
    constexpr std::uint16_t kNewGeneration = NFNL_SUBSYS_NFTABLES << 8 | 15;
    bool changed = false;
    alignas(nlmsghdr) std::array<char, 65536> buffer;
    for (;;) {
        const ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (size < 0 && errno == ENOBUFS) {
            changed = true;
            continue;
        }
        if (size <= 0)
            return changed;
        auto left = static_cast<unsigned>(size);
        for (auto *row = reinterpret_cast<nlmsghdr *>(buffer.data()); NLMSG_OK(row, left); row = NLMSG_NEXT(row, left))
            changed = changed || row->nlmsg_type == kNewGeneration;
    }
}

} // namespace

Watch::Watch(Fd socket, Fd stop, std::function<void()> changed)
    : m_socket(std::move(socket)), m_stop(std::move(stop)), m_changed(std::move(changed)), m_thread([this] { run(); })
{
}

Watch::~Watch()
{
    const std::uint64_t one = 1;
    if (::write(m_stop.get(), &one, sizeof one) == sizeof one)
        m_thread.join();
}

Result<std::unique_ptr<Watch>> Watch::create(std::function<void()> changed)
{
    Fd socket = TRY(sys::callFd("socket", "netfilter", [] { return ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER); }));
    sockaddr_nl own{};
    own.nl_family = AF_NETLINK;
    own.nl_groups = 1U << (NFNLGRP_NFTABLES - 1);
    TRY(sys::call("bind", "netfilter", [&] { return ::bind(socket.get(), reinterpret_cast<sockaddr *>(&own), sizeof own); }));
    Fd stop = TRY(sys::callFd("eventfd", "netfilter", [] { return ::eventfd(0, EFD_CLOEXEC); }));
    return std::unique_ptr<Watch>(new Watch(std::move(socket), std::move(stop), std::move(changed)));
}

void Watch::run()
{
    std::array<pollfd, 2> wait{pollfd{m_socket.get(), POLLIN, 0}, {m_stop.get(), POLLIN, 0}};
    bool changed = false;
    for (int pauses = 0;;) {
        const int ready = ::poll(wait.data(), wait.size(), changed ? kPause : -1);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0 || wait[1].revents != 0)
            return;
        if (ready > 0)
            changed = drain(m_socket) || changed;
        if (!changed || (ready > 0 && ++pauses < kMostPauses))
            continue;
        changed = false;
        pauses = 0;
        m_changed();
    }
}

} // namespace lxmgr::network::foreign
