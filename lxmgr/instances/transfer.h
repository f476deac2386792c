// Transfer: what a volume holds, with its snapshots, is brought into another pool or beside another
// volume. Layers and images that are there already are not copied.
#pragma once

#include "instances/image_service.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::instances
{

struct Departure {
    storage::Driver &pool;
    std::string project;
    std::string name;
    std::optional<std::string> snapshot; ///< Of this one, not of the volume as it is.
    std::vector<std::string> snapshots;  ///< That come along, the oldest first.
    std::vector<std::string> known = {}; ///< Those among them that Destination::like has too.
};

struct Destination {
    storage::Driver &pool;
    std::string project;
    std::string name;                     ///< Of the new volume.
    std::optional<std::string> like = {}; ///< One of the pool that has much in common with what comes.
    storage::WithSnapshots withSnapshotsOfLike = storage::WithSnapshots::No;
};

/// Runs what it is given while no guest writes to the volume.
using WhileStill = std::function<Status(const std::function<Status(storage::InUse)> &)>;

/// Makes the new volume, whole or not at all, on `image` if it has one, which is in the pool. NotFound, AlreadyExists,
/// Cancelled. Without `whileStill` nobody is kept from writing, and what is written meanwhile is in it or not.
Status receive(const Departure &from, const Destination &to, const std::optional<std::string> &image,
               const WhileStill &whileStill, Progress &progress);

/// The same for the volume of an instance: its image is brought along where that is needed.
Status transfer(ImageService &images, const Departure &from, const Destination &to, const WhileStill &whileStill,
                Progress &progress);

} // namespace lxmgr::instances
