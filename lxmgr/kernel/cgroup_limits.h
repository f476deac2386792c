// Limits in the user's terms → what to write into which control group file on this host. Planning only, nothing is touched.
#pragma once

#include "kernel/cgroup.h"
#include "kernel/cgroup_devices.h"
#include "kernel/cgroup_io.h"

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

namespace lxmgr::cgroup
{

/// What every guest may use: mknod of anything, open of null zero full random urandom tty console ptmx pts fuse tun.
std::vector<DeviceRule> defaultDevices();

struct CpuQuota {
    Millis slice, period;
};
enum class MemoryEnforce { Hard, Soft };

/// Everything absent: no limit (processes excepted: a finite default).
struct Limits {
    std::optional<unsigned> cpuCount;           ///< limits.cpu "2": pinned to the least used CPUs.
    std::vector<unsigned> cpuSet;               ///< limits.cpu "0-3": pinned to these.
    std::vector<unsigned> cpuNodes;             ///< limits.cpu.nodes: the CPUs and the memory of these NUMA nodes.
    bool balancedNode = false;                  ///< limits.cpu.nodes "balanced": of the one that the fewest guests are bound to.
    std::string group;                          ///< Its folder below the base, where it runs: it stays on its node.
    std::optional<unsigned> cpuPercent;         ///< limits.cpu.allowance "50%": soft share.
    std::optional<CpuQuota> cpuQuota;           ///< limits.cpu.allowance "25ms/100ms": hard.
    std::optional<unsigned> cpuPriority;        ///< limits.cpu.priority, 0 to 10: part of the share that is left.
    std::optional<Bytes> memory;                ///< limits.memory.
    std::optional<unsigned> memoryPercent;      ///< limits.memory "50%" of the host's.
    MemoryEnforce memoryEnforce = MemoryEnforce::Hard;
    bool swap = true;                           ///< limits.memory.swap.
    std::optional<Bytes> swapBytes;             ///< limits.memory.swap as a size.
    std::optional<unsigned> swapPriority;       ///< limits.memory.swap.priority, 0 to 10: lower is swapped sooner.
    std::optional<std::uint64_t> processes;     ///< limits.processes.
    std::map<std::string, Bytes> hugepages;     ///< limits.hugepages.2MB and its like, by the size of a page ("2MB").
    std::optional<unsigned> diskPriority;       ///< limits.disk.priority, 0 to 10.
    std::vector<IoLimit> io;                    ///< limits.read and its kin of the disks.
    std::vector<DeviceRule> devices = defaultDevices();
    bool allDevices = false;                    ///< No device filter at all.
};

using NodeCpus = std::map<unsigned, std::vector<unsigned>>;
/// Those of `cpus` that are on `nodes`; all of them where `nodes` names none. Unsupported: this host has no such node.
Result<std::vector<unsigned>> cpusOn(const std::vector<unsigned> &nodes, const std::vector<unsigned> &cpus, const NodeCpus &host);

/// Bfq: the scheduler of at least one disk; Cost: the io.cost controller (cgroup2) is on for one.
struct DiskShares {
    bool bfq = false, cost = false;
};

/// What planning has to know of the host.
struct HostFacts {
    std::vector<unsigned> cpus;
    /// How many guests are pinned to each of `cpus`. Asked only for a count of CPUs: it reads a file of every guest.
    std::function<std::vector<unsigned>()> cpuLoad;
    /// The CPUs of each NUMA node. Asked only for limits.cpu.nodes.
    std::function<NodeCpus()> nodes;
    /// The nodes whose memory guests may use. Asked only to take limits.cpu.nodes back, or to balance.
    std::function<std::vector<unsigned>()> memoryNodes;
    /// Of every guest that is bound to less than all nodes, which; by its folder. Asked only to balance.
    std::function<std::map<std::string, std::vector<unsigned>>()> guestNodes;
    Bytes memory, swap, freeSwap;
    bool swapAccounting = true; ///< v1: memory.memsw.* is there.
    std::uint64_t pidMax = 32'768;
    /// Sizes of huge pages, "2MB". Asked only for limits.hugepages.
    std::function<std::vector<std::string>()> hugepageSizes;
    /// What shares out a disk by weight. Asked only for limits.disk.priority.
    std::function<DiskShares()> diskShares;

    /// Reads them; `base` ("lxmgr") is where pinned guests are counted.
    static Result<HostFacts> read(const Layout &layout, const std::string &base);
};

/// Fresh: only what differs from an untouched folder. Live: also what takes an earlier limit back.
enum class PlanFor { Fresh, Live };

/// Unsupported, naming key and missing controller, where this host cannot keep a limit; Invalid where the value is senseless.
Result<std::vector<Write>> planLimits(const Limits &limits, const Layout &layout, const HostFacts &host,
                                      PlanFor scope = PlanFor::Fresh);

/// "0-2,5" ↔ {0,1,2,5}: sorted, no duplicates, at most 8192.
Result<std::vector<unsigned>> parseCpuList(std::string_view text);
std::string formatCpuList(std::span<const unsigned> cpus);
/// The `count` CPUs with the fewest guests pinned to them, lowest number first among equals.
std::vector<unsigned> balancedCpus(unsigned count, std::span<const unsigned> cpus, std::span<const unsigned> load);

/// The CPUs of one running guest: a set is kept as it is, a count is met with those that are used least.
struct CpuPins {
    unsigned count = 0;        ///< 0: `cpus` is a set that somebody chose.
    std::vector<unsigned> cpus; ///< Where it runs; empty: not placed yet.
    std::vector<unsigned> among; ///< The CPUs it may have; empty: any.
};
/// Spreads the guests with a count evenly over those of `cpus` that each may have, moving as few as it takes.
void balance(std::span<CpuPins *const> guests, std::span<const unsigned> cpus);

} // namespace lxmgr::cgroup
