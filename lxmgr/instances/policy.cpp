#include "instances/policy.h"

#include "base/text.h"
#include "client/address.h"
#include "config/server_config.h"
#include "store/server_config.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

using config::ProjectConfig;

struct Judge {
    const std::string &projectName;
    const ProjectConfig &project;

    Error refusal(const std::string &what, const std::string &key, const std::string &value) const
    {
        return {Code::Forbidden, what + " is not allowed in the restricted project " + quoted(projectName) + " (its administrator can set " +
                                     key + "=" + value + ")"};
    }

    Status device(const std::string &name, const char *type, const std::optional<std::string> &word) const
    {
        if (word.value_or("block") == "allow")
            return {};
        return refusal("device " + quoted(name) + " of type " + type, std::string("restricted.devices.") + type, "allow");
    }

    Status disk(const std::string &name, const config::DiskDevice &disk) const
    {
        if (disk.isRoot())
            return {};
        const std::string word = project.disk.value_or("managed");
        const std::string what = "device " + quoted(name) + " of type disk";
        if (word == "block")
            return refusal(what, "restricted.devices.disk", "managed");
        if (disk.isVolume() || disk.isTmpfs())
            return {};
        if (word != "allow")
            return refusal(what + ": a path of the host", "restricted.devices.disk", "allow");
        if (!project.diskPaths || !disk.source)
            return {};
        const std::string paths = config::Codec<config::PathList>::format(*project.diskPaths);
        if (!config::folderAbove(project, *disk.source))
            return refusal(what + ": source " + quoted(*disk.source), "restricted.devices.disk.paths", paths + "," + *disk.source);
        // Its root would be the host's in what it leaves there: a program with the set-user-ID bit, for whoever can look in.
        if (disk.shift.value_or(false))
            return Error(Code::Forbidden, what + ": shift=true is not allowed below the folders of restricted.devices.disk.paths (" + paths +
                                              "): root inside would own files there as the host's root does; set shift=false");
        return {};
    }

    Status nic(const std::string &name, const config::NicDevice &nic) const
    {
        const std::string word = project.nic.value_or("managed");
        const std::string what = "device " + quoted(name) + " of type nic";
        if (word == "block")
            return refusal(what, "restricted.devices.nic", "managed");
        if (!nic.network)
            return word == "allow" ? Status{} : Status(refusal(what + " outside the managed networks", "restricted.devices.nic", "allow"));
        std::vector<std::string> networks = split(project.networks.value_or(""), ',');
        for (std::string &network : networks)
            network = std::string(trimmed(network));
        if (project.networks && std::ranges::find(networks, nic.network->text) == networks.end())
            return refusal(what + " in network " + quoted(nic.network->text), "restricted.networks.access", *project.networks + "," + nic.network->text);
        return {};
    }

    /// raw.idmap, where some ids are allowed.
    Status ids(const config::IdMapList &map) const
    {
        for (const config::IdMapEntry &entry : map.entries) {
            const std::string host = config::Codec<config::IdList>::format({{{entry.host, entry.count}}});
            if (entry.users && !(project.users && project.users->contains(entry.host, entry.count)))
                return refusal("raw.idmap: the host's users " + host, "restricted.idmap.uid", host);
            if (entry.groups && !(project.groups && project.groups->contains(entry.host, entry.count)))
                return refusal("raw.idmap: the host's groups " + host, "restricted.idmap.gid", host);
        }
        return {};
    }

    Status key(const std::string &name, const std::string &value) const
    {
        static constexpr std::string_view kLow[] = {"raw.", "boot.host_", "linux.kernel_modules", "limits.kernel.", "security.syscalls."};
        const auto allowed = [](const std::optional<std::string> &word) { return word.value_or("block") == "allow"; };
        const Result<bool> flag = parseBool(value);
        const bool on = !flag || *flag;
        if (name == "security.privileged" && on && project.privilege.value_or("unprivileged") != "allow")
            return refusal(name, "restricted.containers.privilege", "allow");
        if (name == "security.nesting" && on && !allowed(project.nesting))
            return refusal(name, "restricted.containers.nesting", "allow");
        // Those whose harm is not the project's alone.
        static constexpr std::string_view kDeep[] = {"sched_setscheduler", "mount.allowed", "mount.shift"};
        constexpr std::string_view kIntercept = "security.syscalls.intercept.";
        const bool isDeep = name.starts_with(kIntercept) && std::ranges::find(kDeep, std::string_view(name).substr(kIntercept.size())) != std::end(kDeep);
        if (isDeep && !on)
            return {};
        if (name.starts_with(kIntercept) && !isDeep) {
            if (on && !allowed(project.interception))
                return refusal(name, "restricted.containers.interception", "allow");
            return {};
        }
        if (name == "raw.idmap" && !allowed(project.lowlevel) && (project.users || project.groups))
            return ids(TRY(config::Codec<config::IdMapList>::parse(value)));
        if (std::ranges::any_of(kLow, [&](std::string_view each) { return name.starts_with(each); }) && !allowed(project.lowlevel))
            return refusal(name, "restricted.containers.lowlevel", "allow");
        return {};
    }
};

} // namespace

