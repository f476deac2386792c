// Driver "dir": a volume is a copy of the image's tree, with shared blocks where the file system can. For guests that need a root
// which is no overlay (container engines inside), and for hosts whose kernel or file system cannot do one.
#include "storage/folder_pool.h"
#include "storage/tree.h"

namespace lxmgr::storage
{

namespace
{

class DirDriver final : public FolderPool
{
public:
    using FolderPool::FolderPool;
    std::string_view driverName() const override { return "dir"; }

protected:
    Status checkFileSystem(const Fd &) const override { return {}; }
    bool layersOnImage() const override { return false; }
    std::string ownPart() const override { return "rootfs"; }

    Status makeRoot(const Fd &volume, const Fd &imageRootfs) const override
    {
        return copyTree(imageRootfs, TRY(makeFolder(volume, "rootfs", 0700)));
    }

    RootTree rootOf(const std::string &volumeDir, const std::string &) const override
    {
        return {RootTree::Kind::Directory, volumeDir + "/rootfs", {}, {}};
    }
};

} // namespace

Result<std::unique_ptr<Driver>> makeDirDriver(std::string name, std::string directory, std::string databaseDir)
{
    return std::unique_ptr<Driver>(std::make_unique<DirDriver>(std::move(name), std::move(directory), std::move(databaseDir)));
}

} // namespace lxmgr::storage
