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

/// AlreadyExists: what arrives for one of `proxies` goes on by a forward of the network called `network`.
Status checkForwardsFree(const std::vector<spec::Proxy> &proxies, const network::Forward &forward, const std::string &network);
/// The same seen from a forward that is to come, where the proxies are those of the running instance `owner`.
Status checkForwardFree(const network::Forward &forward, const std::vector<spec::Proxy> &proxies, const std::string &owner);
/// What stands against the proxies of the running instance `owner` on this host, with `forwards` of the network called `network`.
std::vector<network::Problem> proxyProblems(const std::vector<spec::Proxy> &proxies, const std::string &owner, const std::vector<network::Forward> &forwards,
                                            const std::string &network);

/// Those with nat=true, as the firewall understands them.
std::vector<network::Forward> natForwards(const std::vector<spec::Proxy> &proxies);

} // namespace lxmgr::instances
