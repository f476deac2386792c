// One nftables table of ours per bridge, replaced as a whole in one transaction; other people's tables are only read.
#pragma once

#include "base/result.h"
#include "network/config.h"

#include <string>
#include <vector>

namespace lxmgr::network::firewall
{

/// The table's name: "lxmgr_" and that of the bridge or other owner, other bytes than letters and digits as _xx; of a long one
/// the beginning and a hash.
std::string tableName(const std::string &owner);
/// The whole transaction as nft(8) text, made of checked values only.
Result<std::string> rules(const Network &network, const BridgeConfig &config);

/// Unsupported where this kernel cannot do what our rules ask for.
Status checkSupport();
/// Puts the text of rules() in force. Unsupported as above.
Status apply(const std::string &rules);
/// A missing table is fine.
Status remove(const std::string &bridge);
/// A number that changes with every change to any table of this namespace; 0 when the kernel does not say.
std::uint32_t generation();

/// Of the forwards to one guest; no bridge's table can have its name.
std::string proxyTable(const std::string &owner);
Result<std::string> proxyRules(const std::string &owner, const std::vector<Forward> &forwards, const std::vector<BridgeConfig> &neighbours);
/// Names of the tables that proxyTable() gave.
Result<std::vector<std::string>> proxyTables();
/// By its name; a missing one is fine.
Status removeTable(const std::string &table);

/// As nft(8) prints them: all chains without their rules; one with them and their handles.
Result<std::string> listChains();
Result<std::string> listChain(const std::string &family, const std::string &table, const std::string &chain);
/// One transaction.
Status change(const std::string &text);

} // namespace lxmgr::network::firewall
