// Driver "btrfs": images, volumes and snapshots are subvolumes that share all they have in common; each is made in the
// same time whatever it holds, and a snapshot is of one moment even while its guest runs.
//
// An image's whole folder is a read-only subvolume. A volume and a snapshot hold one of their own, "tree", made from
// it, so the root file system is tree/rootfs: not the top of a subvolume, or systemd in the guest would make subvolumes
// for its own folders.
#include "base/text.h"
#include "kernel/sys.h"
#include "storage/btrfs_quota.h"
#include "storage/btrfs_subvolume.h"
#include "storage/folder_pool.h"
#include "storage/tree.h"

#include <unistd.h>

namespace lxmgr::storage
{

namespace
{

class BtrfsDriver final : public FolderPool
{
public:
    using FolderPool::FolderPool;
    std::string_view driverName() const override { return "btrfs"; }

    Status checkFileSystem(const Fd &pool) const override
    {
        if (btrfs::isBtrfs(pool))
            return {};
        return unsuitable(
            *this, "this is no btrfs (give a folder on one or a block device as source, or none for a pool in a file)");
    }

    bool sharesWithImages() const override { return true; }

protected:
    std::string ownPart(const Fd &) const override { return kTree; }

    Status makeImageFolder(const Fd &at, const std::string &name) const override
    {
        TRY(btrfs::createSubvolume(at, name));
        (void)TRY(makeFolder(at, name, 0700));
        return {};
    }

    /// A read-only subvolume cannot be moved, so this comes after the one rename and before the other.
    Status protectImage(const Fd &image, Protection protection) const override
    {
        return btrfs::setAccess(image,
                                protection == Protection::On ? btrfs::Access::ReadOnly : btrfs::Access::ReadWrite);
    }

    Status makeRoot(const Fd &volume, const Fd *image) const override
    {
        if (image)
            return btrfs::snapshot(*image, volume, kTree, btrfs::Access::ReadWrite);
        TRY(btrfs::createSubvolume(volume, kTree));
        return makePlainRoot(volume, nullptr);
    }

    Status makeTreeFolder(const Fd &at, const std::string &name) const override
    {
        return btrfs::createSubvolume(at, name);
    }

    Status takeTree(const Fd &at, const std::string &name, const Fd &folder, Holder as) const override
    {
        TRY(FolderPool::takeTree(at, name, folder, as));
        return sealRoot(folder, as); // last: a read-only subvolume cannot be moved
    }

    Status sealRoot(const Fd &folder, Holder as) const override
    {
        return as == Holder::Snapshot
                   ? btrfs::setAccess(TRY(openFolder(folder, kTree)), btrfs::Access::ReadOnly)
                   : Status();
    }

    Result<RootTree> rootOf(const Fd &, const std::string &path, const std::string &) const override
    {
        return plainRoot(path);
    }

    Result<Data> draftCopy(const Original &original, const Fd &folder, Holder as) const override
    {
        const Fd tree = TRY(openFolder(original.folder, kTree));
        TRY(btrfs::snapshot(tree, folder, kTree,
                            as == Holder::Snapshot ? btrfs::Access::ReadOnly : btrfs::Access::ReadWrite));
        TRY(btrfs::setQuota(TRY(openFolder(folder, kTree)), std::nullopt)); // the kernel copies the limit along
        return Data::Settled;
    }

    /// Without subvolumes that a guest made inside, which are not counted with the one around them.
    Result<std::optional<Bytes>> countedOf(const Fd &folder) const override
    {
        const auto quota = TRY(btrfs::quotaOf(TRY(openFolder(folder, kTree))));
        return quota ? std::optional(quota->used) : std::optional<Bytes>();
    }

    Status checkLimits(const Fd &) const override { return {}; }
    Status beginLimits(const Fd &pool) const override { return btrfs::beginQuotas(pool); }
    Status limitTree(const Fd &folder, std::optional<Bytes> limit) const override
    {
        const Fd tree = TRY(openFolder(folder, kTree));
        const auto before = TRY(btrfs::quotaOf(tree));
        if (before && before->limit == limit)
            return {};
        if (before && limit) {
            // Figures are those of the last commit.
            TRY(sys::call("syncfs", {}, [&] { return ::syncfs(tree.get()); }));
            if (const auto now = TRY(btrfs::quotaOf(tree)); now && now->used > *limit)
                return overLimit(*limit, now->used);
        }
        return btrfs::setQuota(tree, limit);
    }
};

} // namespace

std::unique_ptr<Driver> makeBtrfsDriver(Place place) { return std::make_unique<BtrfsDriver>(std::move(place)); }

} // namespace lxmgr::storage
