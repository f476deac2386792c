#include "storage/project_quota.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/sys.h"
#include "storage/folder_pool.h"
#include "storage/tree.h"

#include <algorithm>
#include <cerrno>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/quota.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef PRJQUOTA
#define PRJQUOTA 2
#endif

namespace lxmgr::storage::projects
{

namespace
{

/// Ours lie above what people number by hand, and below what 31 bits hold.
constexpr Id kFirst = 0x4000'0000;
constexpr Id kMask = 0x3fff'ffff;
constexpr std::uint64_t kBlock = 512; ///< Unit of fs_disk_quota.

Status control(const char *name, const Fd &anywhere, unsigned command, Id id, void *argument)
{
    TRY(sys::call(name, {}, [&] {
        return ::syscall(SYS_quotactl_fd, anywhere.get(), QCMD(command, PRJQUOTA), id, argument);
    }));
    return {};
}

Result<fsxattr> flagsOf(const Fd &folder)
{
    fsxattr flags{};
    TRY(sys::call("FS_IOC_FSGETXATTR", {}, [&] { return ::ioctl(folder.get(), FS_IOC_FSGETXATTR, &flags); }));
    return flags;
}

Status limitsOn(const Fd &folder)
{
    fs_quota_statv state{};
    state.qs_version = FS_QSTATV_VERSION1;
    TRY(control("Q_XGETQSTATV", folder, Q_XGETQSTATV, 0, &state));
    return state.qs_flags & FS_QUOTA_PDQ_ENFD ? Status() : Status(Error(Code::Unsupported, "project quotas are off"));
}

bool inProject(const Fd &folder)
{
    const auto flags = flagsOf(folder);
    return flags && flags->fsx_xflags & FS_XFLAG_PROJINHERIT;
}

/// Whether the running kernel, or a module of it, has the function.
bool kernelHas(const std::string &symbol, const std::string &module)
{
    const auto symbols = files::read("/proc/kallsyms", 256U << 20);
    if (symbols && symbols->find(symbol) != std::string::npos)
        return true;
    utsname host{};
    if (module.empty() || ::uname(&host) < 0)
        return false;
    const std::string path = "/lib/modules/" + std::string(host.release) + "/kernel/" + module;
    return std::ranges::any_of(std::initializer_list<const char *>{"", ".xz", ".zst", ".gz"},
                               [&](const char *ending) { return ::access((path + ending).c_str(), F_OK) == 0; });
}

std::string whyOff(long magic, const Status &off)
{
    constexpr const char *kElse = "; or use a pool of driver btrfs";
    if (off.error().errnum == ENOSYS && !kernelHas("sys_quotactl_fd", {}))
        return "limits need Linux 5.14 or later, with quotas (quotactl_fd)";
    if (magic == XFS_SUPER_MAGIC)
        return kernelHas("xfs_qm_dqget", {})
                   ? std::string("the xfs is mounted without project quotas (mount it with the option prjquota") + kElse + ")"
                   : std::string("this kernel has no quotas for xfs (boot one with CONFIG_XFS_QUOTA") + kElse + ")";
    if (!kernelHas("v2_read_file_info", "fs/quota/quota_v2.ko"))
        return std::string("this kernel has no quotas for ext4 (boot one with CONFIG_QFMT_V2") + kElse + ")";
    return std::string("the ext4 is mounted without project quotas (unmount it, tune2fs -O project,quota -Q prjquota on "
                       "its device, and mount it with the option prjquota") +
           kElse + ")";
}

bool isNamed(Id id)
{
    // Of an administrator; each line is NAME:NUMBER (projid(5)).
    const std::string text = files::read("/etc/projid").value_or(std::string());
    for (const std::string &line : split(text, '\n'))
        if (const auto colon = line.rfind(':');
            colon != std::string::npos && trimmed(std::string_view(line).substr(colon + 1)) == std::to_string(id))
            return true;
    return false;
}

Result<fs_disk_quota> rawQuota(const Fd &anywhere, Id project)
{
    fs_disk_quota raw{};
    const Status got = control("Q_XGETQUOTA", anywhere, Q_XGETQUOTA, project, &raw);
    if (!got && got.error().errnum == ENOENT)
        return fs_disk_quota{}; // nothing of it was ever counted
    TRY(got);
    return raw;
}

Result<Id> unusedId(const Fd &anywhere)
{
    for (;;) {
        Id id = 0;
        [[maybe_unused]] const ssize_t whole = ::getrandom(&id, sizeof id, 0); // as in randomName()
        id = kFirst | (id & kMask);
        const fs_disk_quota raw = TRY(rawQuota(anywhere, id));
        if (raw.d_bcount == 0 && raw.d_icount == 0 && raw.d_blk_hardlimit == 0 && raw.d_ino_hardlimit == 0 && !isNamed(id))
            return id;
    }
}

} // namespace

bool areLimited(const Fd &folder) { return limitsOn(folder) && !inProject(folder); }

Status check(const Fd &folder)
{
    struct statfs info {
    };
    if (::fstatfs(folder.get(), &info) < 0)
        return Error::fromErrno(errno, "statfs");
    if (info.f_type != EXT4_SUPER_MAGIC && info.f_type != XFS_SUPER_MAGIC)
        return Error(Code::Unsupported, "its file system has no project quotas, which limits need (use a folder on ext4 "
                                        "or xfs mounted with prjquota, or a pool of driver btrfs)");
    if (const Status on = limitsOn(folder); !on)
        return Error(Code::Unsupported, whyOff(info.f_type, on));
    if (inProject(folder))
        return Error(Code::Unsupported, "its folder is in project " + std::to_string(TRY(flagsOf(folder)).fsx_projid) +
                                            " already, and files do not move between projects (use a folder that is in none)");
    return {};
}

Status begin(const Fd &folder)
{
    fsxattr flags = TRY(flagsOf(folder));
    flags.fsx_projid = TRY(unusedId(folder));
    flags.fsx_xflags |= FS_XFLAG_PROJINHERIT;
    TRY(sys::call("FS_IOC_FSSETXATTR", "project " + std::to_string(flags.fsx_projid),
                  [&] { return ::ioctl(folder.get(), FS_IOC_FSSETXATTR, &flags); }));
    return {};
}

std::optional<Id> projectOf(const Fd &folder)
{
    const auto flags = flagsOf(folder);
    if (!flags || !(flags->fsx_xflags & FS_XFLAG_PROJINHERIT) || flags->fsx_projid < kFirst)
        return std::nullopt;
    return flags->fsx_projid;
}

Result<Quota> quota(const Fd &anywhere, Id project)
{
    const fs_disk_quota raw = TRY(rawQuota(anywhere, project));
    Quota quota{Bytes{raw.d_bcount * kBlock}, std::nullopt};
    if (raw.d_blk_hardlimit != 0)
        quota.limit = Bytes{raw.d_blk_hardlimit * kBlock};
    return quota;
}

void settle(const Fd &anywhere)
{
    // XFS_IOC_FREE_EOFBLOCKS of <xfs/xfs_fs.h>: the one call that waits for inodes that are gone.
    struct Blocks {
        __u32 version = 1, flags = 0, uid = 0, gid = 0, project = 0, pad = 0;
        __u64 smallest = 0, more[12] = {};
    } all;
    // Refused by all but xfs, which have nothing to wait for.
    (void)sys::call("XFS_IOC_FREE_EOFBLOCKS", {}, [&] { return ::ioctl(anywhere.get(), _IOR('X', 58, Blocks), &all); });
}

Status limit(const Fd &anywhere, Id project, std::optional<Bytes> limit)
{
    fs_disk_quota raw{};
    raw.d_version = FS_DQUOT_VERSION;
    raw.d_flags = FS_PROJ_QUOTA;
    raw.d_id = project;
    raw.d_fieldmask = FS_DQ_BHARD;
    raw.d_blk_hardlimit = limit ? std::max<std::uint64_t>((limit->count + 1023) / 1024, 1) * 2 : 0;
    return control("Q_XSETQLIM", anywhere, Q_XSETQLIM, project, &raw);
}

void forget(const Fd &trash, const std::string &name)
{
    const auto folder = openFolder(trash, name);
    if (!folder || !limitsOn(*folder))
        return;
    const auto drop = [](const Fd &tree) {
        const auto project = projectOf(tree);
        if (const auto set = project ? quota(tree, *project) : Result<Quota>(Quota{}); set && set->limit)
            (void)limit(tree, *project, std::nullopt); // a number less that can be given again
    };
    drop(*folder);
    for (const char *part : {kTree, kLayer})
        if (const auto tree = openFolder(*folder, part))
            drop(*tree);
}

} // namespace lxmgr::storage::projects
