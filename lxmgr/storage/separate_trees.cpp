#include "storage/separate_trees.h"

#include "base/log.h"
#include "base/text.h"
#include "kernel/sys.h"
#include "storage/tree.h"
#include "storage/tree_holders.h"

#include <sys/stat.h>
#include <unistd.h>

namespace lxmgr::storage
{

namespace
{

using Access = TreeStore::Access;

class SeparateTrees final : public FolderPool
{
public:
    SeparateTrees(Place place, std::unique_ptr<TreeStore> store)
        : FolderPool(std::move(place)), m_holders(std::make_shared<TreeHolders>(std::move(store)))
    {
    }

    std::string_view driverName() const override { return m_holders->store().driverName(); }
    bool sharesWithImages() const override { return true; }

    Status checkFileSystem(const Fd &pool) const override
    {
        Status fits = m_holders->store().check(pool);
        if (!fits && fits.error().code == Code::Unsupported)
            return unsuitable(*this, fits.error().message);
        return fits;
    }

    /// All in one tree, large enough for each; what is in it goes to trees of its own when it is whole.
    Result<Scratch> newVolumeTrees(const std::vector<std::string> &snapshots) override
    {
        TRY(needPrepared());
        for (const std::string &snapshot : snapshots)
            TRY(checkObjectName("snapshot", snapshot));
        Scratch scratch = TRY(newScratch());
        if (!snapshots.empty())
            if (Status grown = m_holders->multiply(TRY(holderOf(scratch)), snapshots.size() + 1); !grown)
                return withFreeSpace(std::move(grown.error()));
        return layOutTrees(std::move(scratch), snapshots);
    }

    Result<Space> space() const override
    {
        TRY(needPrepared());
        return m_holders->store().space();
    }

protected:
    std::string ownPart(const Fd &) const override { return kTree; }
    std::string imageContent() const override { return kMountPoint; }
    Result<Fd> openImageContent(const Fd &image) const override { return m_holders->open(image); }
    Result<Fd> openTree(const Fd &folder) const override { return m_holders->open(TRY(openFolder(folder, kTree))); }

    Trash::Reclaim reclaimer() const override
    {
        return [holders = m_holders](const Fd &trash, const std::string &name) { return holders->reclaim(trash, name); };
    }

    Status prepareOwn(const Fd &pool) override
    {
        if (kind() != VolumeKind::Instance)
            return {}; // the driver of the instances looks after both
        if (const Status dropped = dropUnnamed(pool); !dropped)
            log::warning("storage pool " + quoted(name()) + ": trees that nothing names: " + dropped.error().message +
                         ", ignoring until the next start");
        return {};
    }

    Status makeImageFolder(const Fd &at, const std::string &name) const override
    {
        TRY(m_holders->make(at, name));
        const Fd top = TRY(m_holders->open(TRY(openFolder(at, name))));
        return sys::fchmod(top, 0700);
    }

    Status protectImage(const Fd &image, Protection protection) const override
    {
        return protection == Protection::On ? m_holders->seal(image) : Status();
    }

    Status makeRoot(const Fd &volume, const Fd *image) const override
    {
        if (image)
            return m_holders->makeLike(*image, volume, kTree, Access::ReadWrite);
        TRY(m_holders->make(volume, kTree));
        (void)TRY(makeFolder(TRY(openTree(volume)), "rootfs", 0755));
        return {};
    }

    Status makeTreeFolder(const Fd &at, const std::string &name) const override
    {
        (void)TRY(makeFolder(at, name, 0700)); // inside a tree
        return {};
    }

    /// A volume alone takes the tree it came in; snapshots get trees of their own, each made from the one before.
    Status takeTrees(const Scratch &trees, const Fd &folder) override
    {
        const Fd container = TRY(openFolder(trees.directory(), kContainer));
        const Fd snapshots = TRY(openFolder(trees.directory(), kSnapshots));
        const auto names = TRY(namesIn(snapshots));
        TRY(checkHasRoot(container, kContainer));
        for (const std::string &name : names) {
            TRY(checkObjectName("snapshot", name));
            TRY(checkHasRoot(TRY(openFolder(snapshots, name)), name));
        }
        TRY(copyMetadata(container, folder));
        if (names.empty())
            return takeWhole(trees, container, folder);
        Arrival arrival;
        for (const std::string &name : names)
            arrival.snapshots.push_back({name, {RootTree::Kind::Directory, trees.path() + "/" + kSnapshots + "/" + name + "/rootfs", {}, {}}});
        arrival.now = {"", {RootTree::Kind::Directory, trees.path() + "/" + kContainer + "/rootfs", {}, {}}};
        return draftArrival(arrival, folder, nullptr, Progress::none());
    }

