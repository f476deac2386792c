// What a guest may send on a bridge: one table of nftables' bridge family an instance, replaced as a whole.
#pragma once

#include "base/result.h"

#include <string>
#include <vector>

namespace lxmgr::network
{

/// A port of a bridge and whose frames it lets through. It holds before the port is there: no frame is too early for it.
struct PortFilter {
    std::string port; ///< Interface on the host.
    std::string mac;
    std::string ipv4; ///< The one address; "" for any.
    std::string ipv6; ///< The one address beside its link-local one; "" for any.
    bool checksMac = false;
    bool empty() const { return !checksMac && ipv4.empty() && ipv6.empty(); }
    bool operator==(const PortFilter &) const = default;
};

namespace filters
{

/// The whole transaction as nft(8) text, made of checked values only. `owner`: "project/instance".
Result<std::string> rules(const std::string &owner, const std::vector<PortFilter> &filters);
/// In force, instead of what was. Unsupported where the kernel cannot.
Status apply(const std::string &owner, const std::vector<PortFilter> &filters);
/// Whether the owner's table is there: somebody may have flushed all there are.
bool present(const std::string &owner);
/// One that is not there is fine.
Status remove(const std::string &owner);

} // namespace filters

} // namespace lxmgr::network
