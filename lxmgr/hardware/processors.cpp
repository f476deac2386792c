// Processors and memory.
#include "base/text.h"
#include "hardware/parts.h"
#include "kernel/cgroup_limits.h"
#include "kernel/files.h"
#include "kernel/sys.h"
#include "kernel/sysfs_files.h"

#include <algorithm>
#include <map>
#include <set>
#include <sys/utsname.h>

namespace lxmgr::hardware
{

namespace
{

using sysfs::attribute;

/// "cpu3" is 3, "node0" 0.
std::optional<std::uint32_t> numberBehind(const std::string &name, const std::string &prefix)
{
    return name.starts_with(prefix) ? sysfs::number(name.substr(prefix.size())) : std::nullopt;
}

std::set<unsigned> cpuList(const std::string &path)
{
    const auto text = files::read(path);
    const auto list = text && !trimmed(*text).empty() ? cgroup::parseCpuList(trimmed(*text)) : Result<std::vector<unsigned>>(Error(Code::NotFound, ""));
    return list ? std::set<unsigned>(list->begin(), list->end()) : std::set<unsigned>();
}

/// Vendor and model by the number of the processor, from /proc/cpuinfo; architectures without such have none.
std::map<std::uint32_t, std::pair<std::string, std::string>> models(const Roots &roots)
{
    std::map<std::uint32_t, std::pair<std::string, std::string>> found;
    std::optional<std::uint32_t> processor;
    const auto text = files::read(roots.proc + "/cpuinfo");
    for (const std::string &line : split(text ? *text : std::string(), '\n')) {
        const std::size_t colon = line.find(':');
        if (colon == std::string::npos)
            continue;
        const std::string_view key = trimmed(std::string_view(line).substr(0, colon)), value = trimmed(std::string_view(line).substr(colon + 1));
        if (key == "processor")
            processor = sysfs::number(std::string(value));
        else if (processor && key == "vendor_id")
            found[*processor].first = value;
        else if (processor && key == "model name")
            found[*processor].second = value;
    }
    return found;
}

std::vector<api::CpuCache> caches(const std::string &cpu)
{
    std::vector<api::CpuCache> found;
    for (const auto &[name, folder] : foldersIn(cpu + "/cache")) {
        if (!name.starts_with("index"))
            continue;
        const std::string size = attribute(folder, "size").value_or(""); // "32K"
        const auto kib = size.ends_with('K') ? sysfs::number(size.substr(0, size.size() - 1)) : std::nullopt;
        found.push_back({sysfs::number(attribute(folder, "level")).value_or(0), attribute(folder, "type").value_or(""), std::uint64_t(kib.value_or(0)) * 1024});
    }
    return found;
}

/// cpufreq counts in kHz.
std::uint64_t megahertz(const Fd &cpu, const char *file) { return sysfs::number(attribute(cpu, std::string("cpufreq/") + file)).value_or(0) / 1000; }

api::CpuSocket &socketOf(api::CpuResources &cpus, std::uint32_t number)
{
    const auto found = std::ranges::find(cpus.sockets, number, &api::CpuSocket::socket);
    if (found != cpus.sockets.end())
        return *found;
    cpus.sockets.push_back({});
    cpus.sockets.back().socket = number;
    return cpus.sockets.back();
}

api::CpuCore &coreOf(api::CpuSocket &socket, std::uint32_t number, std::uint32_t die)
{
    const auto found = std::ranges::find_if(socket.cores, [&](const api::CpuCore &core) { return core.core == number && core.die == die; });
    if (found != socket.cores.end())
        return *found;
    socket.cores.push_back({number, die, {}, 0});
    return socket.cores.back();
}

/// Of /proc/meminfo and of a node's: bytes by name. A node's lines begin with "Node 0".
std::map<std::string, std::uint64_t> memoryLines(const std::string &path)
{
    std::map<std::string, std::uint64_t> found;
    const auto text = files::read(path);
    for (const std::string &line : split(text ? *text : std::string(), '\n')) {
        std::vector<std::string> parts = words(line);
        if (parts.size() > 2 && parts[0] == "Node")
            parts.erase(parts.begin(), parts.begin() + 2);
        if (parts.size() < 2 || !parts[0].ends_with(':'))
            continue;
        const bool kib = parts.size() > 2 && parts[2] == "kB";
        if (const auto value = sysfs::largeNumber(parts[1]))
            found[parts[0].substr(0, parts[0].size() - 1)] = *value * (kib ? 1024 : 1);
    }
    return found;
}

} // namespace

api::CpuResources readProcessors(const Roots &roots)
{
    const std::string base = roots.sysfs + "/devices/system/cpu";
    utsname host{};
    ::uname(&host);
    api::CpuResources cpus;
    cpus.architecture = host.machine;
    const auto named = models(roots);
    const std::set<unsigned> isolated = cpuList(base + "/isolated");
    std::map<unsigned, std::uint64_t> nodes;
    for (const auto &[name, folder] : foldersIn(roots.sysfs + "/devices/system/node"))
        if (const auto node = numberBehind(name, "node"))
            for (const unsigned cpu : cpuList(roots.sysfs + "/devices/system/node/" + name + "/cpulist"))
                nodes[cpu] = *node;
    std::map<std::uint32_t, Fd> all; // in the order of their numbers, cpu10 behind cpu2
    for (auto &[name, folder] : foldersIn(base))
        if (const auto number = numberBehind(name, "cpu"))
            all.emplace(*number, std::move(folder));
    for (const auto &[number, folder] : all) {
        const auto package = sysfs::number(attribute(folder, "topology/physical_package_id"));
        const auto core = sysfs::number(attribute(folder, "topology/core_id"));
        if (!core)
            continue; // switched off: the kernel says no more of it than that it is there
        api::CpuSocket &socket = socketOf(cpus, package.value_or(0)); // -1 where the firmware does not tell
        if (socket.cores.empty()) {
            const auto model = named.find(number);
            socket.vendor = model == named.end() ? "" : model->second.first;
            socket.name = model == named.end() ? "" : model->second.second;
            socket.cache = caches(base + "/cpu" + std::to_string(number));
            socket.frequencyMinimum = megahertz(folder, "cpuinfo_min_freq");
            socket.frequencyTurbo = megahertz(folder, "cpuinfo_max_freq");
        }
        api::CpuCore &place = coreOf(socket, *core, sysfs::number(attribute(folder, "topology/die_id")).value_or(0));
        place.frequency = std::max(place.frequency, megahertz(folder, "scaling_cur_freq"));
        socket.frequency = std::max(socket.frequency, place.frequency);
        place.threads.push_back({number, nodes.contains(number) ? nodes[number] : 0, place.threads.size(), attribute(folder, "online").value_or("1") != "0",
                                 isolated.contains(number)});
        ++cpus.total;
    }
    return cpus;
}

api::MemoryResources readMemory(const Roots &roots)
{
    auto lines = memoryLines(roots.proc + "/meminfo");
    api::MemoryResources memory;
    memory.hugepagesSize = lines["Hugepagesize"];
    memory.hugepagesTotal = lines["HugePages_Total"] * memory.hugepagesSize;
    memory.hugepagesUsed = memory.hugepagesTotal - lines["HugePages_Free"] * memory.hugepagesSize;
    memory.total = lines["MemTotal"];
    memory.used = memory.total - std::min(memory.total, lines["MemAvailable"]);
    const std::string base = roots.sysfs + "/devices/system/node";
    for (const auto &[name, folder] : foldersIn(base)) {
        const auto number = numberBehind(name, "node");
        if (!number)
            continue;
        auto own = memoryLines(base + "/" + name + "/meminfo");
        api::MemoryNode node{*number, 0, own["HugePages_Total"] * memory.hugepagesSize, own["MemUsed"], own["MemTotal"]};
        node.hugepagesUsed = node.hugepagesTotal - own["HugePages_Free"] * memory.hugepagesSize;
        // The page cache is free for whoever needs it, as in MemAvailable.
        node.used -= std::min(node.used, own["FilePages"] + own["SReclaimable"]);
        memory.nodes.push_back(node);
    }
    std::ranges::sort(memory.nodes, {}, &api::MemoryNode::numaNode);
    return memory;
}

} // namespace lxmgr::hardware
