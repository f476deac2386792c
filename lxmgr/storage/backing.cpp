#include "storage/backing.h"

#include "base/text.h"
#include "kernel/loop.h"
#include "kernel/mount.h"
#include "kernel/program.h"
#include "kernel/sys.h"
#include "storage/btrfs_subvolume.h"
#include "storage/lvm_group.h"
#include "storage/tree.h"
#include "storage/zfs_pool.h"

#include <algorithm>
#include <cstring>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace lxmgr::storage
{

namespace
{

constexpr std::uint64_t kGiB = 1ULL << 30;

/// What mkfs.btrfs says, on one line, without its name in front of each.
std::string saidBy(const std::string &output)
{
    std::string text;
    for (const std::string &line : split(output, '\n')) {
        std::string_view said = trimmed(line);
        if (said.starts_with("ERROR: "))
            said.remove_prefix(7);
        if (!said.empty() && !said.starts_with("btrfs-progs") && !said.starts_with("See http"))
            text.append(text.empty() ? "" : "; ").append(said);
    }
    return text;
}

struct Attribute {
    std::string_view option;
    unsigned attribute;
};
/// What is of the mount, not of the file system, which would not know it.
constexpr Attribute kAttributes[] = {
    {"noatime",    MOUNT_ATTR_NOATIME   },
    {"nodiratime", MOUNT_ATTR_NODIRATIME},
    {"relatime",   MOUNT_ATTR_RELATIME  },
};

/// A pool and its file may lie anywhere an administrator chose.
Result<Fd> openSource(const Backing &backing)
{
    auto source = sys::open(backing.source, O_RDWR);
    if (!source && source.error().errnum == ENOENT)
        return std::move(source.error()).as(Code::Unavailable).hint("the pool's source is missing");
    return source;
}

} // namespace

unsigned takeMountAttributes(mount::Options &options)
{
    unsigned attributes = 0;
    std::erase_if(options, [&](const auto &option) {
        const auto *row = std::ranges::find(kAttributes, option.first, &Attribute::option);
        if (row == std::end(kAttributes))
            return false;
        attributes |= row->attribute;
        return true;
    });
    return attributes;
}

Result<Bytes> defaultFileSize(const std::string &folder)
{
    struct statvfs info {
    };
    if (::statvfs(folder.c_str(), &info) < 0)
        return Error::fromErrno(errno, "statvfs", folder);
    const std::uint64_t free = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
    const std::uint64_t size = std::clamp(free / 5 / kGiB * kGiB, 5 * kGiB, 30 * kGiB);
    if (size > free)
        return Error(Code::NoSpace, "a pool in a file takes 5GiB or more, and " + humanBytes(Bytes{free}) +
                                        " are free at " + quoted(folder) + " (size=… asks for less)");
    return Bytes{size};
}

Status makeFile(const std::string &path, Bytes size)
{
    auto file = sys::open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (!file && file.error().errnum == EEXIST)
        return std::move(file.error()).as(Code::AlreadyExists);
    return sys::ftruncate(TRY(std::move(file)), static_cast<off_t>(size.count));
}

Status makeBtrfs(const std::string &path, const std::string &label, Wipe wipe)
{
    auto mkfs = program::find("mkfs.btrfs");
    if (!mkfs)
        return std::move(mkfs.error()).as(Code::Unsupported).hint("install btrfs-progs");
    std::vector<std::string> command{*mkfs, "--label", label};
    if (wipe == Wipe::Yes)
        command.emplace_back("--force");
    command.push_back(path);
    const program::Output made = TRY(program::run(command, {"LC_ALL=C"}, program::Errors::Keep));
    if (made.status == 0)
        return {};
    const bool taken = made.text.find("existing filesystem") != std::string::npos;
    return Error(taken ? Code::WrongState : Code::Invalid, "mkfs.btrfs: " + saidBy(made.text));
}

Result<bool> holdsBtrfs(const std::string &path)
{
    // <linux/btrfs_tree.h>: the first superblock is at 64 KiB, its magic after checksum, id, address and flags.
    constexpr off_t kMagicAt = 65536 + 64;
    constexpr char kMagic[] = "_BHRfS_M";
    const Fd file = TRY(sys::open(path, O_RDONLY));
    char found[sizeof kMagic - 1] = {};
    const long count =
        TRY(sys::call("pread", path, [&] { return ::pread(file.get(), found, sizeof found, kMagicAt); }));
    return count == sizeof found && std::memcmp(found, kMagic, sizeof found) == 0;
}

bool isMountPoint(const std::string &folder)
{
    struct statx info {
    };
    const int got = ::statx(AT_FDCWD, folder.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &info);
    return got == 0 && (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0; // Linux 5.8
}

Status mountBacking(const Backing &backing)
{
    if (!backing.isMounted() || isMountPoint(backing.folder))
        return {};
    if (backing.isLvm())
        return lvm::mountPlace(backing);
    if (backing.isZfs())
        return zfs::mountPlace(backing);
    const Fd source = TRY(openSource(backing));
    loop::Device loop;
    if (backing.kind == Backing::Kind::File)
        loop = TRY(loop::attach(source));
    mount::Options options = mount::parseOptions(backing.options);
    const unsigned attributes = takeMountAttributes(options);
    options.insert(options.begin(), {"source", loop.fd ? loop.path : backing.source});
    const Fd fs = TRY_IN(backing.source, mount::create("btrfs", options, attributes));
    return sys::move_mount(fs, TRY(makeFolderPath(backing.folder, 0700)), "");
}

Status unmountBacking(const Backing &backing)
{
    if (!backing.isMounted() || !isMountPoint(backing.folder))
        return {};
    for (const std::string &folder : TRY(mount::pointsAt(backing.folder))) {
        Status gone = sys::umount2(folder, UMOUNT_NOFOLLOW);
        if (!gone && gone.error().errnum == EBUSY)
            return std::move(gone.error()).as(Code::WrongState).hint("a program of the host has files open in it");
        TRY(gone);
    }
    return {};
}

Result<Bytes> fileSize(const std::string &path)
{
    const struct stat info = TRY(sys::fstatat(sys::cwd(), path, 0));
    return Bytes{static_cast<std::uint64_t>(info.st_size)};
}

/// Each step sees what is to be done, so a crash between them is put right by the next call.
Status growFile(const Backing &backing, Bytes size)
{
    const Fd file = TRY(openSource(backing));
    const Bytes now = TRY(fileSize(backing.source));
    if (size < now)
        return Error(Code::Invalid, quoted(backing.source) + " is " + formatBytes(now) +
                                        " large and cannot be made smaller (make another pool and move what is in it)");
    if (size > now)
        TRY(sys::ftruncate(file, static_cast<off_t>(size.count)));
    if (backing.isLvm())
        return lvm::growPlace(backing);
    if (backing.isZfs())
        return zfs::growPlace(backing);
    const Fd folder = TRY(sys::open(backing.folder, O_RDONLY | O_DIRECTORY));
    const btrfs::DeviceInfo device = TRY(btrfs::deviceOf(folder));
    // btrfs leaves what is less than a sector at the end.
    if (device.size.count / 4096 >= size.count / 4096)
        return {};
    TRY(loop::takeNewSize(device.path));
    return btrfs::growToDevice(folder);
}

} // namespace lxmgr::storage
