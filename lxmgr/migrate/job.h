// The daemon's side of sending and taking a tree: a helper that is shut in does it, on a stream to the other host's.
#pragma once

#include "base/fd.h"
#include "base/progress.h"
#include "base/result.h"
#include "images/extract.h"

#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::migrate
{

/// Paths are absolute, and those of our own folders on the host.
struct TreeJob {
    std::vector<std::string> layers; ///< The tree that is sent, or that what comes is compared with: topmost first; none.
    std::vector<std::string> before; ///< Sending: of the state that the other side has for certain; none.
    bool devices = false;            ///< Taking: nodes of devices are wanted.
};
std::string encodeTreeJob(const TreeJob &job);
Result<TreeJob> decodeTreeJob(std::string_view bytes);

/// What came of it.
struct TreeResult {
    std::uint64_t entries = 0;
    std::uint64_t data = 0;    ///< Bytes of files that went over.
    std::uint64_t leftOut = 0; ///< Nodes.
    std::vector<images::DeviceEntry> devices; ///< Taking: still to be made.
};
std::string encodeTreeResult(const TreeResult &result);

/// Blocking; any thread. Unavailable: the other side has gone; Cancelled. See send.h and take.h.
Result<TreeResult> runSender(const std::string &helper, const TreeJob &job, const Fd &stream, Progress &progress);
Result<TreeResult> runTaker(const std::string &helper, const TreeJob &job, const Fd &stream, const Fd &to, const images::UnpackLimits &limits,
                            Progress &progress);

} // namespace lxmgr::migrate
