#include "instances/warnings.h"

#include "base/log.h"
#include "instances/names.h"
#include "kernel/cgroup.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

using enum WarningType;

// clang-format off
constexpr WarningInfo kTypes[] = {
    {AutostartFailure,         "Failed to autostart instance",                   "moderate", "An instance that was to run could not be started when the server began. Resolved by its next start."},
    {RestartFailure,           "Failed to restart instance",                     "high",     "boot.autorestart has given an instance up, or could not start it. Resolved by its next start."},
    {ScheduledSnapshotFailure, "Failed to make scheduled snapshot",              "high",     "snapshots.schedule was due, and there is no snapshot. Resolved by the next one that is made."},
    {ImageUpdateFailure,       "Failed to update image",                         "low",      "An image could not be looked for where it came from. Resolved when it was."},
    {InterruptedOperation,     "Failed to take back an interrupted operation",   "high",     "An operation was cut off, and neither its end nor its beginning could be reached. It is tried again when the server starts."},
    {PoolUnavailable,          "Storage pool unavailable",                       "high",     "A storage pool cannot be opened: a disk that is missing, or a folder that is another pool's."},
    {PoolShort,                "Storage pool short of space",                    "moderate", "What could be undone had to make room. Resolved once there is space again."},
    {NetworkUnavailable,       "Network unavailable",                            "high",     "A network could not be brought up. Resolved when it was."},
    {NetworkRules,             "Network rules not in force",                     "high",     "Firewall rules of a network were taken away by somebody else and could not be put back."},
    {HttpsUnavailable,         "Unable to listen on core.https_address",         "high",     "No client of the network is answered."},
    {AuditIncomplete,          "Audit log incomplete",                           "high",     "Lines of the audit log could not be written; they are in the server's log."},
    {CgroupBlkio,              "Couldn't find the CGroup blkio",                 "low",      "limits.read and limits.write of disks, and limits.disk.priority, are refused."},
    {CgroupCpu,                "Couldn't find the CGroup CPU controller",        "low",      "limits.cpu.allowance and limits.cpu.priority are refused."},
    {CgroupCpuset,             "Couldn't find the CGroup CPUset controller",     "low",      "limits.cpu is refused."},
    {CgroupFreezer,            "Couldn't find the CGroup freezer controller",    "low",      "Instances cannot be paused."},
    {CgroupHugetlb,            "Couldn't find the CGroup hugetlb controller",    "low",      "limits.hugepages.* is refused."},
    {CgroupMemory,             "Couldn't find the CGroup memory controller",     "low",      "limits.memory is refused."},
    {CgroupPids,               "Couldn't find the CGroup pids controller",       "low",      "limits.processes is refused."},
};
// clang-format on

struct Controller {
    WarningType type;
    std::string_view v1, v2; ///< "": a part of every cgroup2 tree.
};
constexpr Controller kControllers[] = {
    {CgroupBlkio,   "blkio",   "io"     },
    {CgroupCpu,     "cpu",     "cpu"    },
    {CgroupCpuset,  "cpuset",  "cpuset" },
    {CgroupFreezer, "freezer", ""       },
    {CgroupHugetlb, "hugetlb", "hugetlb"},
    {CgroupMemory,  "memory",  "memory" },
    {CgroupPids,    "pids",    "pids"   },
};

constexpr std::int64_t kKeepResolved = 24 * 60 * 60 * 1000; ///< Milliseconds.

} // namespace

std::span<const WarningInfo> warningTypes() { return kTypes; }

const WarningInfo &warningInfo(WarningType type) { return *std::ranges::find(kTypes, type, &WarningInfo::type); }

std::string_view warningSeverity(std::string_view name)
{
    const auto *const info = std::ranges::find(kTypes, name, &WarningInfo::name);
    return info == std::end(kTypes) ? "low" : info->severity;
}

void warn(store::Database &db, WarningType type, const store::WarningSubject &subject, const std::string &message)
{
    const WarningInfo &info = warningInfo(type);
    if (info.severity == "high")
        log::error(message);
    else
        log::warning(message);
    if (const Status noted = store::noteWarning(db, newUuid(), std::string(info.name), subject, message); !noted)
        log::error("warnings: " + noted.error().message + ", ignoring");
}

void resolve(store::Database &db, WarningType type, const store::WarningSubject &subject)
{
    if (const Status resolved = store::resolveWarning(db, std::string(warningInfo(type).name), subject); !resolved)
        log::error("warnings: " + resolved.error().message + ", ignoring");
}

void follow(store::Database &db, WarningType type, const store::WarningSubject &subject, const Status &done, const std::string &context)
{
    if (done)
        resolve(db, type, subject);
    else
        warn(db, type, subject, context + ": " + done.error().message);
}

void warnOfHost(store::Database &db)
{
    if (const Status dropped = store::deleteResolvedWarnings(db, store::unixMillis() - kKeepResolved); !dropped)
        log::error("warnings: " + dropped.error().message + ", ignoring");
    const auto layout = cgroup::Layout::probe();
    if (!layout)
        return; // no guest starts, and says why
    for (const Controller &one : kControllers) {
        if (layout->has(one.v1) || layout->has(one.v2))
            resolve(db, one.type, kAboutServer);
        else
            warn(db, one.type, kAboutServer, std::string(warningInfo(one.type).name) + ": " + std::string(warningInfo(one.type).meaning));
    }
}

} // namespace lxmgr::instances
