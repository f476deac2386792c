#include "daemon/resources.h"

#include "base/text.h"
#include "kernel/files.h"

#include <map>
#include <sys/utsname.h>

namespace lxmgr::daemon
{

namespace
{

using api::Json;

/// "key : value" lines of /proc/cpuinfo, a map per processor.
std::vector<std::map<std::string, std::string>> processors(const std::string &text)
{
    std::vector<std::map<std::string, std::string>> all(1);
    for (const std::string &line : split(text, '\n')) {
        const std::size_t colon = line.find(':');
        if (trimmed(line).empty()) {
            if (!all.back().empty())
                all.emplace_back();
        } else if (colon != std::string::npos) {
            all.back()[std::string(trimmed(line.substr(0, colon)))] = std::string(trimmed(line.substr(colon + 1)));
        }
    }
    if (all.back().empty())
        all.pop_back();
    return all;
}

std::int64_t number(const std::map<std::string, std::string> &of, const std::string &key, std::int64_t otherwise)
{
    const auto found = of.find(key);
    if (found == of.end())
        return otherwise;
    const auto value = parseSigned(found->second);
    return value ? *value : otherwise;
}

std::string word(const std::map<std::string, std::string> &of, const std::string &key)
{
    const auto found = of.find(key);
    return found == of.end() ? std::string() : found->second;
}

Json cpuTree(const std::string &cpuinfo, const std::string &architecture)
{
    // socket → core → threads, in the kernel's numbering; where it gives none, each processor is a core of its own.
    std::map<std::int64_t, std::map<std::int64_t, std::vector<std::int64_t>>> tree;
    std::map<std::int64_t, std::pair<std::string, std::string>> names;
    const auto all = processors(cpuinfo);
    for (const auto &one : all) {
        const std::int64_t id = number(one, "processor", 0), socket = number(one, "physical id", 0);
        tree[socket][number(one, "core id", id)].push_back(id);
        names[socket] = {word(one, "model name"), word(one, "vendor_id")};
    }
    Json sockets = Json::array();
    for (const auto &[socket, cores] : tree) {
        Json coreList = Json::array();
        for (const auto &[core, threads] : cores) {
            Json threadList = Json::array();
            for (std::size_t i = 0; i < threads.size(); ++i) {
                Json thread = Json::object();
                thread["id"] = threads[i];
                thread["thread"] = i;
                thread["online"] = true;
                thread["numa_node"] = 0;
                threadList.append(std::move(thread));
            }
            Json entry = Json::object();
            entry["core"] = core;
            entry["die"] = 0;
            entry["threads"] = std::move(threadList);
            coreList.append(std::move(entry));
        }
        Json entry = Json::object();
        entry["name"] = names[socket].first;
        entry["vendor"] = names[socket].second;
        entry["socket"] = socket;
        entry["cores"] = std::move(coreList);
        sockets.append(std::move(entry));
    }
    Json cpu = Json::object();
    cpu["architecture"] = architecture;
    cpu["sockets"] = std::move(sockets);
    cpu["total"] = all.size();
    return cpu;
}

Json memoryTree(const std::string &meminfo)
{
    std::map<std::string, std::uint64_t> kib;
    for (const std::string &line : split(meminfo, '\n')) {
        const auto parts = words(line);
        if (parts.size() < 2)
            continue;
        if (const auto value = parseUnsigned(parts[1]))
            kib[parts[0].substr(0, parts[0].size() - 1)] = *value;
    }
    Json memory = Json::object();
    memory["nodes"] = Json::array();
    memory["hugepages_total"] = kib["HugePages_Total"];
    memory["hugepages_used"] = kib["HugePages_Total"] - kib["HugePages_Free"];
    memory["hugepages_size"] = kib["Hugepagesize"] * 1024;
    memory["used"] = (kib["MemTotal"] - kib["MemAvailable"]) * 1024;
    memory["total"] = kib["MemTotal"] * 1024;
    return memory;
}

Json none(const char *list)
{
    Json tree = Json::object();
    tree[list] = Json::array();
    tree["total"] = 0;
    return tree;
}

} // namespace

Result<Json> readResources()
{
    utsname host{};
    ::uname(&host);
    Json resources = Json::object();
    resources["cpu"] = cpuTree(TRY(files::read("/proc/cpuinfo")), host.machine);
    resources["memory"] = memoryTree(TRY(files::read("/proc/meminfo")));
    resources["gpu"] = none("cards");
    resources["network"] = none("cards");
    resources["storage"] = none("disks");
    resources["usb"] = none("devices");
    resources["pci"] = none("devices");
    Json system = Json::object();
    system["uuid"] = "";
    system["vendor"] = "";
    system["product"] = "";
    system["type"] = "physical";
    resources["system"] = std::move(system);
    return resources;
}

} // namespace lxmgr::daemon