    Status sealRoot(const Fd &folder, Holder as) const override
    {
        return as == Holder::Snapshot ? m_holders->seal(TRY(openFolder(folder, kTree))) : Status();
    }

    Result<RootTree> rootOf(const Fd &folder, const std::string &path, const std::string &) const override
    {
        (void)TRY(openTree(folder));
        return RootTree{RootTree::Kind::Directory, path + "/" + kTree + "/" + kMountPoint + "/rootfs", {}, {}, {}};
    }

    Result<Data> draftCopy(const Original &original, const Fd &folder, Holder as) const override
    {
        TRY(m_holders->makeLike(TRY(openFolder(original.folder, kTree)), folder, kTree,
                                as == Holder::Snapshot ? Access::ReadOnly : Access::ReadWrite));
        return Data::Settled;
    }

    Result<Bytes> usageOf(const Fd &folder, Holder) const override
    {
        return m_holders->used(TRY(openFolder(folder, kTree)));
    }

    Result<Bytes> usageOfAll(const Fd &folder) const override
    {
        Bytes total;
        if (exists(folder, kTree))
            total = TRY(usageOf(folder, Holder::Volume));
        if (!exists(folder, kSnapshots))
            return total;
        const Fd snapshots = TRY(openFolder(folder, kSnapshots));
        for (const std::string &snapshot : TRY(namesIn(snapshots)))
            total.count += TRY(usageOf(TRY(openFolder(snapshots, snapshot)), Holder::Snapshot)).count;
        return total;
    }

    Status checkLimits(const Fd &) const override { return m_holders->store().canResize(); }

    Status limitTree(const Fd &folder, std::optional<Bytes> limit) const override
    {
        if (!limit && !checkLimits(folder))
            return {}; // there is none
        return m_holders->resize(TRY(openFolder(folder, kTree)), limit);
    }

    /// What is being made lies in scratch; all else was written by guests, or is on disk already.
    Status flush() const override
    {
        const Fd scratch = TRY(openFolder(folder(), "scratch"));
        for (const std::string &name : TRY(namesIn(scratch)))
            TRY(TreeHolders::flushAll(scratch, name));
        return FolderPool::flush();
    }

private:
    static Status checkHasRoot(const Fd &folder, const std::string &name)
    {
        if (exists(folder, "rootfs"))
            return {};
        return Error(Code::Invalid, "the tree of " + quoted(name) + " has no root file system");
    }

    Result<Fd> holderOf(const Scratch &scratch) const
    {
        const std::string path = scratch.path().substr(0, scratch.path().rfind('/'));
        return openFolder(TRY(openFolder(folder(), "scratch")), path.substr(path.rfind('/') + 1));
    }

    Status takeWhole(const Scratch &trees, const Fd &container, const Fd &folder) const
    {
        const Fd &top = trees.directory();
        TRY(removeMetadata(container));
        TRY(renameNew(container, "rootfs", top, "rootfs"));
        TRY(sys::unlinkat(top, kContainer, AT_REMOVEDIR));
        TRY(sys::unlinkat(top, kSnapshots, AT_REMOVEDIR));
        if (::syncfs(top.get()) < 0)
            return Error::fromErrno(errno, "syncfs", trees.path());
        return TreeHolders::move(TRY(holderOf(trees)), TRY(makeFolder(folder, kTree, 0700)));
    }

    Status dropUnnamed(const Fd &pool) const
    {
        TreeStore &store = m_holders->store();
        const auto all = TRY(store.list());
        std::set<std::string> named;
        TRY(addNamed(pool, named));
        if (exists(pool, "custom"))
            TRY(addNamed(TRY(openFolder(pool, "custom")), named));
        for (const std::string &id : all) {
            if (named.contains(id))
                continue;
            log::info("storage pool " + quoted(name()) + ": removing the tree " + id + ", which nothing names");
            TRY(store.destroy(id));
        }
        return {};
    }

    static Status addNamed(const Fd &folder, std::set<std::string> &ids)
    {
        for (const char *part : {"images", "containers", "volumes", "aside", "scratch", "trash"}) {
            if (!exists(folder, part))
                continue;
            const Fd parent = TRY(openFolder(folder, part));
            const bool isTrash = std::string_view(part) == "trash"; // which is being emptied
            for (const std::string &name : TRY(namesIn(parent)))
                if (Status added = TreeHolders::addIds(parent, name, ids);
                    !added && !(isTrash && added.error().code == Code::NotFound))
                    return added;
        }
        return {};
    }

    std::shared_ptr<TreeHolders> m_holders; ///< Shared with the trash, which ends after this object.
};

} // namespace

std::unique_ptr<Driver> makeSeparateTreesDriver(Place place, std::unique_ptr<TreeStore> store)
{
    return std::make_unique<SeparateTrees>(std::move(place), std::move(store));
}

} // namespace lxmgr::storage
