// Schedules: what snapshots.schedule and snapshots.expiry ask for, the same for instances and custom volumes.
#pragma once

#include "config/snapshots.h"
#include "config/values.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::instances
{

struct SnapshotRequest {
    std::string name;                             ///< "": as snapshots.pattern says.
    std::optional<std::int64_t> expiresAt;        ///< Unix milliseconds, 0 never; nullopt: as the configuration says.
    std::string schedule;                         ///< Which schedule asks for it, "" for a person.
    std::optional<config::SnapshotExpiry> expiry; ///< Of that schedule, in place of snapshots.expiry.
};

/// Of the key snapshots.schedule alone: a key that is wrong elsewhere does not stop it.
inline config::ScheduleList schedulesOf(const StringMap &config)
{
    const auto found = config.find("snapshots.schedule");
    if (found == config.end() || found->second.empty())
        return {};
    return config::Codec<config::ScheduleList>::parse(found->second).value_or(config::ScheduleList{});
}

/// When a snapshot made at `now` expires by snapshots.expiry and snapshots.expiry.manual, in Unix milliseconds; 0: never.
inline std::int64_t expiryOf(const SnapshotRequest &request, const std::optional<config::SnapshotExpiry> &usual,
                             const std::optional<config::SnapshotExpiry> &manual, std::int64_t now)
{
    if (request.expiresAt)
        return *request.expiresAt;
    const auto &expiry = request.expiry ? request.expiry : request.schedule.empty() && manual ? manual : usual;
    return expiry ? std::int64_t{expiry->after(now / 1000)} * 1000 : 0;
}

/// Names of those that `schedule` made but for the newest `keep`. `snapshots`: the oldest first.
template <class Snapshot>
std::vector<std::string> namesBeyond(const std::vector<Snapshot> &snapshots, const std::string &schedule, std::uint32_t keep)
{
    std::vector<std::string> names;
    for (const Snapshot &snapshot : snapshots)
        if (snapshot.schedule == schedule)
            names.push_back(snapshot.name);
    names.resize(names.size() - std::min<std::size_t>(keep, names.size()));
    return names;
}

/// Snapshots do not change, and a copy keeps the time at which its original was made.
template <class Snapshot> bool isSame(const Snapshot &one, const Snapshot &other)
{
    return one.name == other.name && one.createdAt == other.createdAt;
}

} // namespace lxmgr::instances
