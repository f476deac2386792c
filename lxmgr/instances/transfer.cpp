#include "instances/transfer.h"

#include "base/text.h"
#include "storage/tree.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

/// Whether an image is there only for what is made from it.
enum class Kept { Yes, ForItsVolumes };

struct Ground {
    std::optional<std::string> image;
    Kept kept = Kept::Yes;
};

/// The image that the new volume is made from: obtained where that saves copying it with each volume.
Result<Ground> groundOf(ImageService &images, const Departure &from, const Destination &to, Progress &progress)
{
    if (to.like && to.withSnapshotsOfLike == storage::WithSnapshots::Yes)
        return Ground{TRY(to.pool.volumeImage(to.project, *to.like)), Kept::Yes}; // its snapshots lie on that
    const auto image = TRY(from.pool.volumeImage(from.project, from.name));
    if (!image || &from.pool == &to.pool || !to.pool.sharesWithImages())
        return Ground{image, Kept::Yes};
    if (to.pool.hasImage(*image))
        return Ground{image, Kept::Yes};
    if (images.files().has(*image)) {
        TRY_IN("image " + *image, images.ensureUnpacked(to.pool, *image, progress));
        return Ground{image, Kept::Yes};
    }
    // Deleted, but volumes still lie on it.
    const auto tree = from.pool.openImage(*image);
    if (!tree)
        return tree.error().code == Code::NotFound ? Result<Ground>(Ground{}) : tree.error();
    TRY_IN("image " + *image,
           to.pool.addImage(*image, [&](const Fd &folder) { return storage::copyTree(*tree, folder); }));
    return Ground{image, Kept::ForItsVolumes};
}

} // namespace

Status receive(const Departure &from, const Destination &to, const std::optional<std::string> &image,
               const WhileStill &whileStill, Progress &progress)
{
    const Fd beside = TRY(from.pool.openVolume(from.project, from.name));
    storage::Arrival arrival;
    arrival.image = image;
    arrival.beside = &beside;
    arrival.like = to.like;
    arrival.withSnapshotsOfLike = to.withSnapshotsOfLike;
    for (const std::string &snapshot : from.snapshots)
        arrival.snapshots.push_back({snapshot, TRY(from.pool.snapshotRoot(from.project, from.name, snapshot)),
                                     std::ranges::find(from.known, snapshot) != from.known.end()});
    std::unique_ptr<storage::Held> held;
    if (from.snapshot) {
        arrival.now.tree = TRY(from.pool.snapshotRoot(from.project, from.name, *from.snapshot));
    } else if (!whileStill) {
        arrival.now.tree = TRY(from.pool.root(from.project, from.name));
        arrival.inUse = storage::InUse::Yes;
    } else {
        TRY(whileStill([&](storage::InUse inUse) -> Status {
            arrival.now.tree = TRY(from.pool.root(from.project, from.name));
            // Nobody starts a guest that stands still; only what is layers gets a name for its topmost one by this.
            if (inUse == storage::InUse::No && arrival.now.tree.kind == storage::RootTree::Kind::Directory)
                return {};
            held = TRY(from.pool.hold(from.project, from.name, inUse));
            arrival.now.tree = held->tree();
            return {};
        }));
    }
    progress.report("copy: " + from.name);
    return to.pool.receiveVolume(to.project, to.name, arrival, progress);
}

Status transfer(ImageService &images, const Departure &from, const Destination &to, const WhileStill &whileStill,
                Progress &progress)
{
    const Ground ground = TRY(groundOf(images, from, to, progress));
    Status received = receive(from, to, ground.image, whileStill, progress);
    if (ground.kept == Kept::ForItsVolumes)
        TRY(to.pool.deleteImage(*ground.image));
    return received;
}

} // namespace lxmgr::instances
