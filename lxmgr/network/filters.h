// What a guest may send and get, and with what priority: a table of nftables' bridge family and one of inet an instance, replaced
// as a whole in one transaction.
#pragma once

#include "base/result.h"
#include "network/config.h"

#include <cstdint>
#include <string>
#include <vector>

namespace lxmgr::network
{

/// A guest's end on the host, whose frames it lets through and with what priority they go on. It holds before the end is
/// there: no frame is too early for it.
struct PortFilter {
    std::string port;   ///< Interface on the host.
    std::string bridge; ///< That it is a port of; "" for none, where only the priority counts.
    std::string mac;
    std::string ipv4; ///< The one address; "" for any.
    std::string ipv6; ///< The one address beside its link-local one; "" for any.
    bool checksMac = false;
    std::uint32_t priority = 0; ///< Of the kernel's packets (SO_PRIORITY of socket(7)); 0: as it is.
    std::vector<std::string> acls; ///< Names of lists that all has to pass in both directions.
    Otherwise ingress, egress;
    std::vector<Acl> lists;           ///< What `acls` names.
    std::vector<std::string> servers; ///< Addresses that names can be asked for whatever the lists say.
    bool checks() const { return checksMac || !ipv4.empty() || !ipv6.empty(); }
    bool empty() const { return !checks() && priority == 0 && acls.empty(); }
    bool operator==(const PortFilter &) const = default;
};

namespace filters
{

/// Which a transaction speaks of: a kernel without nf_tables for bridges understands no word of those.
enum class Families { Both, Inet };
/// The whole transaction as nft(8) text, made of checked values only. `owner`: "project/instance".
Result<std::string> rules(const std::string &owner, const std::vector<PortFilter> &filters, Families families);
/// Unsupported: this kernel does not know which frames of a bridge are answers.
Status checkBridgeLists();
/// In force, instead of what was. Unsupported where the kernel cannot.
Status apply(const std::string &owner, const std::vector<PortFilter> &filters);
/// Whether the owner's tables for these are there, or for none any: somebody may have flushed all there are, or those of one family.
bool present(const std::string &owner, const std::vector<PortFilter> &filters);
/// One that is not there is fine.
Status remove(const std::string &owner);

} // namespace filters

} // namespace lxmgr::network
