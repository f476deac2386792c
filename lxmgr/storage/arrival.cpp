// Volumes that come from another pool, with their snapshots: each state is made from the one it has most in common with,
// and costs what is different.
#include "base/failpoint.h"
#include "base/text.h"
#include "kernel/sys.h"
#include "storage/folder_pool.h"
#include "storage/tree.h"

#include <algorithm>

namespace lxmgr::storage
{

namespace
{

/// In the folder of a tree: what differs, until it is applied. A rename does not leave a subvolume.
constexpr const char *kDifference = "difference";

/// What of a state goes on being its own here: all of it, or what is on top of its image.
Result<Bytes> usageOfState(const RootTree &tree, bool withImage)
{
    std::vector<Fd> layers = TRY(openLayers(tree));
    if (!withImage && tree.kind == RootTree::Kind::Overlay)
        layers.pop_back();
    Bytes usage;
    for (const Fd &layer : layers)
        usage.count += TRY(treeUsage(layer)).count;
    return usage;
}

} // namespace

Status checkNotCancelled(const Progress &progress)
{
    return progress.cancelled() ? Status(Error(Code::Cancelled, "copying was cancelled")) : Status();
}

Result<std::vector<Fd>> openLayers(const RootTree &tree)
{
    std::vector<std::string> paths = tree.lower;
    if (tree.kind == RootTree::Kind::Directory)
        paths = {tree.directory};
    else if (!tree.layer.empty())
        paths.insert(paths.begin(), tree.layer + "/upper");
    std::vector<Fd> layers;
    for (const std::string &path : paths)
        layers.push_back(TRY(sys::open(path, O_RDONLY | O_DIRECTORY)));
    return layers;
}

Result<Fd> FolderPool::arrivalFolder(const Fd &folder, const Arrival::State &state)
{
    if (state.snapshot.empty())
        return sys::openat(folder, ".", O_RDONLY | O_DIRECTORY);
    TRY(checkObjectName("snapshot", state.snapshot));
    return makeFolder(TRY(makeFolder(folder, kSnapshots, 0700)), state.snapshot, 0700);
}

Status FolderPool::writeState(const Arrival::State &state, const std::vector<Fd> &base, const Arrival::State *before, Source source, const Fd &to)
{
    if (state.write)
        return state.write(base, before ? &before->snapshot : nullptr, to);
    const std::vector<Fd> theirs = TRY(openLayers(state.tree));
    const std::vector<Fd> previous = before ? TRY(openLayers(before->tree)) : std::vector<Fd>();
    return writeDifference({base, theirs, previous, source}, to);
}

bool FolderPool::keepsWhole(const Arrival &arrival, const std::vector<std::string> &whole, const Error &error)
{
    if (!arrival.cut || error.code == Code::Cancelled)
        return false;
    const bool news = std::ranges::any_of(arrival.snapshots, [&](const Arrival::State &state) {
        return !state.isInLike && std::ranges::find(whole, state.snapshot) != whole.end();
    });
    if (!news)
        return false;
    arrival.cut->happened = true;
    arrival.cut->error = error;
    return true;
}

bool FolderPool::hasJustCome(const Arrival &arrival, const Arrival::State *newest)
{
    return newest && newest->write && !newest->isInLike && newest == &arrival.snapshots.back();
}

/// The volume becomes what another was, or a snapshot.
Status FolderPool::keepAncestor(const Ancestor &from, const Fd &folder)
{
    if (exists(folder, kTree))
        TRY(discard(folder, kTree)); // what was begun
    TRY(draftCopy({*from.folder, Holder::Snapshot}, folder, Holder::Volume));
    return sealRoot(folder, Holder::Volume);
}

/// As a tree of its own, made from another where that saves something.
Status FolderPool::draftState(const Arrival &arrival, const Arrival::State &state, const Ancestor &from,
                              const Fd &folder) const
{
    const Holder as = state.snapshot.empty() ? Holder::Volume : Holder::Snapshot;
    const bool onImage =
        !from.folder && arrival.image && sharesWithImages() && !layersOnImage() && hasImage(*arrival.image);
    if (from.folder) {
        TRY(draftCopy({*from.folder, Holder::Snapshot}, folder, Holder::Volume));
    } else {
        const Fd image = onImage ? TRY(openFolder(m_folders.images, *arrival.image)) : Fd();
        TRY(makeRoot(folder, onImage ? &image : nullptr));
    }
    const std::vector<Fd> none;
    const Source source = as == Holder::Volume && arrival.inUse == InUse::Yes ? Source::Changing : Source::Still;
    const Fd tree = TRY(openTree(folder));
    const Fd rootfs = TRY(openFolder(tree, "rootfs"));
    if (from.folder || onImage) {
        std::vector<Fd> ours;
        ours.push_back(TRY(openFolder(tree, "rootfs")));
        const Fd difference = TRY(makeFolder(tree, kDifference, 0700));
        TRY(writeState(state, ours, from.original, source, difference));
        TRY(applyDifference(difference, rootfs));
        TRY(sys::unlinkat(tree, kDifference, AT_REMOVEDIR));
    } else {
        TRY(writeState(state, none, nullptr, source, rootfs));
    }
    return sealRoot(folder, as);
}

Status FolderPool::draftArrival(const Arrival &arrival, const Fd &folder, const Fd *like, const Progress &progress)
{
    const bool liked = like && exists(*like, kTree);
    Fd before;
    const Arrival::State *original = nullptr; // of `before`
    std::vector<std::string> whole;
    bool cut = false;
    for (const Arrival::State &state : arrival.snapshots) {
        const auto same = liked ? openFolder(*like, std::string(kSnapshots) + "/" + state.snapshot)
                                : Result<Fd>(Error(Code::NotFound, state.snapshot));
        if (cut && !(same && state.isInLike))
            continue;
        Fd own = TRY(arrivalFolder(folder, state));
        const auto drafted = [&]() -> Status {
            TRY(checkNotCancelled(progress));
            if (same && state.isInLike) {
                TRY(draftCopy({*same, Holder::Snapshot}, own, Holder::Snapshot));
                return {};
            }
            if (same)
                return draftState(arrival, state, {&*same, nullptr}, own);
            return draftState(arrival, state, {before ? &before : liked ? like : nullptr, original}, own);
        }();
        if (!drafted && !cut && keepsWhole(arrival, whole, drafted.error())) {
            cut = true;
            own.reset();
            TRY(discard(TRY(openFolder(folder, kSnapshots)), state.snapshot));
            continue;
        }
        TRY_IN("snapshot " + quoted(state.snapshot), drafted);
        before = std::move(own);
        original = &state;
        whole.push_back(state.snapshot);
    }
    // Of the volume's own past the newest is the nearest, but for a copy of it that exists; unless that past has just come, and
    // who sends knows what is untouched since.
    const Ancestor newest{before ? &before : nullptr, original};
    const Ancestor kept = liked ? Ancestor{like, nullptr} : newest;
    const Ancestor nearest = hasJustCome(arrival, original) ? newest : kept;
    const Status drafted = cut ? Status() : checkNotCancelled(progress) ? draftState(arrival, arrival.now, nearest, folder) : checkNotCancelled(progress);
    cut = cut || (!drafted && keepsWhole(arrival, whole, drafted.error()));
    if (!cut)
        return drafted;
    arrival.cut->snapshots = whole;
    return keepAncestor(kept, folder);
}

Status FolderPool::receiveVolume(const std::string &project, const std::string &name, const Arrival &arrival,
                                 const Progress &progress)
{
    const std::string volume = TRY(checkedVolume(project, name));
    if (exists(m_folders.volumes, volume))
        return Error(Code::AlreadyExists,
                     "volume " + quoted(volume) + " exists in storage pool " + quoted(m_place.name));
    std::string likeVolume;
    Fd like;
    if (arrival.like) {
        likeVolume = TRY(checkedVolume(project, *arrival.like));
        if (TRY(root(project, *arrival.like)).kind == RootTree::Kind::Overlay)
            TRY(hold(project, *arrival.like, InUse::No)); // seals its layer, so that it can be shared
        like = TRY_IN("volume " + quoted(likeVolume), openFolder(m_folders.volumes, likeVolume));
    }
    const bool snapshotsOfLike = like && arrival.withSnapshotsOfLike == WithSnapshots::Yes;
    Scratch scratch = TRY(newPlainScratch());
    const auto drafted = [&]() -> Status {
        if (arrival.image)
            TRY(sys::symlinkat(*arrival.image, scratch.directory(), kImageOf));
        if (arrival.beside)
            TRY(copyMetadata(*arrival.beside, scratch.directory()));
        TRY(draftArrival(arrival, scratch.directory(), like ? &like : nullptr, progress));
        if (snapshotsOfLike)
            TRY(draftSnapshots(like, scratch.directory()));
        return {};
    }();
    if (!drafted)
        return withMissing(drafted.error(), std::move(scratch), [&]() -> Result<Bytes> {
            if (arrival.now.write)
                return Error(Code::Unsupported, "it is elsewhere");
            return usageOfState(arrival.now.tree, !layersOnImage());
        });
    TRY(failpoint("volume.arrival.drafted"));
    TRY(flush());
    {
        const std::lock_guard lock(m_mutex);
        if (like)
            TRY(checkStillThere(m_folders.volumes, likeVolume, like));
        if (layersOnImage() && arrival.image && !exists(m_folders.images, *arrival.image))
            return Error(Code::Unavailable, "image " + *arrival.image + " was just removed; try again");
        TRY(finishArrival(scratch.directory()));
        if (snapshotsOfLike)
            TRY(finishSnapshots(like, scratch.directory()));
        TRY(moveIn(std::move(scratch), m_folders.volumes, volume));
    }
    return flushRenames();
}

} // namespace lxmgr::storage
