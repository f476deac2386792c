// Driver "lvm": a tree is a thin logical volume with ext4 or xfs on it, a copy of it a thin snapshot, which shares all
// blocks that nobody has written to since. What the pool is made of lies on the volume "lxmgr-pool".
//
// The device mapper freezes a mounted file system for the moment in which it is copied, so that the copy is clean. A
// copy of an xfs has the same UUID, which xfs does not like to see twice: nouuid.
#include "base/text.h"
#include "kernel/files.h"
#include "kernel/mount.h"
#include "kernel/sys.h"
#include "storage/lvm_command.h"
#include "storage/lvm_group.h"
#include "storage/separate_trees.h"
#include "storage/tree.h"

#include <cmath>
#include <cstring>
#include <linux/mount.h>
#include <mutex>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace lxmgr::storage
{

namespace
{

using lvm::devicePath;
using lvm::volumeOf;

constexpr std::uint64_t kUsualSize = 10ULL << 30;
constexpr std::uint64_t kLeastSize = 64ULL << 20; ///< ext4 with a journal; xfs takes 300 MiB.
constexpr double kFull = 95;                      ///< Percent of a thin pool from which on nothing new is made.

enum class FileSystem { Ext4, Xfs };

/// What is on a volume, by its first block.
Result<FileSystem> fileSystemOn(const std::string &device)
{
    const Fd file = TRY(sys::open(device, O_RDONLY));
    unsigned char block[2048] = {};
    (void)TRY(sys::call("pread", device, [&] { return ::pread(file.get(), block, sizeof block, 0); }));
    if (std::memcmp(block, "XFSB", 4) == 0)
        return FileSystem::Xfs;
    if (block[1024 + 56] == 0x53 && block[1024 + 57] == 0xEF) // ext4's magic, 0xEF53
        return FileSystem::Ext4;
    return Error(Code::Corrupt, quoted(device) + " holds neither ext4 nor xfs");
}

/// The file system `top` is on grows to the size of its device.
Status growToDevice(const Fd &top, FileSystem kind, Bytes device)
{
    struct stat info = TRY(sys::fstat(top));
    const auto blockSize = static_cast<std::uint64_t>(info.st_blksize);
    if (kind == FileSystem::Ext4) {
        constexpr unsigned long kResize = _IOW('f', 16, __u64); // EXT4_IOC_RESIZE_FS
        __u64 blocks = device.count / blockSize;
        TRY(sys::call("EXT4_IOC_RESIZE_FS", {}, [&] { return ::ioctl(top.get(), kResize, &blocks); }));
        return {};
    }
    struct { // xfs_growfs_data_t of <xfs/xfs_fs.h>
        __u64 newblocks;
        __u32 imaxpct;
    } data{device.count / blockSize, 25};
    struct Geometry { // xfs_fsop_geom_v1
        __u32 blocksize, rtextsize, agblocks, agcount, logblocks, sectsize, inodesize, imaxpct;
        __u64 datablocks;
        __u8 rest[512];
    } geometry{};
    constexpr unsigned long kGeometry = _IOC(_IOC_READ, 'X', 100, 112); // XFS_IOC_FSGEOMETRY_V1
    constexpr unsigned long kGrow = _IOC(_IOC_WRITE, 'X', 110, 16);     // XFS_IOC_FSGROWFSDATA
    TRY(sys::call("XFS_IOC_FSGEOMETRY", {}, [&] { return ::ioctl(top.get(), kGeometry, &geometry); }));
    data.imaxpct = geometry.imaxpct;
    data.newblocks = device.count / geometry.blocksize;
    if (data.newblocks <= geometry.datablocks)
        return {};
    TRY(sys::call("XFS_IOC_FSGROWFSDATA", {}, [&] { return ::ioctl(top.get(), kGrow, &data); }));
    return {};
}

class LvmTrees final : public TreeStore
{
public:
    LvmTrees(FileSystem made, std::string options) : m_made(made), m_options(std::move(options)) {}

    std::string_view driverName() const override { return "lvm"; }

    Status check(const Fd &pool) const override
    {
        const struct stat info = TRY(sys::fstat(pool));
        const std::string file = "/sys/dev/block/" + std::to_string(major(info.st_dev)) + ":" +
                                 std::to_string(minor(info.st_dev)) + "/dm/name";
        const auto text = files::read(file, 4096);
        const auto name = text ? lvm::parseMapperName(trimmed(*text))
                               : Result<std::pair<std::string, std::string>>(text.error());
        if (!name || name->second != lvm::kHome)
            return Error(Code::Unsupported, "this is not on a logical volume of the pool's own (give a volume group or a "
                                            "block device as source, or none for one in a file)");
        const lvm::Volume home = TRY(lvm::findVolume(name->first, lvm::kHome));
        const std::lock_guard lock(m_mutex);
        m_group = name->first;
        m_thinPool = home.pool;
        return {};
    }

    Status create(const std::string &id, std::optional<Bytes> size) override
    {
        TRY(checkRoom());
        const std::string volume = volumeOf(id), device = devicePath(group(), volume);
        const Bytes bytes = TRY(checkSize(size.value_or(Bytes{kUsualSize}), m_made));
        TRY(lvm::command("lvcreate", {"--yes", "--virtualsize", std::to_string(bytes.count) + "b", "--thinpool",
                                      group() + "/" + thinPool(), "--setactivationskip", "y",
                                      "--ignoreactivationskip", "--name", volume}));
        if (m_made == FileSystem::Xfs)
            return lvm::tool("mkfs.xfs", "xfsprogs", {"-q", "-f", "-K", device});
        TRY(lvm::tool("mkfs.ext4", "e2fsprogs",
                      {"-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", device}));
        const Fd top = TRY(topOf(TRY(mount(id, Access::ReadWrite))));
        return sys::unlinkat(top, "lost+found", AT_REMOVEDIR); // of no use to a guest, and in the way of a new image
    }

    Status clone(const std::string &from, const std::string &to, Access access) override
    {
        TRY(checkRoom());
        std::vector<std::string> words{"--yes", "--snapshot", "--setactivationskip", "y", "--name", volumeOf(to)};
        if (access == Access::ReadWrite)
            words.emplace_back("--ignoreactivationskip"); // it is mounted soon; a snapshot seldom is
        words.push_back(group() + "/" + volumeOf(from));
        return lvm::command("lvcreate", words);
    }

    Result<Fd> mount(const std::string &id, Access access) override
    {
        const std::string volume = volumeOf(id), device = devicePath(group(), volume);
        if (::access(device.c_str(), F_OK) != 0)
            TRY(lvm::command("lvchange", {"--activate", "y", "--ignoreactivationskip", group() + "/" + volume}));
        const FileSystem kind = TRY(fileSystemOn(device));
        mount::Options options = mount::parseOptions(m_options);
        const unsigned attributes = takeMountAttributes(options);
        options.insert(options.begin(), {"source", device});
        if (kind == FileSystem::Xfs)
            options.emplace_back("nouuid", "");
        if (access == Access::ReadOnly)
            options.emplace_back("ro", "");
        const unsigned readOnly = access == Access::ReadOnly ? MOUNT_ATTR_RDONLY : 0;
        Fd tree = TRY_IN(device, mount::create(kind == FileSystem::Xfs ? "xfs" : "ext4", options, attributes | readOnly));
        if (access == Access::ReadWrite) // what a crash cut off between volume and file system, and copies of the like
            TRY_IN(device, growToDevice(TRY(topOf(tree)), kind, TRY(deviceSize(device))));
        return tree;
    }

    Status destroy(const std::string &id) override
    {
        Status gone = lvm::command("lvremove", {"--yes", group() + "/" + volumeOf(id)});
        return !gone && gone.error().code == Code::NotFound ? Status() : gone;
    }

    Result<std::vector<std::string>> list() const override
    {
        std::vector<std::string> ids;
        for (const lvm::Volume &volume : TRY(lvm::listVolumes(group())))
            if (auto id = lvm::idOf(volume.name))
                ids.push_back(std::move(*id));
        return ids;
    }

    Result<Bytes> used(const std::string &id) const override
    {
        const lvm::Volume volume = TRY(lvm::findVolume(group(), volumeOf(id)));
        return volume.used();
    }

    Result<std::optional<Bytes>> size(const std::string &id) const override
    {
        return std::optional(TRY(lvm::findVolume(group(), volumeOf(id))).size);
    }

    Status resize(const std::string &id, std::optional<Bytes> size, const Fd *mounted) override
    {
        const std::string volume = volumeOf(id), device = devicePath(group(), volume);
        const Bytes now = TRY(lvm::findVolume(group(), volume)).size;
        const Bytes wanted = size ? TRY(checkSize(*size, FileSystem::Ext4)) : std::max(now, Bytes{kUsualSize});
        if (wanted == now)
            return {};
        if (::access(device.c_str(), F_OK) != 0)
            TRY(lvm::command("lvchange", {"--activate", "y", "--ignoreactivationskip", group() + "/" + volume}));
        const FileSystem kind = TRY(fileSystemOn(device));
        if (wanted < now)
            return shrink(volume, kind, wanted, mounted);
        TRY(lvm::command("lvextend", {"--size", std::to_string(wanted.count) + "b", group() + "/" + volume}));
        return mounted ? growToDevice(*mounted, kind, wanted) : Status(); // else at the next mount
    }

    Result<Space> space() const override
    {
        const lvm::Volume pool = TRY(lvm::findVolume(group(), thinPool()));
        return Space{pool.size, pool.used(), Bytes{pool.size.count - pool.used().count}, 0, 0};
    }

private:
    std::string group() const
    {
        const std::lock_guard lock(m_mutex);
        return m_group;
    }
    std::string thinPool() const
    {
        const std::lock_guard lock(m_mutex);
        return m_thinPool;
    }

    static Result<Fd> topOf(const Fd &mounted) { return sys::openat(mounted, ".", O_RDONLY | O_DIRECTORY); }

    static Result<Bytes> deviceSize(const std::string &device)
    {
        const Fd file = TRY(sys::open(device, O_RDONLY));
        const long size = TRY(sys::call("lseek", device, [&] { return ::lseek(file.get(), 0, SEEK_END); }));
        return Bytes{static_cast<std::uint64_t>(size)};
    }

    /// In whole extents of 4 MiB, as groups of ours have them.
    static Result<Bytes> checkSize(Bytes size, FileSystem kind)
    {
        constexpr std::uint64_t kExtent = 4ULL << 20;
        const std::uint64_t least = kind == FileSystem::Xfs ? 300ULL << 20 : kLeastSize;
        if (size.count < least)
            return Error(Code::Invalid, humanBytes(size) + " is too small for a file system of its own (at least " +
                                            humanBytes(Bytes{least}) + ")");
        return Bytes{(size.count + kExtent - 1) / kExtent * kExtent};
    }

    /// A thin pool that runs full stops everybody in it.
    Status checkRoom() const
    {
        const lvm::Volume pool = TRY(lvm::findVolume(group(), thinPool()));
        const bool data = pool.dataPercent >= kFull;
        if (!data && pool.metadataPercent < kFull)
            return {};
        const double percent = data ? pool.dataPercent : pool.metadataPercent;
        return Error(Code::NoSpace, "the thin pool " + quoted(group() + "/" + thinPool()) + " is " +
                                        std::to_string(std::lround(percent)) + "% full" + (data ? "" : " of metadata") +
                                        " (delete something in it, or make it larger: " +
                                        (data ? "size=… of the storage pool, or lvextend" : "lvextend --poolmetadatasize") +
                                        ")");
    }

    Status shrink(const std::string &volume, FileSystem kind, Bytes size, const Fd *mounted) const
    {
        if (kind == FileSystem::Xfs)
            return Error(Code::Unsupported, "xfs cannot be made smaller (copy what is in it into a smaller volume)");
        if (mounted)
            return Error(Code::WrongState, "a file system in use cannot be made smaller (stop the instance first)");
        const std::string device = devicePath(group(), volume);
        if (const auto alone = sys::open(device, O_RDONLY | O_EXCL); !alone)
            return alone.error().errnum == EBUSY
                       ? Error(Code::WrongState, "a file system in use cannot be made smaller (stop the instance first)")
                       : alone.error();
        TRY(lvm::tool("e2fsck", "e2fsprogs", {"-f", "-p", device}));
        Status smaller = lvm::tool("resize2fs", "e2fsprogs", {device, std::to_string(size.count / 1024) + "K"});
        if (!smaller && smaller.error().message.find("smaller than minimum") != std::string::npos)
            return Error(Code::Invalid, "more is stored than " + humanBytes(size) +
                                            " hold; remove something inside, or give it more");
        TRY(smaller);
        return lvm::command("lvreduce", {"--yes", "--force", "--size", std::to_string(size.count) + "b",
                                         group() + "/" + volume});
    }

    const FileSystem m_made; ///< What new trees get.
    const std::string m_options;
    mutable std::mutex m_mutex;
    mutable std::string m_group, m_thinPool; ///< What check() found at the pool's folder.
};

} // namespace

std::unique_ptr<Driver> makeLvmDriver(Place place)
{
    const FileSystem made = place.treeFileSystem == "xfs" ? FileSystem::Xfs : FileSystem::Ext4;
    std::string options = place.treeOptions;
    return makeSeparateTreesDriver(std::move(place), std::make_unique<LvmTrees>(made, std::move(options)));
}

} // namespace lxmgr::storage
