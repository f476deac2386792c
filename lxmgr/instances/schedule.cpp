// Snapshots by the clock: what snapshots.schedule asks for is made, what is too many or has expired is deleted.
#include "instances/manager.h"

#include "base/log.h"
#include "base/text.h"
#include "instances/warnings.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

/// Failures here have nobody to be told to; the next time it is tried again.
void logged(const Status &done, const InstanceKey &key, const std::string &what)
{
    if (!done && done.error().code != Code::NotFound) // deleted meanwhile
        log::error("instance '" + key.name + "': " + what + ": " + done.error().message + ", ignoring");
}

std::uint64_t spreadKey(const store::Instance &row) { return static_cast<std::uint64_t>(row.id); }

} // namespace

/// Those that may have schedules; mostly there are none.
std::vector<Described> Manager::scheduled()
{
    if (!store::anySnapshotSchedule(m_s.db).value_or(true))
        return {};
    auto all = describeAll("");
    if (!all)
        log::error("snapshot schedules: " + all.error().message + ", ignoring");
    return std::move(all).value_or(std::vector<Described>{});
}

std::optional<std::time_t> Manager::nextScheduled(std::time_t now)
{
    std::optional<std::time_t> next;
    const auto earlier = [&](std::time_t at) { next = std::min(next.value_or(at), at); };
    if (const auto expiry = store::nextSnapshotExpiry(m_s.db); expiry && *expiry > 0)
        earlier(static_cast<std::time_t>(*expiry / 1000) + 1);
    if (const auto tidy = m_s.undo.next(now))
        earlier(*tidy);
    if (const auto expiry = m_s.exports.next())
        earlier(*expiry);
    if (const auto volumes = m_s.volumes.nextScheduled(now))
        earlier(*volumes);
    for (const Described &described : scheduled())
        for (const config::Schedule &schedule : schedulesOf(described.expanded.config).schedules)
            if (const auto at = schedule.next(now, spreadKey(described.row)))
                earlier(*at);
    return next;
}

void Manager::runScheduled(std::time_t since, std::time_t now)
{
    // First what makes room.
    m_s.undo.tidy(now);
    m_s.exports.removeExpired(now);
    for (const store::Snapshot &snapshot : store::listExpiredSnapshots(m_s.db, std::int64_t{now} * 1000).value_or(std::vector<store::Snapshot>{}))
        if (const auto row = store::findInstance(m_s.db, snapshot.instanceId)) {
            const InstanceKey key{row->project, row->name};
            logged(deleteSnapshot(key, snapshot.name, Keep::No), key, "deleting expired snapshot '" + snapshot.name + "'");
        }
    m_s.volumes.runScheduled(since, now);
    for (const Described &described : scheduled())
        for (const config::Schedule &schedule : schedulesOf(described.expanded.config).schedules) {
            const auto at = schedule.next(since, spreadKey(described.row));
            if (at && *at <= now)
                followSchedule(described, schedule);
        }
}

void Manager::followSchedule(const Described &described, const config::Schedule &schedule)
{
    if (const Status done = runSchedule(described, schedule); !done && done.error().code != Code::NotFound) // deleted meanwhile
        warn(m_s.db, WarningType::ScheduledSnapshotFailure, about(described.row),
             "instance " + quoted(described.row.name) + ": snapshot of schedule " + quoted(schedule.name) + ": " + done.error().message);
}

Status Manager::runSchedule(const Described &described, const config::Schedule &schedule)
{
    const InstanceKey key{described.row.project, described.row.name};
    const config::Effective now = TRY(config::parseEffective(described.expanded));
    if (described.row.status != store::InstanceStatus::Ready)
        return {};
    if (!described.guest && schedule.when == config::Schedule::When::Cron && !now.config.snapshotsScheduleStopped.value_or(false))
        return {};
    SnapshotRequest request;
    request.schedule = schedule.name;
    request.expiry = schedule.expiry;
    TRY(createSnapshot(key, request));
    resolve(m_s.db, WarningType::ScheduledSnapshotFailure, about(described.row));
    return schedule.keep ? dropBeyond(key, schedule.name, *schedule.keep) : Status();
}

/// Of the snapshots that `schedule` made the newest `keep` stay.
Status Manager::dropBeyond(const InstanceKey &key, const std::string &schedule, std::uint32_t keep)
{
    for (const std::string &name : namesBeyond(TRY(snapshots(key)), schedule, keep))
        TRY(deleteSnapshot(key, name, Keep::No));
    return {};
}

/// Before the guest runs, where a snapshot costs next to nothing. A start does not fail for it.
void Manager::snapshotAtStartup(const InstanceKey &key)
{
    if (!store::anySnapshotSchedule(m_s.db).value_or(true) || m_running->find(key))
        return;
    const auto described = describe(key);
    if (!described)
        return; // start itself says why
    for (const config::Schedule &schedule : schedulesOf(described->expanded.config).schedules)
        if (schedule.when == config::Schedule::When::Startup)
            followSchedule(*described, schedule);
}

} // namespace lxmgr::instances
