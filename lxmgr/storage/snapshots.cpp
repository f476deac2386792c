// Snapshots, restoring and copies in a folder pool: what all drivers do around making one root file system from
// another.
#include "base/text.h"
#include "kernel/sys.h"
#include "storage/folder_pool.h"
#include "storage/tree.h"

#include <algorithm>
#include <linux/fs.h>
#include <sys/stat.h>

namespace lxmgr::storage
{

Result<FolderPool::SnapshotPlace> FolderPool::snapshotPlace(const std::string &project, const std::string &name,
                                                            const std::string &snapshot) const
{
    SnapshotPlace place;
    place.volume = TRY(checkedVolume(project, name));
    TRY(checkObjectName("snapshot", snapshot));
    place.volumeFolder = TRY_IN("volume " + quoted(place.volume), openFolder(m_folders.volumes, place.volume));
    auto snapshots = openFolder(place.volumeFolder, kSnapshots);
    if (snapshots)
        place.snapshots = std::move(*snapshots);
    else if (snapshots.error().code != Code::NotFound)
        return snapshots.error();
    return place;
}

/// A folder that was opened before the mutex was taken may be somewhere else by now, or in the trash.
Status FolderPool::checkStillThere(const Fd &parent, const std::string &name, const Fd &folder) const
{
    const struct stat held = TRY(sys::fstat(folder));
    const auto found = sys::fstatat(parent, name);
    if (found && found->st_dev == held.st_dev && found->st_ino == held.st_ino)
        return {};
    return Error(Code::WrongState, quoted(name) + " was renamed or deleted meanwhile");
}

Status FolderPool::createSnapshot(const std::string &project, const std::string &name, const std::string &snapshot,
                                  InUse inUse)
{
    SnapshotPlace place = TRY(snapshotPlace(project, name, snapshot));
    if (place.snapshots && exists(place.snapshots, snapshot))
        return Error(Code::AlreadyExists, "volume " + quoted(place.volume) + " has a snapshot " + quoted(snapshot));
    Scratch scratch = TRY(newPlainScratch());
    const Original original{place.volumeFolder, Holder::Volume, inUse};
    const auto data = draftCopy(original, scratch.directory(), Holder::Snapshot);
    if (!data)
        return withMissing(data.error(), std::move(scratch), [&] { return FolderPool::usageOf(original.folder, original.holder); });
    if (*data == Data::Fresh)
        TRY(flush());
    {
        const std::lock_guard lock(m_mutex);
        TRY(checkStillThere(m_folders.volumes, place.volume, place.volumeFolder));
        if (Status finished = finishCopy(original, scratch.directory(), Holder::Snapshot); !finished)
            return withFreeSpace(std::move(finished.error()));
        if (!place.snapshots)
            place.snapshots = TRY(makeFolder(place.volumeFolder, kSnapshots, 0700));
        TRY_IN("snapshot " + quoted(snapshot), moveIn(std::move(scratch), place.snapshots, snapshot));
    }
    return flushRenames();
}

bool FolderPool::hasSnapshot(const std::string &project, const std::string &name, const std::string &snapshot) const
{
    const auto place = snapshotPlace(project, name, snapshot);
    return place && place->snapshots && exists(place->snapshots, snapshot);
}

Result<std::vector<std::string>> FolderPool::listSnapshots(const std::string &project, const std::string &name) const
{
    const Fd volume = TRY(openVolume(project, name));
    const auto snapshots = openFolder(volume, kSnapshots);
    if (!snapshots && snapshots.error().code == Code::NotFound)
        return std::vector<std::string>();
    if (!snapshots)
        return snapshots.error();
    auto names = TRY(namesIn(*snapshots));
    std::ranges::sort(names);
    return names;
}

Status FolderPool::deleteSnapshot(const std::string &project, const std::string &name, const std::string &snapshot)
{
    const std::lock_guard lock(m_mutex);
    const auto place = snapshotPlace(project, name, snapshot);
    if (!place && place.error().code != Code::NotFound)
        return place.error();
    if (!place || !place->snapshots || !exists(place->snapshots, snapshot))
        return {};
    const auto layers = layersOf(TRY(openFolder(place->snapshots, snapshot)));
    TRY(m_folders.trash->discard(place->snapshots, snapshot));
    TRY(flushRename(place->snapshots));
    return layers ? dropUnused(*layers)
                  : Status(); // else the next prepare() finds them: a damaged one can still be deleted
}

Status FolderPool::renameSnapshot(const std::string &project, const std::string &name, const std::string &from,
                                  const std::string &to)
{
    TRY(checkObjectName("snapshot", to));
    const SnapshotPlace place = TRY(snapshotPlace(project, name, from));
    if (!place.snapshots)
        return Error(Code::NotFound, "volume " + quoted(place.volume) + " has no snapshots");
    TRY_IN("snapshot " + quoted(from), renameNew(place.snapshots, from, place.snapshots, to));
    return flushRename(place.snapshots);
}

Result<Fd> FolderPool::openSnapshot(const std::string &project, const std::string &name,
                                    const std::string &snapshot) const
{
    const SnapshotPlace place = TRY(snapshotPlace(project, name, snapshot));
    if (!place.snapshots)
        return Error(Code::NotFound, "volume " + quoted(place.volume) + " has no snapshots");
    return TRY_IN("snapshot " + quoted(snapshot), openFolder(place.snapshots, snapshot));
}

/// The new content is made in scratch and swapped with the old in one rename, which then goes the way of all scratch. Old
/// content that is to be kept goes aside first.
Status FolderPool::restoreSnapshot(const std::string &project, const std::string &name, const std::string &snapshot,
                                   const std::optional<std::string> &aside)
{
    if (aside) {
        TRY(checkAside(*aside));
        if (hasAside(*aside)) // prepare() has mended what was cut off in the middle
            return {};
    }
    const Fd source = TRY(openSnapshot(project, name, snapshot));
    const SnapshotPlace place = TRY(snapshotPlace(project, name, snapshot));
    Scratch scratch = TRY(newPlainScratch());
    const Original original{source, Holder::Snapshot, InUse::No};
    const auto data = draftCopy(original, scratch.directory(), Holder::Volume);
    if (!data)
        return withMissing(data.error(), std::move(scratch), [&] { return FolderPool::usageOf(original.folder, original.holder); });
    if (*data == Data::Fresh)
        TRY(flush());
    const std::lock_guard lock(m_mutex);
    TRY(checkStillThere(m_folders.volumes, place.volume, place.volumeFolder));
    TRY(checkStillThere(place.snapshots, snapshot, source));
    if (Status finished = finishCopy(original, scratch.directory(), Holder::Volume); !finished)
        return withFreeSpace(std::move(finished.error()));
    TRY_IN("snapshot " + quoted(snapshot), limitAs(place.volumeFolder, scratch.directory()));
    if (aside) {
        TRY(replaceContent(place.volume, scratch.directory(), *aside));
        return flushRenames();
    }
    const auto layers = layersOf(place.volumeFolder);
    const std::string part = ownPart(place.volumeFolder);
    TRY(sys::renameat2(scratch.directory(), part, place.volumeFolder, part, RENAME_EXCHANGE));
    TRY(flushRenames());
    return layers ? dropUnused(*layers)
                  : Status(); // else the next prepare() finds them: restoring mends a damaged volume
}

Result<FolderPool::Data> FolderPool::draftSnapshots(const Fd &volume, const Fd &copy) const
{
    const auto snapshots = openFolder(volume, kSnapshots);
    if (!snapshots && snapshots.error().code == Code::NotFound)
        return Data::Settled;
    if (!snapshots)
        return snapshots.error();
    const Fd copies = TRY(makeFolder(copy, kSnapshots, 0700));
    Data data = Data::Settled;
    for (const std::string &name : TRY(namesIn(*snapshots))) {
        const Fd source = TRY(openFolder(*snapshots, name));
        const Fd target = TRY(makeFolder(copies, name, 0700));
        if (TRY_IN("snapshot " + quoted(name), draftCopy({source, Holder::Snapshot}, target, Holder::Snapshot)) ==
            Data::Fresh)
            data = Data::Fresh;
    }
    return data;
}

Status FolderPool::finishSnapshots(const Fd &volume, const Fd &copy)
{
    const auto copies = openFolder(copy, kSnapshots);
    if (!copies)
        return copies.error().code == Code::NotFound ? Status() : Status(copies.error());
    const Fd snapshots = TRY(openFolder(volume, kSnapshots));
    for (const std::string &name : TRY(namesIn(*copies))) {
        const Fd source = TRY_IN("snapshot " + quoted(name), openFolder(snapshots, name));
        TRY(finishCopy({source, Holder::Snapshot}, TRY(openFolder(*copies, name)), Holder::Snapshot));
    }
    return {};
}

Status FolderPool::copyVolume(const VolumeSource &from, const std::string &project, const std::string &name,
                              WithSnapshots with)
{
    const std::string volume = TRY(checkedVolume(project, name));
    if (from.snapshot && with == WithSnapshots::Yes)
        return Error(Code::Invalid, "a snapshot has no snapshots to be copied with it");
    if (exists(m_folders.volumes, volume))
        return Error(Code::AlreadyExists,
                     "volume " + quoted(volume) + " exists in storage pool " + quoted(m_place.name));
    const std::string sourceVolume = TRY(checkedVolume(from.project, from.name));
    const Fd sourceFolder = TRY_IN("volume " + quoted(sourceVolume), openFolder(m_folders.volumes, sourceVolume));
    const auto image = TRY(volumeImage(from.project, from.name));
    const Fd snapshot = from.snapshot ? TRY(openSnapshot(from.project, from.name, *from.snapshot)) : Fd();
    const Original original = from.snapshot ? Original{snapshot, Holder::Snapshot, InUse::No}
                                            : Original{sourceFolder, Holder::Volume, from.inUse};

    Scratch scratch = TRY(newPlainScratch());
    const auto drafted = [&]() -> Result<Data> {
        if (image)
            TRY(sys::symlinkat(*image, scratch.directory(), kImageOf));
        TRY(copyMetadata(sourceFolder, scratch.directory()));
        const Data data = TRY(draftCopy(original, scratch.directory(), Holder::Volume));
        const Data ofSnapshots =
            with == WithSnapshots::Yes ? TRY(draftSnapshots(sourceFolder, scratch.directory())) : Data::Settled;
        return data == Data::Fresh ? data : ofSnapshots;
    }();
    if (!drafted)
        return withMissing(drafted.error(), std::move(scratch), [&] {
            return with == WithSnapshots::Yes ? usageOfAll(sourceFolder) : FolderPool::usageOf(original.folder, original.holder);
        });
    if (*drafted == Data::Fresh)
        TRY(flush());
    {
        const std::lock_guard lock(m_mutex);
        TRY(checkStillThere(m_folders.volumes, sourceVolume, sourceFolder));
        if (from.snapshot)
            TRY(checkStillThere(TRY(openFolder(sourceFolder, kSnapshots)), *from.snapshot, snapshot));
        TRY(finishCopy(original, scratch.directory(), Holder::Volume));
        TRY(finishSnapshots(sourceFolder, scratch.directory()));
        TRY(moveIn(std::move(scratch), m_folders.volumes, volume));
    }
    return flushRenames();
}

Result<RootTree> FolderPool::snapshotRoot(const std::string &project, const std::string &name,
                                          const std::string &snapshot) const
{
    const Fd folder = TRY(openSnapshot(project, name, snapshot));
    const std::string path = volumeDir(project, name) + "/" + kSnapshots + "/" + snapshot;
    RootTree tree = TRY(rootOf(folder, path, imagePath(TRY(volumeImage(project, name)))));
    tree.layer.clear(); // read-only
    return tree;
}

Result<Bytes> FolderPool::snapshotUsage(const std::string &project, const std::string &name,
                                        const std::string &snapshot) const
{
    return usageOf(TRY(openSnapshot(project, name, snapshot)), Holder::Snapshot);
}

} // namespace lxmgr::storage
