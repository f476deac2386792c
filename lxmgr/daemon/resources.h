// The host's hardware as GET /1.0/resources tells it.
#pragma once

#include "api/json.h"
#include "base/result.h"

namespace lxmgr::daemon
{

/// Processors and memory read from /proc and /sys; kinds that are not looked for are empty lists.
Result<api::Json> readResources();

} // namespace lxmgr::daemon
