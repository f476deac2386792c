// Figures of instances and server for Prometheus and its like, and for "incus top": OpenMetrics text.
#include "daemon/context.h"
#include "daemon/convert.h"

#include "base/text.h"
#include "kernel/files.h"
#include "store/warnings.h"

#include <chrono>
#include <cstdio>
#include <map>

namespace lxmgr::daemon
{

namespace
{

struct Series {
    std::string_view name, type, help;
};
constexpr Series kSeries[] = {
    {"cpu_seconds_total",                 "counter", "CPU time used, in seconds."                                  },
    {"disk_read_bytes_total",             "counter", "Bytes read of a disk."                                       },
    {"disk_reads_completed_total",        "counter", "Reads of a disk."                                            },
    {"disk_writes_completed_total",       "counter", "Writes to a disk."                                           },
    {"disk_written_bytes_total",          "counter", "Bytes written to a disk."                                    },
    {"filesystem_avail_bytes",            "gauge",   "What the root file system may still take, in bytes."         },
    {"filesystem_free_bytes",             "gauge",   "What is free for the root file system, in bytes."            },
    {"filesystem_size_bytes",             "gauge",   "What the root file system may take in all, in bytes."        },
    {"instances",                         "gauge",   "Instances that run."                                         },
    {"memory_MemAvailable_bytes",         "gauge",   "Memory that may still be used, in bytes."                    },
    {"memory_MemFree_bytes",              "gauge",   "Memory that is not used, in bytes."                          },
    {"memory_MemTotal_bytes",             "gauge",   "Memory that may be used in all, in bytes."                   },
    {"memory_OOM_kills_total",            "counter", "Processes killed because memory was out."                    },
    {"memory_Swap_bytes",                 "gauge",   "Swap space used, in bytes."                                  },
    {"network_receive_bytes_total",       "counter", "Bytes received by a network card."                           },
    {"network_receive_drop_total",        "counter", "Packets that a network card dropped instead of receiving."   },
    {"network_receive_errs_total",        "counter", "Errors of a network card while receiving."                   },
    {"network_receive_packets_total",     "counter", "Packets received by a network card."                         },
    {"network_transmit_bytes_total",      "counter", "Bytes sent by a network card."                               },
    {"network_transmit_drop_total",       "counter", "Packets that a network card dropped instead of sending."     },
    {"network_transmit_errs_total",       "counter", "Errors of a network card while sending."                     },
    {"network_transmit_packets_total",    "counter", "Packets sent by a network card."                             },
    {"operations_total",                  "counter", "Operations that are going on."                               },
    {"procs_total",                       "gauge",   "Processes that run."                                         },
    {"uptime_seconds",                    "gauge",   "How long the server has been running, in seconds."           },
    {"warnings_total",                    "gauge",   "Warnings that nobody has acknowledged."                      },
};

const auto kBegan = std::chrono::steady_clock::now(); ///< As the program starts.

using Labels = std::vector<std::pair<std::string_view, std::string>>;

/// In a label's value a quote, a backslash and a newline are written with a backslash.
std::string escaped(const std::string &value)
{
    std::string text;
    for (const char c : value)
        text += c == '"' ? "\\\"" : c == '\\' ? "\\\\" : c == '\n' ? "\\n" : std::string(1, c);
    return text;
}

class Samples
{
public:
    void add(std::string_view series, const Labels &labels, double value)
    {
        std::string text;
        for (const auto &[name, of] : labels)
            text.append(text.empty() ? "{" : ",").append(name).append("=\"").append(escaped(of)).append("\"");
        char number[64];
        std::snprintf(number, sizeof number, "%.17g", value);
        m_lines[series].push_back((text.empty() ? std::string() : text + "}") + " " + number);
    }
    /// All series in the order of kSeries, each under every one of `families`.
    std::string text(const std::vector<std::string_view> &families) const
    {
        std::string all;
        for (const std::string_view family : families)
            for (const Series &series : kSeries) {
                const auto lines = m_lines.find(series.name);
                if (lines == m_lines.end())
                    continue;
                const std::string name = std::string(family) + "_" + std::string(series.name);
                all.append("# HELP " + name + " ").append(series.help).append("\n# TYPE " + name + " ").append(series.type).append("\n");
                for (const std::string &line : lines->second)
                    all.append(name).append(line).append("\n");
            }
        return all + "# EOF\n";
    }

private:
    std::map<std::string_view, std::vector<std::string>> m_lines;
};

double hostMemory()
{
    const auto text = files::read("/proc/meminfo", 65536);
    for (const std::string &line : split(text ? *text : std::string(), '\n'))
        if (line.starts_with("MemTotal:"))
            if (const auto kilobytes = parseUnsigned(trimmed(line.substr(9, line.find("kB") - 9)), 0, UINT64_MAX / 1024))
                return static_cast<double>(*kilobytes * 1024);
    return 0;
}

template <class Number> double numberOr(const std::optional<Number> &value) { return value ? static_cast<double>(*value) : 0; }
double bytesOr(const std::optional<Bytes> &value, double otherwise = 0) { return value ? static_cast<double>(value->count) : otherwise; }

void addCpu(Samples &samples, const Labels &labels, const cgroup::Usage &usage)
{
    const double all = numberOr(usage.cpuNanoseconds) / 1e9, user = std::min(numberOr(usage.cpuUserNanoseconds) / 1e9, all);
    for (const auto &[mode, seconds] : {std::pair{"user", user}, std::pair{"system", all - user}}) {
        Labels with = labels;
        with.insert(with.begin(), {{"cpu", "0"}, {"mode", mode}});
        samples.add("cpu_seconds_total", with, seconds);
    }
}

void addMemory(Samples &samples, const Labels &labels, const cgroup::Usage &usage, double host)
{
    const double total = std::min(bytesOr(usage.memoryLimit, host), host), left = std::max(0.0, total - bytesOr(usage.memory));
    samples.add("memory_MemTotal_bytes", labels, total);
    samples.add("memory_MemFree_bytes", labels, left);
    samples.add("memory_MemAvailable_bytes", labels, left);
    samples.add("memory_Swap_bytes", labels, bytesOr(usage.swap));
    samples.add("memory_OOM_kills_total", labels, numberOr(usage.oomKills));
}

void addDisk(Samples &samples, const Labels &labels, const instances::LiveState &state, const std::optional<storage::Space> &pool)
{
    const double used = bytesOr(state.rootUsage), size = bytesOr(state.rootLimit, pool ? static_cast<double>(pool->total.count) : 0);
    const double left = state.rootLimit ? std::max(0.0, size - used) : pool ? static_cast<double>(pool->available.count) : 0;
    Labels with = labels;
    with.insert(with.begin(), {{"device", state.root}, {"mountpoint", "/"}});
    samples.add("filesystem_size_bytes", with, size);
    samples.add("filesystem_free_bytes", with, left);
    samples.add("filesystem_avail_bytes", with, left);
}

void addTraffic(Samples &samples, const Labels &labels, const std::vector<cgroup::IoUsage> &disks)
{
    for (const cgroup::IoUsage &disk : disks) {
        Labels with = labels;
        with.insert(with.begin(), {"device", cgroup::diskName(disk.major, disk.minor)});
        for (const auto &[series, value] : {std::pair{"disk_read_bytes_total", disk.readBytes}, std::pair{"disk_written_bytes_total", disk.writtenBytes},
                                            std::pair{"disk_reads_completed_total", disk.reads}, std::pair{"disk_writes_completed_total", disk.writes}})
            samples.add(series, with, static_cast<double>(value));
    }
}

constexpr std::pair<std::string_view, std::uint64_t netlink::Counters::*> kCounters[] = {
    {"network_receive_bytes_total", &netlink::Counters::rxBytes},     {"network_receive_packets_total", &netlink::Counters::rxPackets},
    {"network_receive_errs_total", &netlink::Counters::rxErrors},     {"network_receive_drop_total", &netlink::Counters::rxDropped},
    {"network_transmit_bytes_total", &netlink::Counters::txBytes},    {"network_transmit_packets_total", &netlink::Counters::txPackets},
    {"network_transmit_errs_total", &netlink::Counters::txErrors},    {"network_transmit_drop_total", &netlink::Counters::txDropped},
};

void addNetwork(Samples &samples, const Labels &labels, const std::vector<network::Interface> &interfaces)
{
    for (const network::Interface &interface : interfaces) {
        Labels with = labels;
        with.insert(with.begin(), {"device", interface.name});
        for (const auto &[series, counter] : kCounters)
            samples.add(series, with, static_cast<double>(interface.counters.*counter));
    }
}

Status addInstances(Context &context, Samples &samples, const std::string &project)
{
    const double host = hostMemory();
    std::map<std::string, double> running;
    for (const instances::Described &described : TRY(context.manager.describeAll(project))) {
        running[described.row.project] += described.guest ? 1 : 0;
        if (!described.guest)
            continue;
        const instances::LiveState state = TRY(context.manager.state(described));
        const Labels labels{{"name", described.row.name}, {"project", described.row.project}, {"type", "container"}};
        addCpu(samples, labels, state.usage);
        addMemory(samples, labels, state.usage, host);
        std::optional<storage::Space> space;
        if (const auto pool = context.pools.get(described.row.pool))
            if (const auto known = (*pool)->space())
                space = *known;
        addDisk(samples, labels, state, space);
        if (const auto traffic = context.manager.diskTraffic({described.row.project, described.row.name}))
            addTraffic(samples, labels, *traffic);
        addNetwork(samples, labels, state.interfaces);
        samples.add("procs_total", labels, numberOr(state.usage.processes));
    }
    for (const auto &[name, count] : running)
        samples.add("instances", {{"project", name}, {"type", "container"}}, count);
    return {};
}

/// Clients look for names that begin with their own; whoever is neither gets both.
std::vector<std::string_view> familiesFor(std::string_view agent)
{
    const std::string text = lower(std::string(agent));
    if (text.starts_with("incus"))
        return {"incus"};
    if (text.starts_with("lxd"))
        return {"lxd"};
    return {"incus", "lxd"};
}

Status metrics(Context &context, Request &request, const Responder &responder)
{
    const std::string *project = request.query.find("project");
    Samples samples;
    TRY(addInstances(context, samples, project ? *project : std::string()));
    if (!project) {
        samples.add("operations_total", {}, static_cast<double>(context.operations.active()));
        samples.add("warnings_total", {}, static_cast<double>(TRY(store::countWarnings(context.db, store::WarningStatus::New))));
        samples.add("uptime_seconds", {}, std::chrono::duration<double>(std::chrono::steady_clock::now() - kBegan).count());
    }
    std::vector<BodyPart> parts;
    parts.emplace_back(samples.text(familiesFor(request.header("User-Agent"))));
    responder.raw(200, {{"Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8"}}, std::move(parts));
    return {};
}

constexpr HandlerRow kRows[] = {
    {api::RouteId::Metrics, &metrics},
};

} // namespace

std::span<const HandlerRow> metricsHandlers() { return kRows; }

} // namespace lxmgr::daemon
