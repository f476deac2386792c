// VLANs of the host's interfaces (IEEE 802.1Q): each an interface on top of the other, without an address or a word of the host's own.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>

namespace lxmgr::network
{

struct Vlan {
    std::string parent;
    std::uint32_t id = 0; ///< 1 to 4094.
    bool operator==(const Vlan &) const = default;
    /// Its interface: "eth0.5", or where that is too long for one (IFNAMSIZ) a name as unique.
    std::string name() const;
    std::string text() const; ///< "VLAN 5 of 'eth0'"
};

/// Unsupported: this kernel has none.
Status checkVlanSupport();
/// Whether its interface is there. NotFound: no parent. AlreadyExists: something else has the name, or it has another one.
Result<bool> hasVlan(const Vlan &vlan);
/// Makes its interface, up. As hasVlan(), and AlreadyExists where it is there.
Status makeVlan(const Vlan &vlan);
/// One that is not there is fine.
Status removeVlan(const std::string &name);

} // namespace lxmgr::network
