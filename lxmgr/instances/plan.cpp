#include "instances/plan.h"

#include "base/text.h"
#include "instances/guest_api.h"
#include "instances/proxies.h"
#include "instances/tpms.h"
#include "network/interfaces.h"
#include "network/network.h"

#include <algorithm>
#include <linux/capability.h>
#include <sys/resource.h>

namespace lxmgr::instances
{

namespace
{

struct NamedLimit {
    std::string_view name;
    std::uint32_t resource;
};

// getrlimit(2); the keys are limits.kernel.<name>.
constexpr NamedLimit kResources[] = {
    {"as",         RLIMIT_AS        },
    {"core",       RLIMIT_CORE      },
    {"cpu",        RLIMIT_CPU       },
    {"data",       RLIMIT_DATA      },
    {"fsize",      RLIMIT_FSIZE     },
    {"locks",      RLIMIT_LOCKS     },
    {"memlock",    RLIMIT_MEMLOCK   },
    {"nice",       RLIMIT_NICE      },
    {"nofile",     RLIMIT_NOFILE    },
    {"nproc",      RLIMIT_NPROC     },
    {"rtprio",     RLIMIT_RTPRIO    },
    {"sigpending", RLIMIT_SIGPENDING},
};

// None of these works outside the first user namespace; without them in the bounding set systemd skips the units that
// would fail (debugfs, tracefs, modules-load), and a privileged guest cannot use them either.
constexpr unsigned kDropped[] = {CAP_MAC_ADMIN, CAP_MAC_OVERRIDE, CAP_SYS_MODULE,   CAP_SYS_RAWIO,
                                 CAP_SYS_TIME,  CAP_WAKE_ALARM,   CAP_BLOCK_SUSPEND};
// A privileged guest's root is the host's in all but these.
constexpr unsigned kDroppedPrivileged[] = {CAP_SYSLOG, CAP_BPF, CAP_PERFMON, CAP_AUDIT_READ};

std::uint64_t boundingSet(bool privileged)
{
    std::uint64_t set = (std::uint64_t{1} << (CAP_LAST_CAP + 1)) - 1;
    for (const unsigned capability : kDropped)
        set &= ~(std::uint64_t{1} << capability);
    if (privileged)
        for (const unsigned capability : kDroppedPrivileged)
            set &= ~(std::uint64_t{1} << capability);
    return set;
}

std::vector<spec::DeviceNode> standardDevices()
{
    // Nodes of our own: the host's have the host's modes, and /dev/fuse and /dev/net/tun are closed to others there.
    return {{"fuse", false, 10, 229, 0666, 0, 0, {}}, {"net/tun", false, 10, 200, 0666, 0, 0, {}}};
}

/// The same folder by the name that LXD's clients look for, and by that of Incus's.
spec::Mount guestApiMount(const std::string &folder, const std::string &target)
{
    spec::Mount mount;
    mount.source = folder;
    mount.target = target;
    mount.readOnly = true;
    mount.nosuid = true;
    return mount;
}

std::vector<std::pair<std::string, std::string>> environmentOf(const config::InstanceConfig &config)
{
    std::vector<std::pair<std::string, std::string>> environment = {
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        {"TERM", "linux"},
        {"container", "lxc"}, // what systemd, cloud-init and distributions' scripts know a system container by
    };
    if (const std::string uuid = valueOf(config.volatileKeys, "uuid"); !uuid.empty())
        environment.emplace_back("container_uuid", uuid); // systemd takes it as machine-id where there is none
    for (const auto &[name, value] : config.environment)
        environment.emplace_back(name, value);
    return environment;
}

Status planDevices(const config::Effective &effective, const DiskSources &sources, const Lent &lent, const Paths &paths, spec::LaunchSpec &spec)
{
    for (const config::Device &device : effective.devices) {
        for (spec::Mount &mount : TRY(planMounts(device, sources)))
            spec.mounts.push_back(std::move(mount));
        if (lent.contains(lentInterface(device, effective.config.volatileKeys)))
            continue;
        for (spec::DeviceNode &node : TRY(planNodes(device, {paths, effective.config.volatileKeys})))
            if (std::ranges::find(spec.devices, node.path, &spec::DeviceNode::path) == spec.devices.end()) // two may stand for the same
                spec.devices.push_back(std::move(node));
    }
    return {};
}

Result<std::vector<spec::ResourceLimit>> planResources(const config::InstanceConfig &config)
{
    std::vector<spec::ResourceLimit> limits;
    for (const auto &[name, limit] : config.kernelLimits) {
        const auto *row = std::ranges::find(kResources, name, &NamedLimit::name);
        if (row == std::end(kResources))
            return Error(Code::Invalid, "limits.kernel." + name + ": no such limit");
        limits.push_back({row->resource, limit.soft, limit.hard});
    }
    return limits;
}

} // namespace

Status checkDevices(const config::Effective &effective, const DiskSources &sources, const Lent &lent, const Paths &paths)
{
    spec::LaunchSpec unused;
    TRY(planDevices(effective, sources, lent, paths, unused));
    // Whether the firewall can be told.
    (void)TRY(network::proxyRules("", natForwards(TRY(planProxies(effective))), {}));
    for (const config::Device &device : effective.devices) {
        if (device.as<config::TpmDevice>())
            TRY_IN("device " + quoted(device.name), checkTpmSupport(paths));
        if (parentOfFunction(device))
            TRY_IN("device " + quoted(device.name), virtualFunctions(device, paths));
        const auto *nic = device.as<config::NicDevice>();
        if (!nic || nic->isVirtual() || nic->network || !nic->parent || network::hostInterface(nic->parent->text))
            continue;
        if (lent.contains(lentInterface(device, effective.config.volatileKeys)))
            continue;
        return Error(Code::NotFound, "device " + quoted(device.name) + ": no interface " + quoted(nic->parent->text) + " on this host" +
                                         (nic->kind() == config::NicKind::Bridged ? " (make the bridge first, or use network=)" : ""));
    }
    return {};
}

cgroup::Limits limitsOf(const config::InstanceConfig &config, const std::vector<config::Device> &devices, const NodeSource &source)
{
    cgroup::Limits limits;
    if (config.cpu) {
        if (config.cpu->count > 0)
            limits.cpuCount = config.cpu->count;
        limits.cpuSet = config.cpu->set;
    }
    if (config.cpuNodes)
        limits.cpuNodes = config.cpuNodes->nodes;
    limits.balancedNode = config.cpuNodes && config.cpuNodes->nodes.empty();
    if (config.cpuAllowance) {
        if (config.cpuAllowance->percent > 0)
            limits.cpuPercent = config.cpuAllowance->percent;
        else
            limits.cpuQuota = cgroup::CpuQuota{config.cpuAllowance->quota, config.cpuAllowance->period};
    }
    limits.cpuPriority = config.cpuPriority;
    limits.swapPriority = config.swapPriority;
    if (config.memory) {
        if (config.memory->percent > 0)
            limits.memoryPercent = config.memory->percent;
        else
            limits.memory = config.memory->bytes;
    }
    if (config.memoryEnforce == config::MemoryEnforce::Soft)
        limits.memoryEnforce = cgroup::MemoryEnforce::Soft;
    limits.swap = !config.memorySwap || config.memorySwap->allowed;
    if (config.memorySwap)
        limits.swapBytes = config.memorySwap->most;
    limits.diskPriority = config.diskPriority;
    for (const auto &[size, limit] : {std::pair{"64KB", config.hugepages64KB}, std::pair{"1MB", config.hugepages1MB},
                                      std::pair{"2MB", config.hugepages2MB}, std::pair{"1GB", config.hugepages1GB}})
        if (limit)
            limits.hugepages[size] = *limit;
    if (config.processes)
        limits.processes = *config.processes;
    for (const config::Device &device : devices)
        if (const auto nodes = planNodes(device, source)) // what is wrong with it is told by who plans it
            for (const spec::DeviceNode &node : *nodes)
                limits.devices.push_back({node.block ? 'b' : 'c', node.major, node.minor, "rwm"});
    return limits;
}

spec::Rootfs rootfsOf(const storage::RootTree &tree, bool readOnly)
{
    spec::Rootfs rootfs;
    rootfs.kind = tree.kind == storage::RootTree::Kind::Overlay ? spec::Rootfs::Kind::Overlay : spec::Rootfs::Kind::Directory;
    rootfs.directory = tree.directory;
    rootfs.lower = tree.lower;
    rootfs.layer = tree.layer;
    rootfs.readOnly = readOnly;
    return rootfs;
}

namespace
{

/// The guest's own range, with `entries` put where they lie inside; sorted by the ids inside.
std::vector<spec::IdRange> mapAround(const spec::IdRange &own, std::vector<spec::IdRange> entries)
{
    std::ranges::sort(entries, {}, &spec::IdRange::container);
    std::vector<spec::IdRange> map;
    const std::uint64_t end = std::uint64_t{own.container} + own.count;
    std::uint64_t next = own.container;
    const auto fill = [&](std::uint64_t upTo) {
        if (next < upTo)
            map.push_back({static_cast<std::uint32_t>(next), static_cast<std::uint32_t>(own.host + (next - own.container)),
                           static_cast<std::uint32_t>(upTo - next)});
    };
    for (const spec::IdRange &entry : entries) {
        fill(std::min<std::uint64_t>(entry.container, end));
        map.push_back(entry);
        next = std::max(next, std::uint64_t{entry.container} + entry.count);
    }
    fill(end);
    return map;
}

} // namespace

spec::IdMap idMapOf(const store::Instance &instance, const config::IdMapList &also)
{
    if (instance.idRange.size == 0)
        return {};
    const spec::IdRange own{0, instance.idRange.base, instance.idRange.size};
    std::vector<spec::IdRange> users, groups;
    for (const config::IdMapEntry &entry : also.entries) {
        const spec::IdRange range{entry.inside, entry.host, entry.count};
        if (entry.users)
            users.push_back(range);
        if (entry.groups)
            groups.push_back(range);
    }
    return {mapAround(own, std::move(users)), mapAround(own, std::move(groups))};
}

std::string cgroupOf(const Paths &paths, const std::string &project, const std::string &name)
{
    return paths.cgroupBase + "/" + storage::volumeName(project, name);
}

Result<spec::LaunchSpec> plan(const PlanInput &input)
{
    const store::Instance &instance = input.instance;
    const config::InstanceConfig &config = input.effective.config;
    const config::Device *root = config::rootDisk(input.effective.devices);
    spec::LaunchSpec spec;
    spec.project = instance.project;
    spec.instance = instance.name;
    spec.runDir = input.paths.instanceRunDir(instance.project, instance.name);
    spec.consoleLog = input.paths.instanceLogDir(instance.project, instance.name) + "/console.log";
    spec.cgroup = cgroupOf(input.paths, instance.project, instance.name);
    for (const cgroup::Write &write : input.cgroupWrites)
        spec.cgroupWrites.push_back({write.controller, write.file, write.value, write.required});
    spec.idmap = idMapOf(instance, config.rawIdmap.value_or(config::IdMapList{}));
    spec.rootfs = rootfsOf(input.root, root && root->as<config::DiskDevice>()->readonly.value_or(false));
    spec.devices = standardDevices();
    spec.mounts = input.view;
    TRY(planDevices(input.effective, input.sources, {}, input.paths, spec));
    for (const char *target : {"dev/lxd", "dev/incus"})
        spec.mounts.push_back(guestApiMount(guestApiFolder(input.paths, {instance.project, instance.name}), target));
    for (const images::RenderedFile &file : input.files)
        spec.files.push_back({file.path, file.content, file.uid, file.gid, file.mode, file.createOnly, {}});
    for (const NicPlan &nic : TRY(planNics(input.effective)))
        spec.nics.push_back(nic.card);
    spec.proxies = TRY(planProxies(input.effective));
    spec.hostname = instance.name;
    spec.init = {"/sbin/init"};
    spec.environment = environmentOf(config);
    for (const auto &[name, value] : config.sysctls)
        spec.sysctls.emplace_back(name, value);
    spec.boundingSet = boundingSet(instance.idRange.size == 0);
    spec.seccomp = input.seccomp;
    spec.intercepts = input.intercepts;
    if (config.interceptMount.value_or(false)) {
        for (const std::string &type : config.mountAllowed.value_or(config::FileSystemList{}).names)
            spec.interceptedMounts.push_back({type, ""});
        for (const auto &[type, program] : config.mountFuse.value_or(config::FuseList{}).programs)
            spec.interceptedMounts.push_back({type, program});
        spec.shiftMounts = config.mountShift.value_or(false);
    }
    spec.rootfs.hasNodes = config.interceptMknod.value_or(false);
    spec.oomScoreAdj = config.oomPriority.value_or(0);
    spec.rlimits = TRY(planResources(config));
    spec.nesting = config.nesting.value_or(false);
    return spec;
}

} // namespace lxmgr::instances
