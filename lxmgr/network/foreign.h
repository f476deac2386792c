// Firewalls of others. An accept of ours ends nothing: a packet passes every chain at its hook, and Docker, ufw and firewalld
// drop what they do not know. So the chain that would do so gets rules for our bridge, marked by their comment; everything
// else in it stays as it is, and what its owner says by a rule comes before them.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "network/config.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace lxmgr::network::foreign
{

/// A chain that packets of the bridge pass at hook forward or input, and that is not ours.
struct Chain {
    std::string family; ///< ip, ip6, inet
    std::string table, name, hook;
    bool drops = false; ///< By its policy.
    std::string title() const { return family + " " + table + " " + name; }
};
/// What `nft list chains` prints → such chains.
std::vector<Chain> chains(std::string_view listing);

/// A rule as `nft -a list chain` prints it, without its handle.
struct Rule {
    std::string text;
    std::string handle; ///< A number.
};
std::vector<Rule> rulesOf(std::string_view listing);

/// Whether packets that no rule says anything about end here.
bool closes(const Chain &chain, const std::vector<Rule> &rules);
/// The rules that let the bridge's packets through a chain of this kind; none where the configuration wants none.
std::vector<std::string> wantedRules(const Chain &chain, const std::string &bridge, const BridgeConfig &config);
/// The transaction that makes it so; "" where it is.
std::string changes(const Chain &chain, const std::vector<Rule> &rules, const std::string &bridge, const std::vector<std::string> &wanted);

/// One that could not be opened, and the words of the kernel.
struct Closed {
    Chain chain;
    std::string why;
};
struct Outcome {
    std::uint32_t transactions = 0;
    std::vector<Closed> closed;
};
enum class Act { Look, Change };
/// Opens each chain that closes, one transaction a chain; with Act::Look only tells which are closed.
Result<Outcome> open(const std::string &bridge, const BridgeConfig &config, Act act);
/// Takes all rules of the bridge's out of others' chains.
Status close(const std::string &bridge);

/// Calls `changed` on a thread of its own when somebody changed rules of this network namespace, once they paused. Ours too.
class Watch
{
public:
    static Result<std::unique_ptr<Watch>> create(std::function<void()> changed);
    ~Watch();

private:
    Watch(Fd socket, Fd stop, std::function<void()> changed);
    void run();

    Fd m_socket, m_stop;
    std::function<void()> m_changed;
    std::thread m_thread;
};

} // namespace lxmgr::network::foreign
