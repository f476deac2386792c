// The daemon's side of the build helper: spawns it, hands it the job, follows its reports.
#pragma once

#include "base/paths.h"
#include "base/progress.h"
#include "images/build_job.h"

#include <optional>
#include <vector>

namespace lxmgr::images
{

struct JobResult {
    std::vector<int> statuses;      ///< Exit status of each step that ran a program, else 0.
    std::vector<std::string> lines; ///< The last few hundred lines that programs printed.
    std::optional<Error> failed;    ///< Why it ended early.
    std::optional<std::size_t> failedStep;
};

/// Runs the job to its end. Cancelled: asked for, all of it killed. Unavailable: the helper cannot be run. What a step
/// did wrong is in the result.
Result<JobResult> runJob(const Paths &paths, const BuildJob &job, Progress &progress);

/// What a program of the host prints on standard output (at most 1 MiB), with `environment` and nothing else. Its
/// failure is an Error.
Result<std::string> captureOutput(const std::vector<std::string> &argv, const std::vector<std::string> &environment);

} // namespace lxmgr::images
