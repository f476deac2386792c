// Stopping, freezing, and what follows when a guest ends, by whoever's doing.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "cards/cards.h"
#include "instances/journal.h"
#include "instances/names.h"
#include "instances/warnings.h"
#include "kernel/path.h"
#include "spec/monitor_client.h"

#include <fcntl.h>

namespace lxmgr::instances
{

namespace
{

std::optional<std::chrono::steady_clock::time_point> deadlineOf(const StopRequest &request)
{
    if (!request.timeout)
        return std::nullopt;
    return std::chrono::steady_clock::now() + *request.timeout;
}

} // namespace

/// boot.autorestart: an end that nobody asked for through us is followed by a start. The power state says who asked.
bool Manager::comesBack(const store::Instance &row)
{
    const auto now = effective(row);
    return now && now->config.autorestart.value_or(false) && !row.ephemeral && valueOf(row.config, kPowerKey) == "RUNNING";
}

/// A stop that is asked for is recorded before it is begun, so that a daemon that dies meanwhile knows of it.
Status Manager::recordStop(const store::Instance &row)
{
    return m_hostGoesDown || !comesBack(row) ? Status() : store::setInstanceConfig(m_s.db, row.id, {{kPowerKey, "STOPPED"}});
}

/// False where it stays as it is: it ends again and again, or cannot be started.
bool Manager::startAgain(const store::Instance &row)
{
    const InstanceKey key{row.project, row.name};
    constexpr std::size_t kMost = 10;
    const auto now = std::chrono::steady_clock::now();
    {
        const std::lock_guard guard(m_restartsMutex);
        std::vector<std::chrono::steady_clock::time_point> &restarts = m_restarts[key];
        std::erase_if(restarts, [&](const auto &at) { return now - at > std::chrono::minutes(1); });
        if (restarts.size() >= kMost) {
            warn(m_s.db, WarningType::RestartFailure, about(row),
                 "instance " + quoted(row.name) + " ended " + std::to_string(kMost + 1) + " times within a minute: it is not started again");
            m_restarts.erase(key);
            return false;
        }
        restarts.push_back(now);
    }
    log::warning("instance '" + row.name + "' ended unasked: it is started again (boot.autorestart)");
    const Status started = startLocked(key);
    if (!started)
        warn(m_s.db, WarningType::RestartFailure, about(row), "instance " + quoted(row.name) + ": " + started.error().message);
    return started.has_value();
}

void Manager::recordStopped(const store::Instance &row)
{
    const store::FreeingSpace freeing(m_s.db);
    if (Status done = store::setInstanceConfig(m_s.db, row.id, {{kPowerKey, "STOPPED"}}); !done)
        log::error("instance '" + row.name + "': " + done.error().message);
}

void Manager::cleanUp(const InstanceKey &key)
{
    if (Status removed = m_s.networks.putProxies(storage::volumeName(key.project, key.name), {}, {}); !removed)
        log::error("instance '" + key.name + "': rules of its proxies stay: " + removed.error().message + ", ignoring");
    const std::string group = cgroupOf(m_s.paths, key.project, key.name);
    if (cgroup::exists(*m_layout, group)) {
        if (Status killed = cgroup::kill(*m_layout, group); !killed)
            log::warning("instance '" + key.name + "': " + killed.error().message + ", ignoring");
        if (Status removed = cgroup::remove(*m_layout, group); !removed)
            log::error("instance '" + key.name + "': cgroup stays: " + removed.error().message);
    }
    const std::string runDir = m_s.paths.instanceRunDir(key.project, key.name);
    // A monitor that was killed could not do it. Its spec is gone where it could.
    if (const auto spec = spec::readLaunchSpec(runDir))
        if (const Status back = cards::withdraw(runDir, spec->nics); !back)
            log::error("instance '" + key.name + "': its network cards: " + back.error().message);
    if (const Status open = m_s.networks.setFilters(key.project + "/" + key.name, {}); !open)
        log::warning("instance '" + key.name + "': " + open.error().message + ", ignoring");
    if (const Status left = m_s.networks.setVlans(key.project + "/" + key.name, {}); !left)
        log::warning("instance '" + key.name + "': " + left.error().message + ", ignoring");
    const auto folder = path::openFolder(m_s.paths.runDir + "/instances");
    if (!folder)
        return; // nothing was ever started
    if (Status removed = path::removeTree(*folder, storage::volumeName(key.project, key.name)); !removed)
        log::error("instance '" + key.name + "': runtime folder stays: " + removed.error().message);
}

void Manager::onEnd(const GuestEnd &end)
{
    m_s.later([this, end] { afterEnd(end); });
}

void Manager::onNews(const InstanceKey &key, const spec::MonitorEvent &event)
{
    using Kind = spec::MonitorEvent::Kind;
    if (event.kind == Kind::Booted)
        m_s.emit({"instance-ready", key, {}});
    else if (event.kind == Kind::Started) {
        m_s.emit({"instance-restarted", key, {}});
        devicesChanged(); // while it rebooted it could be given none
    }
}

void Manager::afterEnd(const GuestEnd &end)
{
    const auto lock = lockFor(end.key);
    const std::lock_guard guard(*lock);
    if (end.monitorLost)
        log::error("instance '" + end.key.name + "': its monitor was lost, so the guest was killed; cleaning up");
    cleanUp(end.key);
    m_s.serveGuest(end.key);
    const auto row = find(end.key);
    const bool again = row && !m_hostGoesDown && comesBack(*row);
    if (row && !m_hostGoesDown && !again)
        recordStopped(*row);
    unplaced(end.key);
    awaitDevices(end.key, {});
    m_running->forget(end.key);
    StringMap context;
    if (end.monitorLost)
        context["reason"] = "monitor-lost";
    const bool killed = end.monitorLost || end.last.reason == spec::MonitorEvent::Reason::Killed;
    m_s.emit({killed ? "instance-stopped" : "instance-shutdown", end.key, context});
    if (row && row->ephemeral && !m_hostGoesDown) {
        if (Status gone = finishDelete(*row); !gone)
            log::error("instance '" + end.key.name + "': ephemeral, but it stays: " + gone.error().message);
    }
    if (again && !startAgain(*row))
        recordStopped(*row); // also the next daemon leaves it
}

Status Manager::stop(const InstanceKey &key, const StopRequest &request, const Progress &progress)
{
    {
        const auto lock = lockFor(key);
        const std::lock_guard guard(*lock);
        const store::Instance row = TRY(readyRow(key));
        const auto guest = m_running->find(key);
        if (!guest)
            return Error(Code::WrongState, "The instance is already stopped: " + quoted(key.name));
        spec::MonitorClient client = TRY(monitor(key));
        if (request.force || !guest->frozen)
            TRY(recordStop(row));
        if (request.force)
            TRY_IN("stop " + quoted(key.name), client.kill());
        else if (guest->frozen)
            return Error(Code::WrongState, "The instance is frozen: " + quoted(key.name) + " (resume it first, or stop it with --force)");
        else
            TRY_IN("stop " + quoted(key.name), client.stop());
        TRY(failpoint("stop.signal"));
    }
    if (m_running->waitGone(key, request.force ? std::nullopt : deadlineOf(request), [&] { return progress.cancelled(); }))
        return failpoint("stop.done");
    if (progress.cancelled())
        return Error(Code::Cancelled, "waiting for " + quoted(key.name) + " to stop was cancelled");
    return Error(Code::Timeout, "instance " + quoted(key.name) + " did not stop within " +
                                    std::to_string(request.timeout->count()) + " s (stop it with --force, or wait longer with --timeout)");
}

Status Manager::restart(const InstanceKey &key, const StopRequest &request, const Progress &progress)
{
    TRY(readyRow(key));
    if (!m_running->find(key))
        return Error(Code::WrongState, "Instance is not running: " + quoted(key.name));
    TRY(stop(key, request, progress));
    TRY(start(key));
    m_s.emit({"instance-restarted", key, {}});
    return {};
}

Status Manager::freeze(const InstanceKey &key)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const auto guest = m_running->find(key);
    if (guest && guest->frozen)
        return Error(Code::WrongState, "The instance is already frozen: " + quoted(key.name));
    spec::MonitorClient client = TRY(monitor(key));
    TRY_IN("pause " + quoted(key.name), client.freeze());
    m_running->setFrozen(key, true);
    m_s.emit({"instance-paused", key, {}});
    return {};
}

