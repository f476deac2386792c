// Volumes made from trees that came from elsewhere, and volumes held for somebody who reads them for long.
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "kernel/sys.h"
#include "storage/folder_pool.h"
#include "storage/project_quota.h"
#include "storage/tree.h"

namespace lxmgr::storage
{

namespace
{

constexpr const char *kMetadata = "metadata.yaml";
constexpr const char *kTemplates = "templates";
constexpr std::size_t kLongestMetadata = 1 << 20;

} // namespace

Status removeMetadata(const Fd &folder)
{
    if (exists(folder, kMetadata))
        TRY(sys::unlinkat(folder, kMetadata));
    if (!exists(folder, kTemplates))
        return {};
    const Fd templates = TRY(openFolder(folder, kTemplates));
    for (const std::string &name : TRY(namesIn(templates)))
        TRY(sys::unlinkat(templates, name));
    return sys::unlinkat(folder, kTemplates, AT_REMOVEDIR);
}

/// Not renamed: a tree may be a subvolume of its own.
Status copyMetadata(const Fd &from, const Fd &folder)
{
    if (exists(from, kMetadata))
        TRY(writeNewFile(folder, kMetadata, TRY(readSmallFile(from, kMetadata, kLongestMetadata))));
    if (exists(from, kTemplates))
        TRY(copyTree(TRY(openFolder(from, kTemplates)), TRY(makeFolder(folder, kTemplates, 0755))));
    return {};
}

Status FolderPool::makeTreeFolder(const Fd &at, const std::string &name) const
{
    const Fd tree = TRY(makeFolder(at, name, 0700));
    return projects::areLimited(tree) ? projects::begin(tree) : Status();
}

Status FolderPool::takeTree(const Fd &at, const std::string &name, const Fd &folder, Holder) const
{
    const Fd tree = TRY(openFolder(at, name));
    if (!exists(tree, "rootfs"))
        return Error(Code::Invalid, "the tree of " + quoted(name) + " has no root file system");
    TRY(removeMetadata(tree));
    return renameNew(at, name, folder, kTree);
}

Result<Scratch> FolderPool::newVolumeTrees(const std::vector<std::string> &snapshots)
{
    TRY(needPrepared());
    for (const std::string &snapshot : snapshots)
        TRY(checkObjectName("snapshot", snapshot));
    return layOutTrees(TRY(newPlainScratch()), snapshots);
}

Result<Scratch> FolderPool::layOutTrees(Scratch scratch, const std::vector<std::string> &snapshots) const
{
    const auto made = [&]() -> Status {
        TRY(makeTreeFolder(scratch.directory(), kContainer));
        const Fd parent = TRY(makeFolder(scratch.directory(), kSnapshots, 0700));
        for (const std::string &snapshot : snapshots)
            TRY(makeTreeFolder(parent, snapshot));
        return {};
    }();
    return made ? Result<Scratch>(std::move(scratch)) : Result<Scratch>(withFreeSpace(made.error()));
}

Status FolderPool::takeTrees(const Scratch &trees, const Fd &folder)
{
    TRY(copyMetadata(TRY(openFolder(trees.directory(), kContainer)), folder));
    TRY(takeTree(trees.directory(), kContainer, folder, Holder::Volume));
    const Fd from = TRY(openFolder(trees.directory(), kSnapshots));
    const auto names = TRY(namesIn(from));
    if (names.empty())
        return {};
    const Fd snapshots = TRY(makeFolder(folder, kSnapshots, 0700));
    for (const std::string &name : names) {
        TRY(checkObjectName("snapshot", name));
        TRY(takeTree(from, name, TRY(makeFolder(snapshots, name, 0700)), Holder::Snapshot));
    }
    return {};
}

Status FolderPool::createVolume(const std::string &project, const std::string &name, Scratch trees)
{
    const std::string volume = TRY(checkedVolume(project, name));
    if (exists(m_folders.volumes, volume))
        return Error(Code::AlreadyExists, "volume " + quoted(volume) + " exists in storage pool " + quoted(m_place.name));
    Scratch scratch = TRY(newPlainScratch());
    if (Status taken = takeTrees(trees, scratch.directory()); !taken)
        return withFreeSpace(std::move(taken.error()));
    TRY(failpoint("volume.trees.taken"));
    TRY(flush());
    TRY(moveIn(std::move(scratch), m_folders.volumes, volume));
    return flushRenames();
}

/// A copy as a snapshot is one, in scratch, where the next prepare() finds what a crash leaves.
class FolderPool::HeldVolume final : public Held
{
public:
    HeldVolume(FolderPool &pool, Scratch scratch, Layers layers, RootTree tree)
        : m_pool(pool), m_scratch(std::move(scratch)), m_layers(std::move(layers)), m_tree(std::move(tree))
    {
    }
    HeldVolume(const HeldVolume &) = delete;
    HeldVolume &operator=(const HeldVolume &) = delete;
    ~HeldVolume() override
    {
        m_scratch.reset();
        m_pool.release(m_layers);
    }
    const RootTree &tree() const override { return m_tree; }

private:
    FolderPool &m_pool;
    std::optional<Scratch> m_scratch;
    Layers m_layers;
    RootTree m_tree;
};

void FolderPool::release(const Layers &layers)
{
    const std::lock_guard lock(m_mutex);
    if (const Status dropped = dropUnused(layers); !dropped)
        log::warning("storage pool " + quoted(m_place.name) + ": unused layers: " + dropped.error().message +
                     ", ignoring until the next start");
}

Result<std::unique_ptr<Held>> FolderPool::hold(const std::string &project, const std::string &name, InUse inUse)
{
    const std::string volume = TRY(checkedVolume(project, name));
    const Fd folder = TRY_IN("volume " + quoted(volume), openFolder(m_folders.volumes, volume));
    const std::string image = imagePath(TRY(volumeImage(project, name)));
    Scratch scratch = TRY(newPlainScratch());
    const Original original{folder, Holder::Volume, inUse};
    if (const auto data = draftCopy(original, scratch.directory(), Holder::Snapshot); !data)
        return withFreeSpace(data.error());
    const std::lock_guard lock(m_mutex);
    TRY(checkStillThere(m_folders.volumes, volume, folder));
    if (Status finished = finishCopy(original, scratch.directory(), Holder::Snapshot); !finished)
        return withFreeSpace(std::move(finished.error()));
    RootTree tree = TRY(rootOf(scratch.directory(), scratch.path(), image));
    tree.layer.clear(); // read-only
    Layers layers = TRY(layersOf(scratch.directory()));
    return std::unique_ptr<Held>(
        std::make_unique<HeldVolume>(*this, std::move(scratch), std::move(layers), std::move(tree)));
}

} // namespace lxmgr::storage
