// Proxy devices: what the monitor is to forward, what the firewall is to, and what stands in their way.
#pragma once

#include "config/expand.h"
#include "network/network.h"
#include "spec/launch.h"

#include <string>
#include <vector>

namespace lxmgr::instances
{

/// Invalid: nat=true to what is no fixed address of one of the instance's network cards.
Result<std::vector<spec::Proxy>> planProxies(const config::Effective &effective);

/// But for the filter, which is this version's: a new daemon does not close what an older one opened.
bool isSame(const spec::Proxy &one, const spec::Proxy &other);

/// AlreadyExists: one of `wanted` would listen on the host where one of `others`, of the running instance `owner`, does.
Status checkProxiesFree(const std::vector<spec::Proxy> &wanted, const std::vector<spec::Proxy> &others, const std::string &owner);

/// Those with nat=true, as the firewall understands them.
std::vector<network::Forward> natForwards(const std::vector<spec::Proxy> &proxies);

} // namespace lxmgr::instances