Status Manager::thaw(const InstanceKey &key)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const auto guest = m_running->find(key);
    if (guest && !guest->frozen)
        return Error(Code::WrongState, "The instance is not frozen: " + quoted(key.name));
    spec::MonitorClient client = TRY(monitor(key));
    TRY_IN("resume " + quoted(key.name), client.thaw());
    m_running->setFrozen(key, false);
    m_s.emit({"instance-resumed", key, {}});
    return {};
}

/// All files that `work` looks at are of one moment then. The journal says that the guest stands still: recovery lets it
/// go on where `work` was cut off. One that was paused before stays so.
Status Manager::whilePaused(const InstanceKey &key, const std::function<Status(storage::InUse)> &work)
{
    const auto guest = m_running->find(key);
    if (!guest)
        return work(storage::InUse::No);
    if (guest->frozen)
        return work(storage::InUse::Yes);
    const store::Operation journal = newJournal(kPauseOperation, key.project, key.name);
    TRY(store::beginOperation(m_s.db, journal));
    const auto paused = [&]() -> Status {
        TRY(failpoint("pause.record"));
        spec::MonitorClient client = TRY(monitor(key));
        TRY_IN("pause " + quoted(key.name), client.freeze());
        Status done = failpoint("pause.paused");
        if (done)
            done = work(storage::InUse::Yes);
        resume(key);
        return done;
    };
    const Status done = paused();
    // Left open it does no harm: the guest runs, and recovery looks whether it does.
    if (Status ended = store::finishOperation(m_s.db, journal.id, done ? store::OperationStatus::Success : store::OperationStatus::Failure); !ended)
        log::warning("instance '" + key.name + "': journal of a pause: " + ended.error().message + ", ignoring");
    return done;
}

/// Nobody but we have paused it.
void Manager::resume(const InstanceKey &key)
{
    auto client = monitor(key);
    if (Status thawed = client ? client->thaw() : Status(client.error()); !thawed && m_running->find(key))
        log::error("instance '" + key.name + "' stays paused: " + thawed.error().message);
}

/// After the guests were found again.
Status Manager::recoverPause(const store::Operation &journal)
{
    const InstanceKey key{journal.project, journal.object};
    if (const auto guest = m_running->find(key); guest && guest->frozen) {
        log::info("instance '" + key.name + "' was paused for work that was cut off; it goes on");
        resume(key);
        m_running->setFrozen(key, false);
    }
    return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

} // namespace lxmgr::instances
