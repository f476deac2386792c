// Driver "overlay": a volume is an empty upper layer on the image's tree. Needs no set-up and works on any local file system that
// can be id-mapped; creating takes the same time for any image.
#include "base/text.h"
#include "storage/folder_pool.h"
#include "storage/tree.h"

#include <cerrno>
#include <cstdio>
#include <linux/magic.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

namespace lxmgr::storage
{

namespace
{

struct UnfitFileSystem {
    long magic;
    const char *name;
};

/// overlayfs refuses these as upper layer (no d_type, no whiteouts, or remote), or they cannot be id-mapped.
constexpr UnfitFileSystem kUnfit[] = {
    {OVERLAYFS_SUPER_MAGIC, "overlay"}, {NFS_SUPER_MAGIC, "nfs"},     {SMB_SUPER_MAGIC, "smb"}, {CIFS_SUPER_MAGIC, "cifs"},
    {SMB2_SUPER_MAGIC, "smb3"},         {MSDOS_SUPER_MAGIC, "vfat"},  {V9FS_MAGIC, "9p"},       {ECRYPTFS_SUPER_MAGIC, "ecryptfs"},
    {RAMFS_MAGIC, "ramfs"},             {SQUASHFS_MAGIC, "squashfs"}, {FUSE_SUPER_MAGIC, "fuse"},
};

/// Linux 5.19 is the first that takes id-mapped mounts as overlay layers.
bool hasIdmappedLayers()
{
    utsname host{};
    int major = 0;
    int minor = 0;
    if (::uname(&host) < 0 || std::sscanf(host.release, "%d.%d", &major, &minor) != 2)
        return true; // it will say so itself
    return major > 5 || (major == 5 && minor >= 19);
}

class OverlayDriver final : public FolderPool
{
public:
    using FolderPool::FolderPool;
    std::string_view driverName() const override { return "overlay"; }

protected:
    Status checkFileSystem(const Fd &pool) const override
    {
        if (!hasIdmappedLayers())
            return unsuitable(*this, "id-mapped overlay layers need Linux 5.19 (the driver 'dir' works without)");
        struct statfs info{};
        if (::fstatfs(pool.get(), &info) < 0)
            return Error::fromErrno(errno, "statfs", directory());
        for (const UnfitFileSystem &unfit : kUnfit)
            if (info.f_type == unfit.magic)
                return unsuitable(*this, std::string("a file system of type ") + unfit.name +
                                             " cannot hold overlay layers (use the driver 'dir', or a folder on ext4, xfs or btrfs)");
        return {};
    }

    bool layersOnImage() const override { return true; }
    std::string ownPart() const override { return "layer"; }

    Status makeRoot(const Fd &volume, const Fd &imageRootfs) const override
    {
        const Fd layer = TRY(makeFolder(volume, "layer", 0700));
        (void)TRY(makeFolder(layer, "work", 0700));
        const Fd upper = TRY(makeFolder(layer, "upper", 0755));
        return copyAttributes(imageRootfs, upper); // "/" inside shows the upper layer's
    }

    RootTree rootOf(const std::string &volumeDir, const std::string &imageRootfs) const override
    {
        return {RootTree::Kind::Overlay, {}, {imageRootfs}, volumeDir + "/layer"};
    }
};

} // namespace

Result<std::unique_ptr<Driver>> makeOverlayDriver(std::string name, std::string directory, std::string databaseDir)
{
    return std::unique_ptr<Driver>(std::make_unique<OverlayDriver>(std::move(name), std::move(directory), std::move(databaseDir)));
}

} // namespace lxmgr::storage
