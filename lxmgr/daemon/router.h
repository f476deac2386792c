// From the head of a request to the row of the route table it means, or to the reason why there is none.
#pragma once

#include "daemon/server.h"

namespace lxmgr::daemon
{

/// What a request that goes nowhere is answered with.
struct Refusal {
    int status = 404;
    std::string message;
    Code code = Code::NotFound;
};

/// Fills route, family, params and query of `request` from its head. nullopt: all is well.
std::optional<Refusal> routeRequest(Request &request);
/// Whether the caller may do what the route does. Everybody who reaches the unix socket is trusted, as with LXD.
std::optional<Refusal> checkAccess(const Request &request);

} // namespace lxmgr::daemon
