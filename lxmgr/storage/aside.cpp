// What lies aside: volumes and snapshots that were deleted and what a restore replaced, kept until somebody wants it back
// or nobody will. A folder of it looks like that of a volume, so that images and layers count it as one.
//
// Content is replaced in two renames, between which the volume has none. Until the second is through, a link "of" in the
// folder aside names the volume; prepare() puts back what it finds so.
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "kernel/sys.h"
#include "storage/folder_pool.h"
#include "storage/tree.h"

namespace lxmgr::storage
{

namespace
{

constexpr const char *kReplaced = "of"; ///< Names the volume whose content is being replaced.

/// The text of the link kImageOf, copied from one folder to another.
Status copyImageOf(const Fd &from, const Fd &to)
{
    const auto image = sys::readlinkat(from, kImageOf);
    if (!image)
        return image.error().errnum == ENOENT ? Status() : Status(image.error());
    return exists(to, kImageOf) ? Status() : sys::symlinkat(*image, to, kImageOf);
}

} // namespace

Status FolderPool::checkAside(const std::string &aside) const
{
    TRY(needPrepared());
    if (aside.size() == 16 && aside.find_first_not_of("0123456789abcdef") == std::string::npos)
        return {};
    return Error(Code::Invalid, quoted(aside) + " is not the id of anything aside (16 hex digits)");
}

bool FolderPool::hasAside(const std::string &aside) const
{
    return checkAside(aside) && exists(m_folders.aside, aside);
}

Result<std::vector<std::string>> FolderPool::listAside() const
{
    TRY(needPrepared());
    return namesIn(m_folders.aside);
}

Result<Fd> FolderPool::openAside(const std::string &aside) const
{
    TRY(checkAside(aside));
    return openFolder(m_folders.aside, aside);
}

Status FolderPool::setVolumeAside(const std::string &project, const std::string &name, const std::string &aside)
{
    const std::string volume = TRY(checkedVolume(project, name));
    TRY(checkAside(aside));
    const std::lock_guard lock(m_mutex);
    if (!exists(m_folders.volumes, volume) && exists(m_folders.aside, aside))
        return {};
    TRY_IN("volume " + quoted(volume), renameNew(m_folders.volumes, volume, m_folders.aside, aside));
    TRY(failpoint("volume.aside.moved"));
    TRY(flushRename(m_folders.aside));
    return flushRename(m_folders.volumes);
}

Status FolderPool::bringVolumeBack(const std::string &aside, const std::string &project, const std::string &name)
{
    const std::string volume = TRY(checkedVolume(project, name));
    TRY(checkAside(aside));
    const std::lock_guard lock(m_mutex);
    if (!exists(m_folders.aside, aside) && exists(m_folders.volumes, volume))
        return {};
    TRY_IN("volume " + quoted(volume), renameNew(m_folders.aside, aside, m_folders.volumes, volume));
    TRY(flushRename(m_folders.volumes));
    return flushRename(m_folders.aside);
}

Status FolderPool::setSnapshotAside(const std::string &project, const std::string &name, const std::string &snapshot,
                                    const std::string &aside)
{
    TRY(checkAside(aside));
    const std::lock_guard lock(m_mutex);
    const SnapshotPlace place = TRY(snapshotPlace(project, name, snapshot));
    const bool there = place.snapshots && exists(place.snapshots, snapshot);
    if (!there && exists(m_folders.aside, aside))
        return {};
    if (!there)
        return Error(Code::NotFound, "volume " + quoted(place.volume) + " has no snapshot " + quoted(snapshot));
    // It outlives its volume: what it is layered on must be seen without that.
    TRY(copyImageOf(place.volumeFolder, TRY(openFolder(place.snapshots, snapshot))));
    TRY_IN("snapshot " + quoted(snapshot), renameNew(place.snapshots, snapshot, m_folders.aside, aside));
    TRY(flushRename(m_folders.aside));
    return flushRename(place.snapshots);
}

Status FolderPool::bringSnapshotBack(const std::string &aside, const std::string &project, const std::string &name,
                                     const std::string &snapshot)
{
    TRY(checkAside(aside));
    const std::lock_guard lock(m_mutex);
    SnapshotPlace place = TRY(snapshotPlace(project, name, snapshot));
    if (!place.snapshots)
        place.snapshots = TRY(makeFolder(place.volumeFolder, kSnapshots, 0700));
    if (exists(m_folders.aside, aside) || !exists(place.snapshots, snapshot))
        TRY_IN("snapshot " + quoted(snapshot), renameNew(m_folders.aside, aside, place.snapshots, snapshot));
    if (const Fd folder = TRY(openFolder(place.snapshots, snapshot)); exists(folder, kImageOf))
        TRY(sys::unlinkat(folder, kImageOf));
    TRY(flushRename(place.snapshots));
    return flushRename(m_folders.aside);
}

/// An empty folder aside for what `volume` holds; it says so from the moment it is there.
Result<Fd> FolderPool::makeAside(const std::string &aside, const std::string &volume)
{
    Scratch scratch = TRY(newPlainScratch());
    TRY(copyImageOf(TRY(openFolder(m_folders.volumes, volume)), scratch.directory()));
    TRY(sys::symlinkat(volume, scratch.directory(), kReplaced));
    TRY(moveIn(std::move(scratch), m_folders.aside, aside));
    return openFolder(m_folders.aside, aside);
}

/// What `volume` holds goes aside, what the folder `from` holds takes its place. With the mutex held.
Status FolderPool::replaceContent(const std::string &volume, const Fd &from, const std::string &aside)
{
    const Fd folder = TRY(openFolder(m_folders.volumes, volume));
    const std::string part = ownPart(folder);
    Undo undo;
    undo.add("folder aside", [&] { return m_folders.trash->discard(m_folders.aside, aside); });
    auto kept = makeAside(aside, volume);
    if (!kept)
        return withFreeSpace(std::move(kept.error()));
    TRY(renameNew(folder, part, *kept, part));
    undo.add("content of " + volume, [&] { return renameNew(*kept, part, folder, part); });
    TRY(failpoint("volume.restore.aside"));
    TRY(renameNew(from, part, folder, part));
    undo.keep();
    return sys::unlinkat(*kept, kReplaced);
}

Status FolderPool::bringContentBack(const std::string &aside, const std::string &project, const std::string &name,
                                    const std::string &now)
{
    const std::string volume = TRY(checkedVolume(project, name));
    TRY(checkAside(now));
    const std::lock_guard lock(m_mutex);
    if (!hasAside(now)) {
        const Fd from = TRY(openAside(aside));
        TRY(limitAs(TRY(openFolder(m_folders.volumes, volume)), from));
        TRY(replaceContent(volume, from, now));
        TRY(failpoint("volume.restore.back"));
    }
    TRY(m_folders.trash->discard(m_folders.aside, aside));
    return flushRenames();
}

/// Where a replacement was cut off in the middle it is as if it had not begun.
Status FolderPool::mendInterruptedRestores() const
{
    for (const std::string &aside : TRY(namesIn(m_folders.aside))) {
        const Fd kept = TRY(openFolder(m_folders.aside, aside));
        const auto volume = sys::readlinkat(kept, kReplaced);
        if (!volume)
            continue;
        const std::string part = ownPart(kept);
        const auto folder = openFolder(m_folders.volumes, *volume);
        if (folder && exists(kept, part) && !exists(*folder, part)) {
            log::info("storage pool " + quoted(m_place.name) + ": putting back what " + quoted(*volume) + " held");
            TRY(renameNew(kept, part, *folder, part));
        }
        if (exists(kept, part))
            TRY(sys::unlinkat(kept, kReplaced));
        else
            TRY(m_folders.trash->discard(m_folders.aside, aside));
    }
    return {};
}

Result<Bytes> FolderPool::asideUsage(const std::string &aside) const
{
    const Fd folder = TRY(openAside(aside));
    Layers alone = TRY(layersOfAll(folder));
    if (!alone.empty())
        for (const Fd *parent : {&m_folders.volumes, &m_folders.aside})
            for (const std::string &name : TRY(namesIn(*parent)))
                if (parent == &m_folders.volumes || name != aside)
                    for (const std::string &id : TRY(layersOfAll(TRY(openFolder(*parent, name)))))
                        alone.erase(id);
    return Bytes{TRY(usageOfAll(folder)).count + TRY(layersUsage(alone)).count};
}

Status FolderPool::deleteAside(const std::string &aside)
{
    TRY(checkAside(aside));
    const std::lock_guard lock(m_mutex);
    return dropHolder(m_folders.aside, aside);
}

} // namespace lxmgr::storage
