// Driver "btrfs": images, volumes and snapshots are subvolumes that share all they have in common; each is made in the
// same time whatever it holds, and a snapshot is of one moment even while its guest runs.
//
// An image's whole folder is a read-only subvolume. A volume and a snapshot hold one of their own, "tree", made from
// it, so the root file system is tree/rootfs: not the top of a subvolume, or systemd in the guest would make subvolumes
// for its own folders.
#include "base/text.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "storage/btrfs_quota.h"
#include "storage/btrfs_subvolume.h"
#include "storage/folder_pool.h"
#include "storage/tree.h"

#include <fcntl.h>
#include <sys/stat.h>
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

    Status checkStreams() const override { return {}; }

    Status writeStream(const RootTree &state, const RootTree *since, const StreamTexts &beside, const Fd &to) override
    {
        const Fd tree = TRY(treeOf(state));
        if (TRY(btrfs::hasNested(tree)))
            return Error(Code::Unsupported, "there are subvolumes inside, which a stream leaves out; export without --optimized-storage");
        const Fd before = since ? TRY(treeOf(*since)) : Fd();
        const bool asChange = since && TRY(modesSurvive(before, tree));
        const Scratch scratch = TRY(newPlainScratch());
        Fd sent = TRY(sys::openat(tree, ".", O_RDONLY | O_DIRECTORY));
        if (!beside.empty()) {
            TRY(btrfs::snapshot(tree, scratch.directory(), kTree, btrfs::Access::ReadWrite));
            sent = TRY(openFolder(scratch.directory(), kTree));
            for (const auto &[name, text] : beside) {
                if (exists(sent, name))
                    TRY(sys::unlinkat(sent, name));
                TRY(writeNewFile(sent, name, text));
            }
            TRY(btrfs::setAccess(sent, btrfs::Access::ReadOnly));
        }
        Status done = btrfs::send(sent, asChange ? &before : nullptr, to);
        return done ? std::move(done) : Status(withFreeSpace(std::move(done.error())));
    }

    Status takeStreams(const Scratch &trees, const std::vector<Stream> &streams, const Receive &receive) override
    {
        // A later stream finds what it is based on by the mount that both are below, which is to be that of a subvolume.
        constexpr const char *kArriving = "arriving";
        TRY(btrfs::createSubvolume(trees.directory(), kArriving));
        const Fd arriving = TRY(openFolder(trees.directory(), kArriving));
        for (std::size_t i = 0; i < streams.size(); ++i) {
            (void)TRY(makeFolder(arriving, std::to_string(i), 0700));
            TRY_IN(streams[i].part, receive(streams[i].part, arriving, std::to_string(i)));
        }
        for (std::size_t i = 0; i < streams.size(); ++i)
            TRY_IN(streams[i].part, takeArrived(TRY(openFolder(arriving, std::to_string(i))), trees.directory(), streams[i]));
        return btrfs::destroy(arriving);
    }

private:
    /// The subvolume that holds a root file system of this pool.
    static Result<Fd> treeOf(const RootTree &state)
    {
        return sys::openat(TRY(sys::open(state.directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)), "..", O_RDONLY | O_DIRECTORY);
    }

    /// A change of owner is sent without the mode, where that is the same again; receiving it, chown(2) takes the set-id
    /// bits away. Whether nothing is lost so.
    static Result<bool> modesSurvive(const Fd &before, const Fd &now)
    {
        bool survive = true;
        TRY(path::walk(now, [&](const path::Entry &entry) -> Status {
            if (!survive || !S_ISREG(entry.info.st_mode) || (entry.info.st_mode & (S_ISUID | S_ISGID)) == 0)
                return {};
            const auto there = TRY(btrfs::pathOfInode(before, entry.info.st_ino)); // a new file is sent with all there is to it
            if (!there)
                return {};
            const struct stat theirs = TRY(sys::fstat(TRY(path::open(before, *there, O_PATH | O_NOFOLLOW, path::Scope::NoMount))));
            survive = theirs.st_uid == entry.info.st_uid && theirs.st_gid == entry.info.st_gid;
            return {};
        }));
        return survive;
    }

    /// What came lies alone in `from`, and has at its top what a volume's tree has.
    static Status takeArrived(const Fd &from, const Fd &trees, const Stream &stream)
    {
        const std::string &part = stream.part;
        const auto names = TRY(path::list(from)); // hidden ones, too
        if (names.size() != 1)
            return Error(Code::Invalid, "its stream does not hold one subvolume");
        const Fd tree = TRY(openFolder(from, names.front()));
        if (!btrfs::isSubvolume(tree))
            return Error(Code::Invalid, "its stream does not hold a subvolume");
        TRY(btrfs::setAccess(tree, btrfs::Access::ReadWrite)); // a read-only one cannot be moved
        TRY(btrfs::forgetOrigin(tree));
        const Fd rootfs = TRY_IN("rootfs", openFolder(tree, "rootfs"));
        if (TRY(sys::fstat(rootfs)).st_uid != 0 && !stream.owners.empty())
            TRY(trees::changeOwners(rootfs, stream.owners));
        if (TRY(sys::fstat(rootfs)).st_uid != 0)
            return Error(Code::Invalid, "its root file system does not belong to root");
        for (const std::string &name : TRY(path::list(tree)))
            TRY_IN(quoted(name), settleBeside(tree, name));
        TRY(sys::fchown(tree, 0, 0));
        TRY(sys::fchmod(tree, 0700));
        const std::size_t slash = part.rfind('/');
        const Fd at = slash == std::string::npos ? TRY(sys::openat(trees, ".", O_RDONLY | O_DIRECTORY)) : TRY(openFolder(trees, part.substr(0, slash)));
        const std::string name = part.substr(slash == std::string::npos ? 0 : slash + 1);
        TRY(btrfs::destroy(TRY(openFolder(at, name)))); // the empty one
        return renameNew(from, names.front(), at, name);
    }

    /// Of what lies beside rootfs, the manager reads metadata.yaml and templates: plain files. Its own come anew.
    static Status settleBeside(const Fd &tree, const std::string &name)
    {
        const struct stat info = TRY(sys::fstatat(tree, name));
        if (name == "rootfs" || (name == "metadata.yaml" && S_ISREG(info.st_mode)))
            return {};
        if (name != "templates")
            return S_ISREG(info.st_mode) ? sys::unlinkat(tree, name) : Status(Error(Code::Invalid, "belongs to no part of an instance"));
        const Fd templates = TRY(openFolder(tree, name));
        for (const std::string &one : TRY(path::list(templates)))
            if (!S_ISREG(TRY(sys::fstatat(templates, one)).st_mode))
                return Error(Code::Invalid, quoted(one) + " is not a regular file");
        return {};
    }

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
