#include "storage/btrfs_quota.h"

#include "kernel/sys.h"
#include "storage/btrfs_subvolume.h"

#include <cerrno>
#include <cstring>
#include <endian.h>
#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>

namespace lxmgr::storage::btrfs
{

namespace
{

constexpr std::uint64_t kSimple = 1 << 3; ///< BTRFS_QGROUP_STATUS_FLAG_SIMPLE_MODE, Linux 6.7: has no rescan.
constexpr std::uint64_t kNoLimit = UINT64_MAX;

template <class Argument>
Status control(const char *name, const Fd &fd, unsigned long request, Argument *argument)
{
    TRY(sys::call(name, {}, [&] { return ::ioctl(fd.get(), request, argument); }));
    return {};
}

/// The item of the quota tree under (0, type, offset); false: it is not there.
template <class Item> Result<bool> readItem(const Fd &anywhere, std::uint32_t type, std::uint64_t offset, Item &item)
{
    btrfs_ioctl_search_args search{};
    search.key.tree_id = BTRFS_QUOTA_TREE_OBJECTID;
    search.key.min_type = search.key.max_type = type;
    search.key.min_offset = search.key.max_offset = offset;
    search.key.max_transid = UINT64_MAX;
    search.key.nr_items = 1;
    const Status found = control("BTRFS_IOC_TREE_SEARCH", anywhere, BTRFS_IOC_TREE_SEARCH, &search);
    if (!found && found.error().errnum == ENOENT)
        return false; // no such tree: quotas have never been on
    TRY(found);
    btrfs_ioctl_search_header header{};
    std::memcpy(&header, search.buf, sizeof header);
    if (search.key.nr_items == 0 || header.type != type || header.len < sizeof item)
        return false;
    std::memcpy(&item, search.buf + sizeof header, sizeof item);
    return true;
}

/// BTRFS_QGROUP_STATUS_FLAG_*; 0 where quotas are off.
Result<std::uint64_t> statusOf(const Fd &anywhere)
{
    btrfs_qgroup_status_item status{};
    const bool there = TRY(readItem(anywhere, BTRFS_QGROUP_STATUS_KEY, 0, status));
    return there ? le64toh(status.flags) : 0;
}

} // namespace

Status beginQuotas(const Fd &folder)
{
    const std::uint64_t status = TRY(statusOf(folder));
    if (!(status & BTRFS_QGROUP_STATUS_FLAG_ON)) {
        btrfs_ioctl_quota_ctl_args enable{};
        enable.cmd = BTRFS_QUOTA_CTL_ENABLE; // starts to count what is there, too
        TRY(control("BTRFS_IOC_QUOTA_CTL", folder, BTRFS_IOC_QUOTA_CTL, &enable));
    } else if (status & kSimple) {
        return {};
    } else if (status & BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT && !(status & BTRFS_QGROUP_STATUS_FLAG_RESCAN)) {
        btrfs_ioctl_quota_rescan_args again{};
        const Status begun = control("BTRFS_IOC_QUOTA_RESCAN", folder, BTRFS_IOC_QUOTA_RESCAN, &again);
        if (!begun && begun.error().errnum != EINPROGRESS)
            return begun;
    }
    return control<void>("BTRFS_IOC_QUOTA_RESCAN_WAIT", folder, BTRFS_IOC_QUOTA_RESCAN_WAIT, nullptr);
}

Result<std::optional<Quota>> quotaOf(const Fd &subvolume)
{
    const std::uint64_t status = TRY(statusOf(subvolume));
    btrfs_qgroup_info_item info{};
    if (!(status & BTRFS_QGROUP_STATUS_FLAG_ON) ||
        status & (BTRFS_QGROUP_STATUS_FLAG_RESCAN | BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT))
        return std::optional<Quota>();
    const std::uint64_t id = TRY(idOf(subvolume));
    if (!TRY(readItem(subvolume, BTRFS_QGROUP_INFO_KEY, id, info)))
        return std::optional<Quota>();
    Quota quota{Bytes{le64toh(info.rfer)}, std::nullopt};
    btrfs_qgroup_limit_item limit{};
    if (TRY(readItem(subvolume, BTRFS_QGROUP_LIMIT_KEY, id, limit)) && le64toh(limit.flags) & BTRFS_QGROUP_LIMIT_MAX_RFER)
        quota.limit = Bytes{le64toh(limit.max_rfer)};
    return std::optional(quota);
}

Status setQuota(const Fd &subvolume, std::optional<Bytes> limit)
{
    btrfs_ioctl_qgroup_limit_args arguments{}; // group 0: that of the descriptor's subvolume
    arguments.lim.flags = BTRFS_QGROUP_LIMIT_MAX_RFER;
    arguments.lim.max_rfer = limit ? limit->count : kNoLimit;
    const Status set = control("BTRFS_IOC_QGROUP_LIMIT", subvolume, BTRFS_IOC_QGROUP_LIMIT, &arguments);
    const bool off = !set && (set.error().errnum == ENOTCONN || set.error().errnum == ENOENT);
    return off && !limit ? Status() : set;
}

void forgetQuota(const Fd &anywhere, std::uint64_t subvolume)
{
    btrfs_ioctl_qgroup_create_args arguments{};
    arguments.qgroupid = subvolume; // create: 0, so it is removed
    (void)control("BTRFS_IOC_QGROUP_CREATE", anywhere, BTRFS_IOC_QGROUP_CREATE, &arguments); // none: quotas are off
}

} // namespace lxmgr::storage::btrfs
