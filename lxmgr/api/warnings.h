// Warnings: which kinds there are, and how the wire has them.
#pragma once

#include "api/fields.h"
#include "api/time.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace lxmgr::api
{

enum class WarningType {
    AutostartFailure,
    RestartFailure,
    ScheduledSnapshotFailure,
    ImageUpdateFailure,
    InterruptedOperation,
    PoolUnavailable,
    NetworkUnavailable,
    NetworkRules,
    HttpsUnavailable,
    AuditIncomplete,
    ClockLeap,
    DatabaseCopy,
    CgroupBlkio,
    CgroupCpu,
    CgroupCpuset,
    CgroupFreezer,
    CgroupHugetlb,
    CgroupMemory,
    CgroupPids,
};

struct WarningInfo {
    WarningType type;
    std::string_view name;     ///< On the wire, in LXD's words where it has any.
    std::string_view severity; ///< low, moderate, high
    std::string_view meaning;  ///< For the manual.
};
// clang-format off
inline constexpr WarningInfo kWarningTypes[] = {
    {WarningType::AutostartFailure,         "Failed to autostart instance",                   "moderate", "An instance that was to run could not be started when the server began. Resolved by its next start."},
    {WarningType::RestartFailure,           "Failed to restart instance",                     "high",     "boot.autorestart has given an instance up, or could not start it. Resolved by its next start."},
    {WarningType::ScheduledSnapshotFailure, "Failed to make scheduled snapshot",              "high",     "snapshots.schedule was due, and there is no snapshot. Resolved by the next one that is made."},
    {WarningType::ImageUpdateFailure,       "Failed to update image",                         "low",      "An image could not be looked for where it came from. Resolved when it was."},
    {WarningType::InterruptedOperation,     "Failed to take back an interrupted operation",   "high",     "An operation was cut off, and neither its end nor its beginning could be reached. It is tried again when the server starts."},
    {WarningType::PoolUnavailable,          "Storage pool unavailable",                       "high",     "A storage pool cannot be opened: a disk that is missing, or a folder that is another pool's."},
    {WarningType::NetworkUnavailable,       "Network unavailable",                            "high",     "A network could not be brought up. Resolved when it was."},
    {WarningType::NetworkRules,             "Network rules not in force",                     "high",     "Firewall rules of a network were taken away by somebody else and could not be put back."},
    {WarningType::HttpsUnavailable,         "Unable to listen on core.https_address",         "high",     "No client of the network is answered."},
    {WarningType::AuditIncomplete,          "Audit log incomplete",                           "high",     "Lines of the audit log could not be written; they are in the server's log."},
    {WarningType::ClockLeap,                "Clock leapt ahead",                              "high",     "The clock is more than a day ahead of where it was to be, as one that is wrong is. Nothing expires by it for an hour, in which it can be set right."},
    {WarningType::DatabaseCopy,             "Unable to copy the database",                    "high",     "The copy of the day could not be made, or the database is not sound. The copies of the days before stay. Resolved by the next one."},
    {WarningType::CgroupBlkio,              "Couldn't find the CGroup blkio",                 "low",      "limits.read and limits.write of disks, and limits.disk.priority, are refused."},
    {WarningType::CgroupCpu,                "Couldn't find the CGroup CPU controller",        "low",      "limits.cpu.allowance and limits.cpu.priority are refused."},
    {WarningType::CgroupCpuset,             "Couldn't find the CGroup CPUset controller",     "low",      "limits.cpu is refused."},
    {WarningType::CgroupFreezer,            "Couldn't find the CGroup freezer controller",    "low",      "Instances cannot be paused."},
    {WarningType::CgroupHugetlb,            "Couldn't find the CGroup hugetlb controller",    "low",      "limits.hugepages.* is refused."},
    {WarningType::CgroupMemory,             "Couldn't find the CGroup memory controller",     "low",      "limits.memory is refused."},
    {WarningType::CgroupPids,               "Couldn't find the CGroup pids controller",       "low",      "limits.processes is refused."},
};
// clang-format on

/// Of a type that is in the table.
constexpr const WarningInfo &warningInfo(WarningType type) { return *std::ranges::find(kWarningTypes, type, &WarningInfo::type); }
/// Of a name in the table; "low" for one that no version has any more.
constexpr std::string_view warningSeverity(std::string_view name)
{
    const auto *const info = std::ranges::find(kWarningTypes, name, &WarningInfo::name);
    return info == std::end(kWarningTypes) ? "low" : info->severity;
}

struct Warning {
    std::string uuid, location, project, type;
    std::int64_t count = 0;
    Time firstSeenAt, lastSeenAt;
    std::string lastMessage;
    std::string severity;  ///< low, moderate, high
    std::string status;    ///< new, acknowledged, resolved
    std::string entityUrl; ///< "" where it is about the server itself.
};
template <> struct Fields<Warning> {
    using T = Warning;
    static constexpr auto rows = std::tuple{
        Field{"uuid", &T::uuid},
        Field{"location", &T::location},
        Field{"project", &T::project},
        Field{"type", &T::type},
        Field{"count", &T::count},
        Field{"first_seen_at", &T::firstSeenAt},
        Field{"last_seen_at", &T::lastSeenAt},
        Field{"last_message", &T::lastMessage},
        Field{"severity", &T::severity},
        Field{"status", &T::status},
        Field{"entity_url", &T::entityUrl},
    };
};

struct WarningPut {
    std::string status;
};
template <> struct Fields<WarningPut> {
    using T = WarningPut;
    static constexpr auto rows = std::tuple{Field{"status", &T::status}};
};

} // namespace lxmgr::api
