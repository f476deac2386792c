// Driver "dir": a volume, a snapshot and a copy are whole trees, with shared blocks where the file system can. For
// guests that need a root which is no overlay (container engines inside), and for hosts whose kernel or file system
// cannot do one.
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

    Status checkFileSystem(const Fd &) const override { return {}; }

protected:
    std::string ownPart(const Fd &) const override { return kTree; }
    Status makeRoot(const Fd &volume, const Fd *image) const override
    {
        TRY(makeTreeFolder(volume, kTree));
        return makePlainRoot(volume, image);
    }
    Result<RootTree> rootOf(const Fd &, const std::string &path, const std::string &) const override
    {
        return plainRoot(path);
    }

    Result<Data> draftCopy(const Original &original, const Fd &folder, Holder) const override
    {
        TRY(makeTreeFolder(folder, kTree));
        TRY(copyPlainRoot(original.folder, folder, original.inUse));
        return Data::Fresh;
    }
};

} // namespace

std::unique_ptr<Driver> makeDirDriver(Place place) { return std::make_unique<DirDriver>(std::move(place)); }

} // namespace lxmgr::storage
