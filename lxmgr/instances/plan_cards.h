// Planning of network cards: what the monitor makes of each, and which interfaces of the host they take.
#pragma once

#include "base/paths.h"
#include "config/expand.h"
#include "network/filters.h"
#include "network/vlans.h"
#include "spec/launch.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::instances
{

/// What the monitor makes of a NIC, and what its managed network has to know.
struct NicPlan {
    spec::Nic card;
    std::string network; ///< Managed network, "" for none.
    std::string ipv4;    ///< Fixed address wanted of it, "" for none.
    std::string ipv6;    ///< The same.
    network::PortFilter filter;
};

/// Interfaces of the host that are in guests that run, and the names of these.
using Lent = std::map<std::string, std::string>;
/// The VLAN that the parent of a card is; none for most.
std::optional<network::Vlan> vlanOf(const spec::Nic &card);
/// Whether this host lets the cards `come` be, once `gone` are not there any more.
Status checkCards(const std::vector<spec::Nic> &come, const std::vector<spec::Nic> &gone, const Lent &lent);
/// NICs among the devices, with volatile.<device>.hwaddr, .host_name and .name filled in. Invalid: a device names neither.
Result<std::vector<NicPlan>> planNics(const config::Effective &effective);
/// The interface of the host that a device takes into the guest, "" where it takes none or (sriov) none is chosen.
std::string lentInterface(const config::Device &device, const StringMap &volatileKeys);
/// Of a device that is a virtual function (sriov): the interface of the card; nullptr of every other.
const std::string *parentOfFunction(const config::Device &device);
/// Interfaces of all virtual functions that such a device may be, taken or not. NotFound, Invalid: its parent has none.
Result<std::vector<std::string>> virtualFunctions(const config::Device &device, const Paths &paths);

} // namespace lxmgr::instances
