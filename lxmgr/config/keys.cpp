#include "config/keys.h"

#include "config/device_keys.h"
#include "config/instance_keys.h"
#include "config/pool_keys.h"
#include "config/project_keys.h"
#include "config/server_keys.h"
#include "config/volume_keys.h"

#include <span>

namespace lxmgr::config
{

namespace
{

template <class Owner> void append(std::vector<KeyInfo> &out, std::string_view group, std::span<const Key<Owner>> table)
{
    for (const Key<Owner> &key : table)
        out.push_back({group, key.name, key.field.type, key.apply, key.defaultText, key.summary});
}

std::vector<KeyInfo> collect()
{
    std::vector<KeyInfo> out;
    append<InstanceConfig>(out, "instance", kInstanceKeys);
    append<DiskDevice>(out, "disk", kDiskKeys);
    append<GpuDevice>(out, "gpu", kGpuKeys);
    append<InfinibandDevice>(out, "infiniband", kInfinibandKeys);
    append<NicDevice>(out, "nic", kNicKeys);
    append<ProxyDevice>(out, "proxy", kProxyKeys);
    append<TpmDevice>(out, "tpm", kTpmKeys);
    append<UnixBlockDevice>(out, "unix-block", kUnixKeys<UnixBlockDevice>);
    append<UnixCharDevice>(out, "unix-char", kUnixKeys<UnixCharDevice>);
    append<HotplugDevice>(out, "unix-hotplug", kHotplugKeys);
    append<UsbDevice>(out, "usb", kUsbKeys);
    append<VolumeConfig>(out, "volume", kVolumeKeys);
    append<ServerConfig>(out, "server", kServerKeys);
    append<ProjectConfig>(out, "project", kProjectKeys);
    for (const PoolKey &row : kPoolKeys)
        out.push_back({"pool", row.key.name, row.key.field.type, row.key.apply, row.key.defaultText, row.key.summary});
    return out;
}

} // namespace

std::string_view applyName(Apply apply)
{
    switch (apply) {
    case Apply::Live:
        return "at once";
    case Apply::Restart:
        return "at the next start";
    case Apply::Daemon:
        return "by the daemon";
    }
    return "";
}

const std::vector<KeyInfo> &allKeys()
{
    static const std::vector<KeyInfo> keys = collect();
    return keys;
}

} // namespace lxmgr::config
