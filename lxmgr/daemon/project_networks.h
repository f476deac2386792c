// Requests about networks in a project that has its own (features.networks=true): there are none, and none can be made.
#pragma once

#include "daemon/context.h"

namespace lxmgr::daemon
{

/// Where the networks and access control lists lie that the request is about. Of all projects: in project default, unless the caller is
/// at home only in such that have networks of their own.
Result<std::string> projectOfNetworks(Context &context, const Request &request);
/// NotFound in such a project.
Status checkHasNetworks(Context &context, const Request &request);
/// Invalid in such a project, with the cure: no `what` can be made there.
Status checkMakesNetworks(Context &context, const Request &request, const std::string &what);

} // namespace lxmgr::daemon
