// One nftables table of ours per bridge, replaced as a whole in one transaction; other people's tables are only read.
#pragma once

#include "base/result.h"
#include "network/config.h"

#include <string>
#include <vector>

namespace lxmgr::network::firewall
{

/// The table's name: "lxmgr_" and the bridge's, other bytes than letters and digits as _xx.
std::string tableName(const std::string &bridge);
/// The whole transaction as nft(8) text, made of checked values only.
std::string rules(const std::string &bridge, const BridgeConfig &config);

/// Unsupported where this kernel cannot do what our rules ask for.
Status checkSupport();
/// Puts the rules in force. Unsupported as above.
Status apply(const std::string &bridge, const BridgeConfig &config);
/// A missing table is fine.
Status remove(const std::string &bridge);
/// A number that changes with every change to any table of this namespace; 0 when the kernel does not say.
std::uint32_t generation();

/// A chain that is not ours and drops what no rule of its own accepts.
struct ForeignDrop {
    std::string table; ///< "ip filter"
    std::string chain;
    std::string hook; ///< "forward", "input"
};
/// What `nft list chains` prints → the foreign dropping chains.
std::vector<ForeignDrop> foreignDrops(const std::string &listing);
Result<std::string> listChains();

} // namespace lxmgr::network::firewall
