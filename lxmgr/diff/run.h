// Comparing two root file systems in lxmgr-helper, which opens them with the host's rights, then shuts itself in with
// nothing but them, and only then looks at what is there.
#pragma once

#include "base/fd.h"
#include "base/progress.h"
#include "base/result.h"
#include "diff/changes.h"
#include "diff/walk.h"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace lxmgr::diff
{

/// Where one state of a root file system is. Paths are the manager's own.
struct Place {
    std::string directory;           ///< A tree, or …
    std::vector<std::string> layers; ///< … layers, topmost first, and
    Fd mounted;                      ///< a mount of them, where a guest is writing to them, with
    Ids ids;                         ///< its ids.
};

struct Job {
    std::string helper; ///< Path of lxmgr-helper.
    Place before;
    Place after;
};

/// `opened` is called as soon as both are held, whatever becomes of their names then. Cancelled; Timeout.
Result<Comparison> run(const Job &job, const Progress &progress, const std::function<void()> &opened);

// The helper's side.
inline constexpr int kReportFd = 3;
inline constexpr int kBeforeFd = 4; ///< Place::mounted of each, where there is one.
inline constexpr int kAfterFd = 5;

/// The sides as arguments and back; descriptors are those above.
std::vector<std::string> argumentsOf(const Job &job);
Status parseArguments(std::span<char *const> arguments, Job &job);

/// Opens the places for reading, detached: nothing shows in any mount namespace. With the host's rights.
Result<Trees> open(const Job &job);

} // namespace lxmgr::diff
