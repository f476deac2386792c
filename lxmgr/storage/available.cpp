#include "storage/available.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/program.h"
#include "kernel/sys.h"
#include "storage/btrfs_subvolume.h"
#include "storage/driver.h"
#include "storage/folder_pool.h"

#include <sys/utsname.h>
#include <unistd.h>

namespace lxmgr::storage
{

namespace
{

bool has(const std::string &file, std::string_view text)
{
    const auto content = files::read(file);
    return content && content->find(text) != std::string::npos;
}

/// As a module that it loads at first use, or built in.
bool kernelHasModule(const std::string &name)
{
    utsname host{};
    ::uname(&host);
    const std::string folder = std::string("/lib/modules/") + host.release;
    return has(folder + "/modules.dep", "/" + name + ".ko") || has(folder + "/modules.builtin", "/" + name + ".ko");
}

bool kernelHasBtrfs() { return has("/proc/filesystems", "\tbtrfs\n") || kernelHasModule("btrfs"); }

/// What keeps btrfs from being made in a file or on a device; a folder on a btrfs needs neither.
std::string lackOfBtrfs(const std::string &stateDir)
{
    const auto folder = sys::open(stateDir, O_RDONLY | O_DIRECTORY);
    const bool onBtrfs = folder && btrfs::isBtrfs(*folder);
    if (!kernelHasBtrfs())
        return "this kernel has no btrfs";
    if (const auto mkfs = program::find("mkfs.btrfs"); !mkfs && !onBtrfs)
        return "mkfs.btrfs is not installed (package btrfs-progs); a folder on a btrfs works without";
    if (::access("/dev/loop-control", R_OK | W_OK) < 0 && !onBtrfs)
        return "this host has no loop devices for a pool in a file; a block device or a folder on a btrfs works";
    return {};
}

/// What keeps thin volumes from being made.
std::string lackOfLvm()
{
    if (!program::find("lvcreate"))
        return "lvcreate is not installed (package lvm2)";
    if (!program::find("thin_check"))
        return "thin_check is not installed (package thin-provisioning-tools)";
    if (!program::find("mkfs.ext4"))
        return "mkfs.ext4 is not installed (package e2fsprogs)";
    if (!has("/proc/misc", "device-mapper") && !kernelHasModule("dm-mod"))
        return "this kernel has no device mapper";
    if (!kernelHasModule("dm-thin-pool") && ::access("/sys/module/dm_thin_pool", F_OK) < 0)
        return "this kernel has no thin volumes (dm_thin_pool)";
    return {};
}

std::string lackOfOverlay(const std::string &stateDir)
{
    const auto driver = makeOverlayDriver({"default", stateDir, stateDir, VolumeKind::Instance});
    const auto folder = sys::open(stateDir, O_RDONLY | O_DIRECTORY);
    if (!folder)
        return "the state folder " + quoted(stateDir) + " cannot be opened";
    const Status fits = static_cast<const FolderPool &>(*driver).checkFileSystem(*folder);
    return fits ? std::string() : fits.error().message;
}

/// zfs comes apart from the kernel: the module may be missing, there but not loaded, or too old.
DriverState stateOfZfs()
{
    DriverState zfs{"zfs", "datasets; snapshots and copies cost what changes", false, {}};
    const bool loaded = has("/proc/filesystems", "\tzfs\n");
    if (!program::find("zfs") || !program::find("zpool"))
        zfs.reason = "zfs and zpool are not installed (package zfsutils-linux)";
    else if (!loaded && !kernelHasModule("zfs"))
        zfs.reason = "this kernel has no zfs (package zfs-dkms, or the kernel's own package of the module)";
    else
        zfs.available = true;
    if (zfs.available && !loaded)
        zfs.reason = "the kernel module is not loaded; the first pool loads it";
    return zfs;
}

DriverState state(std::string_view name, std::string_view summary, std::string lack)
{
    return {name, summary, lack.empty(), std::move(lack)};
}

} // namespace

std::vector<DriverState> driverStates(const std::string &stateDir)
{
    return {
        state("btrfs", "subvolumes; snapshots and copies cost what changes", lackOfBtrfs(stateDir)),
        state("dir", "folders on any file system; snapshots and copies are whole trees", {}),
        state("lvm", "thin volumes; snapshots and copies cost what changes", lackOfLvm()),
        state("overlay", "layers on the image; snapshots cost what changed, copies nothing", lackOfOverlay(stateDir)),
        stateOfZfs(),
    };
}

} // namespace lxmgr::storage
