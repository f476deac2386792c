#include "instances/own_view.h"

#include "kernel/path.h"
#include "kernel/sys.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

namespace lxmgr::instances
{

namespace
{

constexpr const char *kFiles[] = {
    "proc/cpuinfo", "proc/diskstats", "proc/loadavg", "proc/meminfo", "proc/slabinfo",
    "proc/stat",    "proc/swaps",     "proc/uptime",  "sys/devices/system/cpu/online",
};

} // namespace

std::vector<spec::Mount> ownView(const std::string &lxcfs)
{
    std::vector<spec::Mount> mounts;
    const auto folder = path::openFolder(lxcfs);
    struct statfs info {
    };
    // One that was killed leaves a mount that answers ENOTCONN.
    if (!folder || ::fstatfs(folder->get(), &info) < 0 || info.f_type != FUSE_SUPER_MAGIC)
        return mounts;
    for (const char *file : kFiles) {
        if (!sys::fstatat(*folder, file)) // an older lxcfs has fewer
            continue;
        spec::Mount mount;
        mount.source = lxcfs + "/" + file;
        mount.target = file;
        mount.readOnly = true;
        mount.nosuid = true;
        mount.createTarget = false;
        mount.optional = true; // its guest is started again when lxcfs is gone
        mounts.push_back(std::move(mount));
    }
    return mounts;
}

} // namespace lxmgr::instances
