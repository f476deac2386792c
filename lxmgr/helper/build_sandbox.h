// The helper's side of a build: enters namespaces of its own and runs a job's steps there.
//
//   host root, own mount namespace   opens everything by descriptor, lays out a small root on a tmpfs (confined view of
//   the host:
//                                    /usr and a few files of /etc read-only, the tree id-mapped at /target)
//   user namespace                   the ids of the job; from here on nothing of host root is left
//   PID 1 of a PID namespace         mounts /proc, enters the small root, runs the steps, kills what they leave behind
//
// The process outside ends all of it when its standard input closes: the daemon is gone or has cancelled.
#pragma once

#include "base/result.h"
#include "images/build_job.h"

namespace lxmgr::helper
{

/// Runs `job`, writing reports to standard output. Single-threaded callers only (it forks). The result is the exit
/// status.
int runBuildJob(const images::BuildJob &job);

} // namespace lxmgr::helper
