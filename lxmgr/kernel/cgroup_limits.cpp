#include "kernel/cgroup_limits.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <map>

namespace lxmgr::cgroup
{

namespace
{

using Writes = std::vector<Write>;

/// One planner per key: adds its rows or says why this host cannot keep it.
struct Planning {
    const Limits &limits;
    const Layout &layout;
    const HostFacts &host;
    bool live;
    Writes writes;

    void add(std::string_view controller, std::string_view file, std::string value)
    {
        // On cgroup2 every controller's files are in the one folder.
        const std::string at = layout.unified(controller) ? "" : std::string(controller);
        writes.push_back({at, std::string(file), std::move(value), true});
    }
    void refine(std::string_view controller, std::string_view file, std::string value)
    {
        add(controller, file, std::move(value));
        writes.back().required = false;
    }
    Status need(std::string_view key, std::string_view controller) const
    {
        if (layout.has(controller))
            return {};
        return Error(Code::Unsupported, std::string(key) + " cannot be kept on this host: no control group controller " +
                                            quoted(controller))
            .hint("see \"lxmgr info\"");
    }
};

/// The counts of pinned guests of `some` of the host's CPUs.
std::vector<unsigned> loadOf(const HostFacts &host, const std::vector<unsigned> &some)
{
    const std::vector<unsigned> all = host.cpuLoad ? host.cpuLoad() : std::vector<unsigned>();
    std::vector<unsigned> load;
    for (std::size_t i = 0; i < std::min(all.size(), host.cpus.size()); ++i)
        if (std::ranges::find(some, host.cpus[i]) != some.end())
            load.push_back(all[i]);
    return load;
}

/// Of the nodes that have both CPUs and memory for guests: the one it runs on already, else the one that the fewest are bound to.
Result<std::vector<unsigned>> balancedNode(const Planning &plan)
{
    const auto guests = plan.host.guestNodes ? plan.host.guestNodes() : std::map<std::string, std::vector<unsigned>>();
    const std::vector<unsigned> memory = plan.host.memoryNodes ? plan.host.memoryNodes() : std::vector<unsigned>();
    std::map<unsigned, unsigned> load;
    for (const auto &[node, unused] : plan.host.nodes())
        if (std::ranges::find(memory, node) != memory.end() && cpusOn({node}, plan.host.cpus, plan.host.nodes()))
            load[node] = 0;
    if (load.empty())
        return Error(Code::Unsupported, "limits.cpu.nodes: no NUMA node has both CPUs and memory for guests");
    for (const auto &[name, nodes] : guests) {
        if (name == plan.limits.group && nodes.size() == 1 && load.contains(nodes.front()))
            return nodes;
        for (const unsigned node : nodes)
            if (const auto found = load.find(node); found != load.end() && name != plan.limits.group)
                ++found->second;
    }
    return std::vector<unsigned>{std::ranges::min_element(load, {}, [](const auto &each) { return each.second; })->first};
}

Status planCpuSet(Planning &plan)
{
    const Limits &limits = plan.limits;
    const bool limited = limits.cpuCount || !limits.cpuSet.empty(), nodes = !limits.cpuNodes.empty() || limits.balancedNode;
    if (!limited && !nodes && !(plan.live && plan.layout.has("cpuset")))
        return {};
    if (limited || nodes)
        TRY(plan.need(limited ? "limits.cpu" : "limits.cpu.nodes", "cpuset"));
    const std::vector<unsigned> chosen = limits.balancedNode ? TRY(balancedNode(plan)) : limits.cpuNodes;
    const std::vector<unsigned> usable = nodes ? TRY(cpusOn(chosen, plan.host.cpus, plan.host.nodes())) : plan.host.cpus;
    std::vector<unsigned> cpus = usable;
    if (!limits.cpuSet.empty()) {
        cpus = limits.cpuSet;
        for (const unsigned cpu : cpus) {
            if (std::ranges::find(plan.host.cpus, cpu) == plan.host.cpus.end())
                return Error(Code::Unsupported, "limits.cpu: this host has no CPU " + std::to_string(cpu) + " online")
                    .hint("online are " + formatCpuList(plan.host.cpus));
            if (std::ranges::find(usable, cpu) == usable.end())
                return Error(Code::Invalid, "limits.cpu: CPU " + std::to_string(cpu) + " is on none of the nodes of limits.cpu.nodes")
                    .hint("on these are " + formatCpuList(usable));
        }
    } else if (limits.cpuCount && *limits.cpuCount == 0) {
        return Error(Code::Invalid, "limits.cpu: 0 CPUs are not enough to run on");
    } else if (limits.cpuCount) {
        cpus = balancedCpus(*limits.cpuCount, usable, loadOf(plan.host, usable));
    }
    plan.add("cpuset", "cpuset.cpus", formatCpuList(cpus));
    // cgroup-v1/cpusets: what is in the memory of other nodes follows where this is set; cgroup2 always has it follow.
    if (nodes && !plan.layout.unified("cpuset"))
        plan.refine("cpuset", "cpuset.memory_migrate", "1");
    if (nodes)
        plan.add("cpuset", "cpuset.mems", formatCpuList(chosen));
    else if (plan.live && plan.host.memoryNodes)
        plan.add("cpuset", "cpuset.mems", formatCpuList(plan.host.memoryNodes()));
    return {};
}

/// limits.cpu.allowance as a percentage, and what limits.cpu.priority leaves of it: v1 counts shares of 1024, v2 weights of 100.
Status planCpuShare(Planning &plan)
{
    const std::optional<unsigned> &priority = plan.limits.cpuPriority;
    if (!plan.limits.cpuPercent && !priority && !(plan.live && plan.layout.has("cpu")))
        return {};
    if (plan.limits.cpuPercent)
        TRY(plan.need("limits.cpu.allowance", "cpu"));
    if (priority)
        TRY(plan.need("limits.cpu.priority", "cpu"));
    if (priority && *priority > 10)
        return Error(Code::Invalid, "limits.cpu.priority: " + std::to_string(*priority) + " is not from 0 to 10");
    const unsigned percent = plan.limits.cpuPercent.value_or(100);
    if (percent < 1 || percent > 10'000)
        return Error(Code::Invalid, "limits.cpu.allowance: a percentage is between 1% and 10000%");
    // The lowest still has a twentieth: nobody is starved.
    const unsigned twentieths = std::max(1U, 2 * priority.value_or(10));
    if (plan.layout.unified("cpu"))
        plan.add("cpu", "cpu.weight", std::to_string(std::max(1U, percent * twentieths / 20)));
    else
        plan.add("cpu", "cpu.shares", std::to_string(std::max(2U, percent * 1024 / 100 * twentieths / 20)));
    return {};
}

Status planCpuQuota(Planning &plan)
{
    const std::optional<CpuQuota> &quota = plan.limits.cpuQuota;
    if (!quota && !(plan.live && plan.layout.has("cpu")))
        return {};
    if (quota)
        TRY(plan.need("limits.cpu.allowance", "cpu"));
    // kernel: scheduler/sched-bwc, both within 1 ms and 1 s (a slice may be longer: several CPUs).
    if (quota && (quota->slice.count < 1 || quota->period.count < 1 || quota->period.count > 1000))
        return Error(Code::Invalid, "limits.cpu.allowance: a slice is at least 1ms, a period 1ms to 1000ms");
    const std::string period = std::to_string((quota ? quota->period.count : 100) * 1000);
    const std::string slice = quota ? std::to_string(quota->slice.count * 1000) : "";
    if (plan.layout.unified("cpu")) {
        plan.add("cpu", "cpu.max", (quota ? slice : "max") + " " + period);
        return {};
    }
    plan.add("cpu", "cpu.cfs_period_us", period);
    plan.add("cpu", "cpu.cfs_quota_us", quota ? slice : "-1");
    return {};
}

Result<std::optional<std::uint64_t>> memoryLimit(const Planning &plan)
{
    const Limits &limits = plan.limits;
    if (limits.memoryPercent && (*limits.memoryPercent < 1 || *limits.memoryPercent > 100))
        return Error(Code::Invalid, "limits.memory: a percentage is between 1% and 100%");
    if (limits.memoryPercent)
        return std::optional(plan.host.memory.count / 100 * *limits.memoryPercent);
    if (!limits.memory)
        return std::optional<std::uint64_t>();
    // Below this no init comes up at all, and the refusal would be an OOM kill without a word.
    if (limits.memory->count < 1 << 20)
        return Error(Code::Invalid, "limits.memory: less than 1MiB is not enough to run on");
    return std::optional(limits.memory->count);
}

/// How much swap beside the memory: none, as asked, or as much again as there is memory; absent: no bound.
std::optional<std::uint64_t> swapLimit(const Limits &limits, const std::optional<std::uint64_t> &memory)
{
    if (!limits.swap)
        return 0;
    if (limits.swapBytes)
        return limits.swapBytes->count;
    return limits.memoryEnforce == MemoryEnforce::Hard ? memory : std::nullopt;
}

void planMemoryV2(Planning &plan, const std::optional<std::uint64_t> &memory, const std::optional<std::uint64_t> &swap)
{
    const bool hard = plan.limits.memoryEnforce == MemoryEnforce::Hard;
    const auto text = [](const std::optional<std::uint64_t> &value) { return value ? std::to_string(*value) : "max"; };
    if ((memory && hard) || plan.live)
        plan.add("memory", "memory.max", hard ? text(memory) : "max");
    // Soft: what it holds beyond this is the first to be taken back when the host runs short.
    if ((memory && !hard) || plan.live)
        plan.add("memory", "memory.low", memory && !hard ? std::to_string(*memory) : "0");
    if (swap || plan.live)
        plan.refine("memory", "memory.swap.max", text(swap));
}

void planMemoryV1(Planning &plan, const std::optional<std::uint64_t> &memory, const std::optional<std::uint64_t> &swap)
{
    const bool hard = memory && plan.limits.memoryEnforce == MemoryEnforce::Hard;
    const bool soft = memory && !hard;
    if (hard || plan.live)
        plan.add("memory", "memory.limit_in_bytes", hard ? std::to_string(*memory) : "-1");
    // Memory and swap together; never below the line above.
    if (plan.host.swapAccounting && ((hard && swap) || plan.live))
        plan.add("memory", "memory.memsw.limit_in_bytes", hard && swap ? std::to_string(*memory + *swap) : "-1");
    if (soft || plan.live)
        plan.add("memory", "memory.soft_limit_in_bytes", soft ? std::to_string(*memory) : "-1");
    // 60 is what the kernel starts with; the lowest priority is swapped as readily as caches are dropped.
    const unsigned swappiness = plan.limits.swap ? 100 - 4 * plan.limits.swapPriority.value_or(10) : 0;
    if (plan.limits.swapPriority)
        plan.add("memory", "memory.swappiness", std::to_string(swappiness));
    else if (!plan.limits.swap || plan.live)
        plan.refine("memory", "memory.swappiness", std::to_string(swappiness));
}

Status checkSwapPriority(const Planning &plan)
{
    if (!plan.limits.swapPriority)
        return {};
    TRY(plan.need("limits.memory.swap.priority", "memory"));
    if (*plan.limits.swapPriority > 10)
        return Error(Code::Invalid, "limits.memory.swap.priority: " + std::to_string(*plan.limits.swapPriority) + " is not from 0 to 10");
    if (plan.layout.unified("memory"))
        return Error(Code::Unsupported, "limits.memory.swap.priority cannot be kept on this host: control groups v2 have no memory.swappiness")
            .hint("unset it, or bound what is swapped with limits.memory.swap");
    return {};
}

Status planMemory(Planning &plan)
{
    const std::optional<std::uint64_t> memory = TRY(memoryLimit(plan));
    const std::optional<std::uint64_t> swap = swapLimit(plan.limits, memory);
    const bool limited = memory || swap || plan.limits.swapPriority;
    TRY(checkSwapPriority(plan));
    if (memory)
        TRY(plan.need("limits.memory", "memory"));
    if (!plan.limits.swap || plan.limits.swapBytes)
        TRY(plan.need("limits.memory.swap", "memory"));
    if ((!limited && !plan.live) || !plan.layout.has("memory"))
        return {};
    if (plan.layout.unified("memory")) {
        planMemoryV2(plan, memory, swap);
        return {};
    }
    const bool bounded = memory && plan.limits.memoryEnforce == MemoryEnforce::Hard;
    if (plan.limits.swapBytes && !bounded)
        return Error(Code::Unsupported, "limits.memory.swap: on control groups v1 a size needs a hard limits.memory beside it");
    if (plan.limits.swapBytes && !plan.host.swapAccounting && plan.host.swap.count > 0)
        return Error(Code::Unsupported, "limits.memory.swap: this host does not count swap")
            .hint("boot the kernel with swapaccount=1");
    planMemoryV1(plan, memory, swap);
    return {};
}

/// Always finite: one guest must not take the host's last pid.
Status planProcesses(Planning &plan)
{
    if (plan.limits.processes)
        TRY(plan.need("limits.processes", "pids"));
    if (!plan.layout.has("pids"))
        return {};
    if (plan.limits.processes == std::uint64_t(0))
        return Error(Code::Invalid, "limits.processes: 0 processes are not enough to run an init");
    const std::uint64_t fallback = std::min<std::uint64_t>(plan.host.pidMax / 4, 32'768);
    plan.add("pids", "pids.max", std::to_string(plan.limits.processes.value_or(fallback)));
    return {};
}

constexpr const char *kHugepageSizes[] = {"64KB", "1MB", "2MB", "1GB"};

/// kernel: admin-guide/cgroup-v1/hugetlb, admin-guide/cgroup-v2. The reservation is bounded too: mmap(2) fails then,
/// where the other limit alone ends in SIGBUS at the first touch.
Status planHugepages(Planning &plan)
{
    if (!plan.limits.hugepages.empty())
        TRY(plan.need("limits.hugepages." + plan.limits.hugepages.begin()->first, "hugetlb"));
    if (!plan.layout.has("hugetlb") || (plan.limits.hugepages.empty() && !plan.live))
        return {};
    const std::vector<std::string> sizes = plan.host.hugepageSizes ? plan.host.hugepageSizes() : std::vector<std::string>();
    const std::string suffix = plan.layout.unified("hugetlb") ? "max" : "limit_in_bytes";
    const std::string none = plan.layout.unified("hugetlb") ? "max" : "-1";
    for (const std::string size : kHugepageSizes) {
        const auto limit = plan.limits.hugepages.find(size);
        const bool limited = limit != plan.limits.hugepages.end();
        if (limited && std::ranges::find(sizes, size) == sizes.end())
            return Error(Code::Unsupported, "limits.hugepages." + size + ": this host has no huge pages of that size")
                .hint(sizes.empty() ? "it has none at all" : "there are " + join(sizes, ", "));
        if (!limited && !plan.live)
            continue;
        const std::string value = limited ? std::to_string(limit->second.count) : none;
        plan.add("hugetlb", "hugetlb." + size + "." + suffix, value);
        plan.writes.back().required = limited;
        plan.refine("hugetlb", "hugetlb." + size + ".rsvd." + suffix, value); // Linux 5.7
    }
    return {};
}

/// 5 is what everybody has. kernel: block/bfq-iosched (1 to 1000), admin-guide/cgroup-v2 io.weight (1 to 10000).
Status planDiskPriority(Planning &plan)
{
    const std::optional<unsigned> &priority = plan.limits.diskPriority;
    const bool unified = plan.layout.unified("io");
    const std::string controller = unified ? "io" : "blkio";
    if (priority)
        TRY(plan.need("limits.disk.priority", controller));
    if (priority && *priority > 10)
        return Error(Code::Invalid, "limits.disk.priority: " + std::to_string(*priority) + " is not from 0 to 10");
    if (!plan.layout.has(controller) || (!priority && !plan.live))
        return {};
    DiskShares shares;
    if (priority)
        shares = plan.host.diskShares ? plan.host.diskShares() : DiskShares();
    if (priority && !shares.bfq && !(unified && shares.cost))
        return Error(Code::Unsupported, "limits.disk.priority cannot be kept on this host: no disk of it is shared out by weight")
            .hint("set the disk's scheduler to bfq (/sys/block/DISK/queue/scheduler), where the kernel's weighs groups (CONFIG_BFQ_GROUP_IOSCHED), "
                  "or bound rates with limits.read and limits.write of the disk");
    const std::string weight = std::to_string(priority ? std::max(1U, 20 * *priority) : 100);
    plan.refine(controller, unified ? "io.bfq.weight" : "blkio.bfq.weight", weight);
    plan.writes.back().required = shares.bfq;
    if (!unified)
        return {};
    plan.refine(controller, "io.weight", weight);
    plan.writes.back().required = shares.cost;
    return {};
}

Status planIo(Planning &plan)
{
    const bool unified = plan.layout.unified("io");
    const std::string controller = unified ? "io" : "blkio";
    if (!plan.limits.io.empty())
        TRY(plan.need("limits.read and limits.write of a disk", controller));
    if (plan.layout.has(controller) && (!plan.limits.io.empty() || plan.live))
        plan.add(controller, kIoLimits, formatIoLimits(plan.limits.io));
    return {};
}

Status planDevices(Planning &plan)
{
    std::vector<DeviceRule> rules = plan.limits.devices;
    if (plan.limits.allDevices)
        rules = {{'a', {}, {}, "rwm"}};
    if (plan.limits.allDevices && !plan.live)
        return {};
    const bool listed = plan.layout.has("devices");
    if (!listed && !plan.layout.has(""))
        return Error(Code::Unsupported, "Device access cannot be limited on this host: no devices controller, no cgroup2");
    std::string text;
    for (const DeviceRule &rule : rules)
        text += formatDeviceRule(rule) + "\n";
    plan.writes.push_back({listed ? "devices" : "", std::string(kDeviceProgram), std::move(text), true});
    return {};
}

constexpr Status (*kPlanners[])(Planning &) = {
    &planCpuSet, &planCpuShare, &planCpuQuota, &planMemory, &planProcesses, &planHugepages, &planDiskPriority, &planIo, &planDevices,
};

/// "MemTotal:   24680 kB" → bytes.
Bytes meminfo(const std::string &text, std::string_view key)
{
    for (const std::string &line : split(text, '\n')) {
        const std::vector<std::string> parts = words(line);
        if (parts.size() >= 2 && parts[0] == key)
            if (Result<std::uint64_t> kilobytes = parseUnsigned(parts[1]))
                return {*kilobytes * 1024};
    }
    return {};
}

/// The first of these files of the root that says something.
std::string cpusetOf(const Layout &layout, std::initializer_list<const char *> files)
{
    const Hierarchy *cpuset = layout.find("cpuset");
    for (const char *file : files)
        if (Result<std::string> text = files::read(cpuset ? cpuset->mountPoint + file : ""))
            if (!trimmed(*text).empty())
                return std::string(trimmed(*text));
    return {};
}

/// What this host lets us pin to. Inside another manager's limits that is less than what is online.
Result<std::vector<unsigned>> usableCpus(const Layout &layout)
{
    const std::string list = cpusetOf(layout, {"/cpuset.cpus.effective", "/cpuset.effective_cpus", "/cpuset.cpus"});
    return parseCpuList(list.empty() ? trimmed(TRY(files::read("/sys/devices/system/cpu/online"))) : list);
}

std::vector<unsigned> usableMemory(const Layout &layout)
{
    const auto nodes = parseCpuList(cpusetOf(layout, {"/cpuset.mems.effective", "/cpuset.effective_mems", "/cpuset.mems"}));
    return nodes && !nodes->empty() ? *nodes : std::vector<unsigned>{0};
}

/// Of /sys/devices/system/node (sysfs-devices-node); a host without it has the one node 0.
NodeCpus nodesOfHost(const std::vector<unsigned> &cpus)
{
    NodeCpus nodes;
    const Result<Fd> folder = sys::open("/sys/devices/system/node", O_RDONLY | O_DIRECTORY);
    const Result<std::vector<std::string>> names = folder ? folders(*folder) : std::vector<std::string>();
    for (const std::string &name : names ? *names : std::vector<std::string>()) {
        const auto number = name.starts_with("node") ? parseUnsigned(name.substr(4)) : Result<std::uint64_t>(Error(Code::Invalid, name));
        const auto list = number ? files::read(*folder, name + "/cpulist") : Result<std::string>(number.error());
        if (const auto of = list ? parseCpuList(trimmed(*list)) : Result<std::vector<unsigned>>(list.error()))
            nodes[static_cast<unsigned>(*number)] = *of;
    }
    return nodes.empty() ? NodeCpus{{0, cpus}} : nodes;
}

/// "hugepages-2048kB" → "2MB", as the files of the controller are called.
std::vector<std::string> hugepagesOfHost()
{
    std::vector<std::string> sizes;
    const Result<Fd> folder = sys::open("/sys/kernel/mm/hugepages", O_RDONLY | O_DIRECTORY);
    const Result<std::vector<std::string>> names = folder ? folders(*folder) : std::vector<std::string>();
    constexpr std::string_view kPrefix = "hugepages-", kUnit = "kB";
    for (const std::string &name : names ? *names : std::vector<std::string>()) {
        if (!name.starts_with(kPrefix) || !name.ends_with(kUnit))
            continue;
        const auto kilobytes = parseUnsigned(name.substr(kPrefix.size(), name.size() - kPrefix.size() - kUnit.size()), 1);
        if (kilobytes)
            sizes.push_back(*kilobytes >= 1 << 20 ? std::to_string(*kilobytes >> 20) + "GB"
                            : *kilobytes >= 1024  ? std::to_string(*kilobytes >> 10) + "MB"
                                                  : std::to_string(*kilobytes) + "KB");
    }
    return sizes;
}

/// A kernel whose bfq knows no groups has no file of weights for them. Where guests have been, their folder tells; its root never does.
bool bfqKnowsGroups(const Layout &layout, const std::string &base)
{
    const Hierarchy *disks = layout.find(layout.unified("io") ? "io" : "blkio");
    const std::string folder = disks ? disks->mountPoint + "/" + base : "";
    if (!disks || !sys::open(folder, O_RDONLY | O_DIRECTORY))
        return disks != nullptr;
    return files::read(folder + (disks->unified ? "/io.bfq.weight" : "/blkio.bfq.weight")).has_value();
}

DiskShares diskSharesOfHost(const Layout &layout, const std::string &base)
{
    DiskShares shares;
    const Result<Fd> blocks = sys::open("/sys/class/block", O_RDONLY | O_DIRECTORY);
    const Result<std::vector<std::string>> names = blocks ? path::list(*blocks) : std::vector<std::string>();
    for (const std::string &name : names ? *names : std::vector<std::string>())
        if (const Result<std::string> text = files::read(*blocks, name + "/queue/scheduler"))
            shares.bfq = shares.bfq || text->find("[bfq]") != std::string::npos;
    shares.bfq = shares.bfq && bfqKnowsGroups(layout, base);
    const Hierarchy *unified = layout.find("io");
    if (unified && unified->unified)
        if (const Result<std::string> text = files::read(unified->mountPoint + "/io.cost.qos"))
            shares.cost = text->find("enable=1") != std::string::npos;
    return shares;
}

/// What `file` says of each guest below `base`, where that is less than `all` there are.
std::map<std::string, std::vector<unsigned>> boundGuests(const Layout &layout, const std::string &base, const std::string &file, std::size_t all)
{
    std::map<std::string, std::vector<unsigned>> found;
    const Hierarchy *cpuset = layout.find("cpuset");
    const std::string folder = cpuset ? cpuset->mountPoint + "/" + base : "";
    const Result<Fd> guests = sys::open(folder, O_RDONLY | O_DIRECTORY);
    const Result<std::vector<std::string>> names = guests ? folders(*guests) : std::vector<std::string>();
    for (const std::string &name : names ? *names : std::vector<std::string>()) {
        const Result<std::string> text = files::read(folder + "/" + name + "/" + file);
        const Result<std::vector<unsigned>> bound = parseCpuList(text ? trimmed(*text) : "");
        if (bound && !bound->empty() && bound->size() < all)
            found[name] = *bound;
    }
    return found;
}

std::vector<unsigned> countPinned(const Layout &layout, const std::string &base, const std::vector<unsigned> &cpus)
{
    std::map<unsigned, unsigned> load;
    for (const auto &[name, pinned] : boundGuests(layout, base, "cpuset.cpus", cpus.size()))
        for (const unsigned cpu : pinned)
            ++load[cpu];
    std::vector<unsigned> counts;
    for (const unsigned cpu : cpus)
        counts.push_back(load[cpu]);
    return counts;
}

} // namespace

std::vector<DeviceRule> defaultDevices()
{
    constexpr const char *kRules = "c *:* m\nb *:* m\n"                                   // making nodes opens nothing
                                   "c 1:3 rwm\nc 1:5 rwm\nc 1:7 rwm\nc 1:8 rwm\nc 1:9 rwm\n" // null zero full random urandom
                                   "c 5:0 rwm\nc 5:2 rwm\nc 136:* rwm\n"       // tty ptmx pts; not 5:1, the host's console: a guest's is a pts
                                   "c 10:200 rwm\nc 10:229 rwm\n";                        // net/tun fuse
    return *parseDeviceRules(kRules);
}

Result<HostFacts> HostFacts::read(const Layout &layout, const std::string &base)
{
    HostFacts facts;
    facts.cpus = TRY(usableCpus(layout));
    facts.cpuLoad = [layout, base, cpus = facts.cpus] { return countPinned(layout, base, cpus); };
    facts.nodes = [cpus = facts.cpus] { return nodesOfHost(cpus); };
    facts.memoryNodes = [layout] { return usableMemory(layout); };
    facts.guestNodes = [layout, base] { return boundGuests(layout, base, "cpuset.mems", usableMemory(layout).size()); };
    facts.hugepageSizes = &hugepagesOfHost;
    facts.diskShares = [layout, base] { return diskSharesOfHost(layout, base); };
    const std::string memory = TRY(files::read("/proc/meminfo"));
    facts.memory = meminfo(memory, "MemTotal:");
    facts.swap = meminfo(memory, "SwapTotal:");
    facts.freeSwap = meminfo(memory, "SwapFree:");
    if (const Hierarchy *v1 = layout.find("memory"); v1 && !v1->unified)
        facts.swapAccounting = files::read(v1->mountPoint + "/memory.memsw.usage_in_bytes").has_value();
    facts.pidMax = TRY(parseUnsigned(trimmed(TRY(files::read("/proc/sys/kernel/pid_max")))));
    return facts;
}

Result<std::vector<Write>> planLimits(const Limits &limits, const Layout &layout, const HostFacts &host, PlanFor scope)
{
    Planning plan{limits, layout, host, scope == PlanFor::Live, {}};
    for (const auto planner : kPlanners)
        TRY(planner(plan));
    return std::move(plan.writes);
}

Result<std::vector<unsigned>> parseCpuList(std::string_view text)
{
    constexpr unsigned kMost = 8192; // CONFIG_NR_CPUS is never more
    std::vector<unsigned> cpus;
    for (const std::string &part : split(text, ',')) {
        const std::size_t dash = part.find('-');
        const auto first = TRY_IN("CPU list " + quoted(text), parseUnsigned(trimmed(part.substr(0, dash)), 0, kMost - 1));
        auto last = first;
        if (dash != std::string::npos)
            last = TRY_IN("CPU list " + quoted(text), parseUnsigned(trimmed(part.substr(dash + 1)), first, kMost - 1));
        for (auto cpu = first; cpu <= last; ++cpu)
            cpus.push_back(static_cast<unsigned>(cpu));
    }
    std::ranges::sort(cpus);
    cpus.erase(std::ranges::unique(cpus).begin(), cpus.end());
    return cpus;
}

std::string formatCpuList(std::span<const unsigned> cpus)
{
    std::string text;
    for (std::size_t i = 0; i < cpus.size();) {
        std::size_t end = i;
        while (end + 1 < cpus.size() && cpus[end + 1] == cpus[end] + 1)
            ++end;
        text += (text.empty() ? "" : ",") + std::to_string(cpus[i]);
        if (end > i)
            text += "-" + std::to_string(cpus[end]);
        i = end + 1;
    }
    return text;
}

Result<std::vector<unsigned>> cpusOn(const std::vector<unsigned> &nodes, const std::vector<unsigned> &cpus, const NodeCpus &host)
{
    if (nodes.empty())
        return cpus;
    std::vector<unsigned> numbers, found;
    for (const auto &[number, unused] : host)
        numbers.push_back(number);
    for (const unsigned node : nodes) {
        const auto of = host.find(node);
        if (of == host.end())
            return Error(Code::Unsupported, "limits.cpu.nodes: this host has no NUMA node " + std::to_string(node))
                .hint("it has " + formatCpuList(numbers));
        std::ranges::copy_if(of->second, std::back_inserter(found), [&](unsigned cpu) { return std::ranges::find(cpus, cpu) != cpus.end(); });
    }
    std::ranges::sort(found);
    if (found.empty())
        return Error(Code::Unsupported, "limits.cpu.nodes: no CPU of these nodes may be used").hint("usable are the CPUs " + formatCpuList(cpus));
    return found;
}

std::vector<unsigned> balancedCpus(unsigned count, std::span<const unsigned> cpus, std::span<const unsigned> load)
{
    std::vector<std::size_t> order(cpus.size());
    for (std::size_t i = 0; i < order.size(); ++i)
        order[i] = i;
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return i < load.size() ? load[i] : 0U; });
    std::vector<unsigned> chosen;
    for (const std::size_t i : order)
        if (chosen.size() < count)
            chosen.push_back(cpus[i]);
    std::ranges::sort(chosen);
    return chosen;
}

} // namespace lxmgr::cgroup
