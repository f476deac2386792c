// The states of a tree going to another daemon: sent as its taker asks for them, and taken. What transfers of instances and of volumes
// share.
#pragma once

#include "base/progress.h"
#include "images/unpack.h"
#include "instances/migration.h"
#include "migrate/job.h"

#include <functional>

namespace lxmgr::instances
{

/// The other side gets to know the reason first, where there is still a way.
Status endTransfer(MigrationLine &line, const MigrationChannel &channel, Status done);

/// What is sent.
struct StatesToSend {
    const std::string &helper; ///< Program.
    const Offer &offer;
    std::vector<std::string> now;   ///< Layers of what was offered, topmost first.
    std::vector<std::string> image; ///< Of kImageState; none: there is nothing to compare with.
    std::function<Result<std::vector<std::string>>(const std::string &snapshot)> layersOf; ///< Of one of the offer's snapshots.
};
/// Sends what is asked for until the other side has all of it.
Status sendStates(const StatesToSend &states, MigrationLine &line, const MigrationChannel &channel, Progress &progress);

/// Whoever takes them.
struct StateTaker {
    const std::string &helper;
    const Offer &offer;
    MigrationLine &line;
    const MigrationChannel &channel;
    Progress &progress;
    bool devices = false; ///< Whether there may be nodes of them.
};
/// Asks for one state and writes what is different from `base` (topmost first) into the empty folder `to`. Nodes of devices are the
/// caller's to make.
Result<migrate::TreeResult> takeState(const StateTaker &taker, const Asked &wanted, const std::vector<Fd> &base, const Fd &to,
                                      const images::UnpackLimits &limits);

} // namespace lxmgr::instances
