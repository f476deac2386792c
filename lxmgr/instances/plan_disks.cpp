#include "instances/plan_disks.h"

#include "base/text.h"
#include "kernel/host_path.h"

#include <linux/mount.h>
#include <sys/mount.h>

namespace lxmgr::instances
{

namespace
{

std::string relative(const std::string &absolute) { return absolute.substr(1); }

struct MountFlag {
    std::string_view option;
    std::uint64_t attribute;
};
constexpr MountFlag kMountFlags[] = {
    {"noatime",     MOUNT_ATTR_NOATIME    },
    {"nodev",       MOUNT_ATTR_NODEV      },
    {"nodiratime",  MOUNT_ATTR_NODIRATIME },
    {"noexec",      MOUNT_ATTR_NOEXEC     },
    {"nosuid",      MOUNT_ATTR_NOSUID     },
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW},
    {"relatime",    MOUNT_ATTR_RELATIME   },
    {"ro",          MOUNT_ATTR_RDONLY     },
    {"strictatime", MOUNT_ATTR_STRICTATIME},
};

/// What every kind of disk but the root has.
spec::Mount mountOf(const config::DiskDevice &disk)
{
    using Kind = config::Propagation::Kind;
    spec::Mount mount;
    mount.target = relative(disk.path->text);
    mount.readOnly = disk.readonly.value_or(false);
    for (const std::string &option : disk.rawMountOptions.value_or(config::MountOptions()).names)
        for (const MountFlag &flag : kMountFlags)
            if (flag.option == option)
                mount.attributes |= flag.attribute;
    const Kind kind = disk.propagation.value_or(config::Propagation()).kind;
    mount.propagation = kind == Kind::Shared ? MS_SHARED : kind == Kind::Slave ? MS_SLAVE : kind == Kind::Unbindable ? MS_UNBINDABLE : 0;
    return mount;
}

spec::Mount tmpfsMount(const config::DiskDevice &disk)
{
    spec::Mount mount = mountOf(disk);
    mount.kind = spec::Mount::Kind::Tmpfs;
    mount.nosuid = true;
    std::vector<std::string> options = {"mode=0755"};
    for (const std::string &option : disk.rawMountOptions.value_or(config::MountOptions()).names)
        if (config::findMountOption(option)->tmpfsOnly)
            options.push_back(option); // the later of two holds
    if (disk.size)
        options.push_back("size=" + std::to_string(disk.size->count));
    mount.options = join(options, ",");
    return mount;
}

Status planMount(const std::string &name, const config::DiskDevice &disk, const DiskSource &source, std::vector<spec::Mount> &mounts)
{
    if (auto there = path::openOnHost(source.path, source.beneath); !there) { // the monitor looks again, and mounts what it finds then
        const bool absent = there.error().errnum == ENOENT || there.error().errnum == ENOTDIR;
        if (absent && !disk.required.value_or(true))
            return {};
        Error error = std::move(there.error()).in("device " + quoted(name) + ": source");
        return absent ? std::move(error).as(Code::Invalid).hint("make it on the host, or set required=false") : std::move(error);
    }
    spec::Mount mount = mountOf(disk);
    mount.source = source.path;
    mount.beneath = source.beneath;
    mount.recursive = disk.recursive.value_or(false);
    mount.idmapped = disk.shift.value_or(false);
    mounts.push_back(std::move(mount));
    return {};
}

spec::Mount volumeMount(const config::DiskDevice &disk, const DiskSource &volume)
{
    spec::Mount mount = mountOf(disk);
    mount.source = volume.path;
    mount.idmapped = volume.idmapped;
    mount.nosuid = true; // several guests may share it
    return mount;
}

Status planDisk(const config::Device &device, const config::DiskDevice &disk, const DiskSources &sources,
                std::vector<spec::Mount> &mounts)
{
    if (disk.isTmpfs()) {
        mounts.push_back(tmpfsMount(disk));
        return {};
    }
    if (!disk.source || !disk.path)
        return Error(Code::Invalid, "device " + quoted(device.name) + ": a disk needs source and path");
    const auto source = sources.find(device.name);
    if (source == sources.end())
        return Error(Code::NotFound, "device " + quoted(device.name) + ": its source is not known");
    if (!disk.isVolume())
        return planMount(device.name, disk, source->second, mounts);
    mounts.push_back(volumeMount(disk, source->second));
    return {};
}

} // namespace

Result<std::vector<spec::Mount>> planMounts(const config::Device &device, const DiskSources &sources)
{
    std::vector<spec::Mount> mounts;
    if (const auto *disk = device.as<config::DiskDevice>(); disk && !disk->isRoot())
        TRY(planDisk(device, *disk, sources, mounts));
    return mounts;
}

} // namespace lxmgr::instances