Status checkPolicy(const std::string &projectName, const ProjectConfig &project, const config::Expanded &expanded, const config::Effective &effective)
{
    if (!project.restricted.value_or(false))
        return {};
    const Judge judge{projectName, project};
    for (const auto &[name, value] : expanded.config)
        if (!value.empty())
            TRY(judge.key(name, value));
    for (const config::Device &device : effective.devices) {
        if (const auto *disk = device.as<config::DiskDevice>())
            TRY(judge.disk(device.name, *disk));
        if (const auto *nic = device.as<config::NicDevice>())
            TRY(judge.nic(device.name, *nic));
        if (device.as<config::ProxyDevice>())
            TRY(judge.device(device.name, "proxy", project.proxy));
        if (device.as<config::UnixCharDevice>())
            TRY(judge.device(device.name, "unix-char", project.unixChar));
        if (device.as<config::TpmDevice>()) // which is a character device of the host, too
            TRY(judge.device(device.name, "unix-char", project.unixChar));
        if (device.as<config::UnixBlockDevice>())
            TRY(judge.device(device.name, "unix-block", project.unixBlock));
        if (device.as<config::HotplugDevice>())
            TRY(judge.device(device.name, "unix-hotplug", project.unixHotplug));
        if (device.as<config::UsbDevice>())
            TRY(judge.device(device.name, "usb", project.usb));
        if (device.as<config::GpuDevice>())
            TRY(judge.device(device.name, "gpu", project.gpu));
        if (device.as<config::InfinibandDevice>())
            TRY(judge.device(device.name, "infiniband", project.infiniband));
    }
    return {};
}

Status checkProjectPolicy(store::Database &db, const std::string &project, const config::Expanded &expanded, const config::Effective &effective)
{
    const store::Project row = TRY(store::findProject(db, project));
    if (row.config.empty())
        return {};
    TRY(checkNetworks(db, project, expanded.devices));
    return checkPolicy(project, TRY(config::parseProjectConfig(row.config)), expanded, effective);
}

Result<bool> hasOwnNetworks(store::Database &db, const std::string &project)
{
    if (project == store::kDefaultProject)
        return false;
    return TRY(config::parseProjectConfig(TRY(store::findProject(db, project)).config)).ownNetworks.value_or(false);
}

Status checkNetworks(store::Database &db, const std::string &project, const DeviceMap &devices)
{
    for (const auto &[name, keys] : devices) {
        const auto network = keys.find("network");
        if (network == keys.end() || network->second.empty() || !TRY(hasOwnNetworks(db, project)))
            continue;
        return Error(Code::Invalid, "device " + quoted(name) + ": project " + quoted(project) + " has networks of its own (features.networks=true), and " +
                                        quoted(network->second) + " is none of them: all are in project default")
            .hint("nictype=bridged parent=" + network->second + " in place of network=, or, while the project is empty: lxmgr project set " + project +
                  " features.networks=false");
    }
    return {};
}

Status checkProjectAllows(store::Database &db, const std::string &project, std::string_view what)
{
    const ProjectConfig typed = TRY(config::parseProjectConfig(TRY(store::findProject(db, project)).config));
    const std::optional<std::string> &word = what == "snapshots" ? typed.snapshots : typed.backups;
    if (!typed.restricted.value_or(false) || word.value_or("block") == "allow")
        return {};
    return Judge{project, typed}.refusal(std::string(what), "restricted." + std::string(what), "allow");
}

Status checkImageServer(store::Database &db, const std::string &project, const std::string &url)
{
    const ProjectConfig typed = TRY(config::parseProjectConfig(TRY(store::findProject(db, project)).config));
    if (!typed.restricted.value_or(false))
        return {};
    const std::string host = TRY(client::hostOf(url)).host;
    std::vector<std::string> allowed;
    if (typed.imageServers && !typed.imageServers->empty())
        for (const std::string &word : split(*typed.imageServers, ','))
            allowed.emplace_back(trimmed(word));
    else
        for (const config::ImageServerName &server : TRY(config::parseServerConfig(TRY(store::serverConfig(db)))).imageServerList())
            allowed.push_back(TRY(client::hostOf(server.url)).host);
    if (std::ranges::find(allowed, host) != allowed.end())
        return {};
    return Judge{project, typed}.refusal("image server " + quoted(host), "restricted.images.servers", host);
}

} // namespace lxmgr::instances
