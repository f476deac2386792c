// Limits of an instance and what else the host has to give it: planned, checked against what it uses, put in force while it runs.
#include "instances/manager.h"

#include "base/text.h"
#include "kernel/modules.h"
#include "kernel/host_path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <map>
#include <sys/sysmacros.h>

namespace lxmgr::instances
{

namespace
{

/// Of what control groups hold.
bool sameLimits(const config::InstanceConfig &one, const config::InstanceConfig &other)
{
    const StringMap a = config::formatInstanceConfig(one), b = config::formatInstanceConfig(other);
    const auto live = [](const StringMap &all) {
        StringMap limits;
        for (const auto &[key, value] : all)
            if (key.starts_with("limits.") && config::appliesLive(key))
                limits[key] = value;
        return limits;
    };
    return live(a) == live(b);
}

/// Devices that the control group has to do with: nodes below /dev, whose use it allows, and disks with limits.
DeviceMap groupedIn(const std::vector<config::Device> &devices)
{
    DeviceMap nodes;
    for (const config::Device &device : devices)
        if (const auto *disk = device.as<config::DiskDevice>(); config::isNode(device) || (disk && disk->isLimited()))
            nodes[device.name] = config::formatDevice(device);
    return nodes;
}

using Limits = std::map<std::string, std::uint64_t>;

/// What `writes` set of the files that can be too small for what is there; no bound is none.
Limits boundsOf(const std::vector<cgroup::Write> &writes)
{
    Limits bounds;
    for (const cgroup::Write &write : writes)
        for (const char *file : {"memory.max", "memory.limit_in_bytes", "pids.max"})
            if (const auto value = parseUnsigned(write.value); write.file == file && value)
                bounds[write.file == "pids.max" ? "pids" : "memory"] = *value;
    return bounds;
}

} // namespace

Result<std::vector<cgroup::Write>> Manager::planLimits(const config::Effective &effective, cgroup::PlanFor scope, std::vector<cgroup::IoLimit> io,
                                                       const spec::LaunchSpec *running)
{
    const cgroup::HostFacts host = TRY(cgroup::HostFacts::read(*m_layout, m_s.paths.cgroupBase));
    cgroup::Limits limits = limitsOf(effective.config, effective.devices, {m_s.paths, effective.config.volatileKeys, running});
    limits.io = std::move(io);
    if (running)
        limits.group = running->cgroup.substr(running->cgroup.rfind('/') + 1);
    return cgroup::planLimits(limits, *m_layout, host, scope);
}

Result<std::vector<cgroup::IoLimit>> Manager::ioLimits(const store::Instance &row, const config::Effective &effective)
{
    std::vector<cgroup::IoLimit> limits;
    for (const config::Device &device : effective.devices) {
        const auto *disk = device.as<config::DiskDevice>();
        if (!disk || !disk->isLimited())
            continue;
        const std::string context = "device " + quoted(device.name) + ": " +
                                    (disk->limitsMax ? "limits.max" : disk->limitsRead ? "limits.read" : "limits.write");
        auto place = [&]() -> Result<Fd> {
            if (disk->isRoot())
                return TRY(m_s.pools.get(disk->pool->text))->openVolume(row.project, row.name);
            const DiskSources sources = TRY(diskSources(row.project, {device}));
            const auto source = sources.find(device.name); // a tmpfs has none, and no limits
            if (source == sources.end())
                return Error(Code::Invalid, "it has no source");
            return path::openOnHost(source->second.path, source->second.beneath);
        }();
        if (!place && place.error().errnum == ENOENT && !disk->isRoot() && !disk->isVolume() && !disk->required.value_or(true))
            continue; // passed over, as its mount is
        const Fd there = TRY_IN(context, std::move(place));
        const dev_t below = TRY_IN(context, cgroup::diskBelow(there));
        cgroup::IoLimit limit;
        limit.major = major(below);
        limit.minor = minor(below);
        const auto set = [](const std::optional<config::IoLimit> &from, auto &bytes, auto &operations) {
            if (from && from->bytes)
                bytes = from->bytes->count;
            else if (from)
                operations = from->operations;
        };
        for (const auto *read : {&disk->limitsRead, &disk->limitsMax})
            set(*read, limit.readBytes, limit.readOperations);
        for (const auto *write : {&disk->limitsWrite, &disk->limitsMax})
            set(*write, limit.writeBytes, limit.writeOperations);
        limits.push_back(limit);
    }
    return limits;
}

/// linux.kernel_modules. What is there already costs a look into sysfs.
Status Manager::loadModules(const config::InstanceConfig &config)
{
    for (const std::string &name : config.kernelModules.value_or(config::ModuleList{}).names)
        TRY_IN("linux.kernel_modules", modules::load(name));
    return {};
}

/// raw.idmap: no id of the host may be inside twice, nor belong to another guest.
Status Manager::checkIdmap(const store::Instance &row, const config::InstanceConfig &wanted)
{
    if (!wanted.rawIdmap)
        return {};
    for (const store::Instance &other : TRY(store::listInstances(m_s.db, "")))
        for (const config::IdMapEntry &entry : wanted.rawIdmap->entries) {
            const std::uint64_t base = other.idRange.base, end = base + other.idRange.size;
            if (entry.host >= end || std::uint64_t{entry.host} + entry.count <= base)
                continue;
            return Error(Code::Invalid, "raw.idmap: host ids " + std::to_string(base) + " to " + std::to_string(end - 1) + " are those of " +
                                             (other.project == row.project && other.name == row.name ? "the instance itself" : quoted(other.name)))
                .hint("choose ids below 65536 that are users of the host");
        }
    return {};
}

/// A lower limit than what is in use would end in killed processes inside (memory), or in an init that cannot fork.
Status Manager::checkInUse(const InstanceKey &key, const config::Effective &before, const config::Effective &after)
{
    if (!m_running->find(key) || sameLimits(before.config, after.config))
        return {};
    const Limits old = boundsOf(TRY(planLimits(before, cgroup::PlanFor::Live)));
    const Limits now = boundsOf(TRY(planLimits(after, cgroup::PlanFor::Live)));
    const auto lowered = [&](const char *what) {
        const auto was = old.find(what), is = now.find(what);
        return is != now.end() && (was == old.end() || is->second < was->second) ? std::optional(is->second) : std::nullopt;
    };
    const std::string group = cgroupOf(m_s.paths, key.project, key.name);
    if (const auto most = lowered("pids")) {
        const auto used = TRY(cgroup::usage(*m_layout, group)).processes;
        if (used && *used > *most)
            return Error(Code::WrongState, "limits.processes: " + quoted(key.name) + " has " + std::to_string(*used) + " processes now, more than " +
                                               std::to_string(*most))
                .hint("end some inside, choose at least that many, or stop it first");
    }
    const auto most = lowered("memory");
    if (!most)
        return {};
    const std::uint64_t held = TRY(cgroup::heldMemory(*m_layout, group)).count;
    const bool swaps = !after.config.memorySwap || after.config.memorySwap->allowed;
    if (held > *most + (swaps ? TRY(cgroup::HostFacts::read(*m_layout, m_s.paths.cgroupBase)).freeSwap.count : 0))
        return Error(Code::WrongState, "limits.memory: " + quoted(key.name) + " holds " + formatBytes(Bytes{held}) + " now, more than " +
                                           formatBytes(Bytes{*most}))
            .hint("end something inside, choose more, or stop it first");
    return {};
}

Status Manager::applyLive(const store::Instance &row, const config::Effective &before, const config::Effective &after)
{
    if (sameLimits(before.config, after.config) && groupedIn(before.devices) == groupedIn(after.devices))
        return {};
    const InstanceKey key{row.project, row.name};
    Status done = limitAgain(row, after);
    if (done && before.config.networkPriority != after.config.networkPriority)
        done = filterNics(key, TRY(planNics(after)));
    // Some may have been taken: the old ones go back in whole.
    if (!done)
        (void)limitAgain(row, before); // the first error is the one to report
    placed(key, done ? after.config : before.config);
    return done;
}

Status Manager::limitAgain(const store::Instance &row, const config::Effective &now)
{
    const spec::LaunchSpec running = TRY(spec::readLaunchSpec(m_s.paths.instanceRunDir(row.project, row.name)));
    const std::vector<cgroup::Write> writes = TRY(planLimits(now, cgroup::PlanFor::Live, TRY(ioLimits(row, now)), &running));
    TRY(cgroup::write(*m_layout, cgroupOf(m_s.paths, row.project, row.name), writes));
    spec::LimitsBody kept;
    for (const cgroup::Write &write : writes)
        kept.cgroupWrites.push_back({write.controller, write.file, write.value, write.required});
    spec::MonitorClient monitor = TRY(spec::MonitorClient::connect(spec::monitorSocket(m_s.paths.instanceRunDir(row.project, row.name))));
    const Status done = monitor.keepLimits(kept);
    return !done && done.error().code == Code::Unsupported ? Status() : done; // an older monitor: its reboots begin with the first ones
}

} // namespace lxmgr::instances
