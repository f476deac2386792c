// Devices of a guest that runs: mounts moved into it and taken out, interfaces and device nodes made in it and deleted.
#pragma once

#include "base/result.h"
#include "runtime/launch.h"
#include "spec/messages.h"

namespace lxmgr::runtime
{

/// All of it, or after an error none. What plugging cards in tells of them is filled in, those of a step that is undone too.
/// Blocks for a few milliseconds; a guest that holds a path up (its own FUSE) makes it an error after some seconds, not a wait.
Status replug(const spec::LaunchSpec &spec, const Guest &guest, spec::ReplugBody &devices);

} // namespace lxmgr::runtime
