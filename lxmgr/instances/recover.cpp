// Start and end of the daemon: adopt what runs, finish or undo what was half done, remove what is left over; autostart; shutdown.
#include "instances/manager.h"

#include "base/log.h"
#include "base/text.h"
#include "instances/journal.h"
#include "instances/names.h"
#include "instances/volume_journal.h"
#include "instances/warnings.h"
#include "kernel/path.h"

#include <algorithm>
#include <set>
#include <thread>
#include <unistd.h>

namespace lxmgr::instances
{

namespace
{

constexpr unsigned kDefaultShutdownSeconds = 30;

/// The instance it was about, where that is still there.
store::WarningSubject subjectOf(store::Database &db, const store::Operation &journal)
{
    const auto row = store::findInstance(db, journal.project, journal.object);
    return row ? about(*row) : kAboutServer;
}

} // namespace

/// A guest whose monitor answers is ours again; of one that ended meanwhile the traces are removed.
Status Manager::adopt(const store::Instance &row)
{
    const InstanceKey key{row.project, row.name};
    const std::string runDir = m_s.paths.instanceRunDir(key.project, key.name);
    if (::access(runDir.c_str(), F_OK) < 0)
        return {}; // not started since the host booted: autostart's business
    const Status followed = m_running->follow(key, spec::monitorSocket(runDir));
    if (followed) {
        const auto now = effective(row);
        // A change that was recorded may not have come into force.
        const Status limited = now ? limitAgain(row, *now) : Status(now.error());
        if (!limited)
            log::error("instance '" + key.name + "': limits: " + limited.error().message + ", ignoring");
        if (now)
            placed(key, now->config);
        if (const Status adopted = adoptNics(key, now); !adopted)
            log::error("instance '" + key.name + "': its network cards: " + adopted.error().message + ", ignoring");
        if (const Status ruled = adoptNat(key, now); !ruled)
            log::error("instance '" + key.name + "': rules of its proxies: " + ruled.error().message + ", ignoring");
        beginCloudInit(key);
        m_s.serveGuest(key);
        if (now)
            awaitDevices(key, now->devices);
        return {};
    }
    const auto exit = spec::readExitRecord(runDir);
    if (exit)
        log::info("instance '" + key.name + "' ended while no daemon ran");
    else
        log::error("instance '" + key.name + "': its monitor was lost while no daemon ran; cleaning up");
    m_s.networks.adoptFilters(key.project + "/" + key.name); // for cleanUp() to remove
    cleanUp(key);
    if (comesBack(row)) {
        m_endedUnasked.insert(key);
        return {};
    }
    TRY(store::setInstanceConfig(m_s.db, row.id, {{kPowerKey, "STOPPED"}}));
    if (row.ephemeral)
        TRY(finishDelete(row));
    return {};
}

/// What it runs with, which may be older than what is recorded.
Status Manager::adoptNat(const InstanceKey &key, const Result<config::Effective> &now)
{
    const spec::LaunchSpec running = TRY(spec::readLaunchSpec(m_s.paths.instanceRunDir(key.project, key.name)));
    return putNat(key, running.proxies, now ? TRY(planNics(*now)) : std::vector<NicPlan>());
}

Status Manager::recoverOperation(const store::Operation &journal)
{
    if (journal.type == kRenameOperation)
        return recoverRename(journal);
    if (journal.type == kSnapshotRenameOperation)
        return recoverSnapshotRename(journal);
    if (journal.type == kRestoreOperation)
        return recoverRestore(journal);
    if (journal.type == kRestoreFilesOperation)
        return recoverRestoreFiles(journal);
    if (journal.type == kRebuildOperation)
        return recoverRebuild(journal);
    if (journal.type == kRefreshOperation)
        return recoverRefresh(journal);
    if (journal.type == kReceiveOperation)
        return recoverReceive(journal);
    if (journal.type == kMoveOperation)
        return recoverMove(journal);
    if (journal.type == kProjectMoveOperation)
        return recoverProjectMove(journal);
    if (journal.type == kBackupFileOperation && find({journal.project, journal.object})) {
        TRY(writeBackup({journal.project, journal.object}));
        return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Success);
    }
    if (journal.type == kResizeOperation)
        return recoverResize(journal);
    return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

Status Manager::recover()
{
    TRY(store::resolveWarnings(m_s.db, std::string(api::warningInfo(WarningType::InterruptedOperation).name))); // what is still so is found below
    std::vector<store::Operation> pauses; // of guests, which are found again further down
    for (const store::Operation &journal : TRY(store::listUnfinished(m_s.db)))
        if (isOfVolumes(journal))
            continue; // Volumes will try again at the next start
        else if (journal.type == kPauseOperation)
            pauses.push_back(journal);
        else if (Status done = recoverOperation(journal); !done)
            warn(m_s.db, WarningType::InterruptedOperation, subjectOf(m_s.db, journal),
                 journal.type + " of " + quoted(journal.object) + " was cut off: " + done.error().message);
    TRY(recoverUndo());
    for (const store::Instance &row : TRY(store::listInstances(m_s.db, ""))) {
        const InstanceKey key{row.project, row.name};
        Status done;
        if (row.status == store::InstanceStatus::Creating) {
            log::info("instance '" + key.name + "': its creation was cut off; taking it back");
            done = undoCreate(row);
        } else if (row.status == store::InstanceStatus::Deleting) {
            log::info("instance '" + key.name + "': its deletion was cut off; completing it");
            const auto undo = m_s.undo.unfinished(store::UndoKind::Delete, uuidOf(row));
            done = undo ? finishDelete(row, *undo) : Status(undo.error());
        } else {
            done = adopt(row);
            if (done)
                done = recoverSnapshots(row);
        }
        // One broken instance must not keep the others from being served.
        if (!done)
            warn(m_s.db, WarningType::InterruptedOperation, about(row), "instance " + quoted(key.name) + ": " + done.error().message);
    }
    for (const store::Operation &journal : pauses)
        TRY(recoverPause(journal));
    TRY(m_s.undo.recover());
    collectLeftovers();
    return {};
}

/// Guests whose monitors answer although no row knows them: the database was lost, not they.
std::set<std::string> Manager::strangers() const
{
    std::set<std::string> found;
    const auto folder = path::openFolder(m_s.paths.runDir + "/instances");
    const auto names = folder ? path::list(*folder) : Result<std::vector<std::string>>(folder.error());
    for (const std::string &name : names ? *names : std::vector<std::string>{}) {
        const InstanceKey key = keyOfVolume(name);
        if (m_running->find(key) || find(key) ||
            !spec::MonitorClient::connect(spec::monitorSocket(m_s.paths.instanceRunDir(key.project, key.name))))
            continue;
        log::warning("instance '" + name + "' runs but is not in the database; it is left alone ('lxmgr recover' brings it back)");
        found.insert(name);
    }
    return found;
}

void Manager::collectLeftovers()
{
    (void)m_s.pools.all(); // opening a pool drops what a crash left in it; what fails is logged there
    std::set<std::string> wanted;
    for (const auto &[key, guest] : m_running->all())
        wanted.insert(storage::volumeName(key.project, key.name));
    for (const std::string &name : strangers()) {
        if (const auto spec = spec::readLaunchSpec(m_s.paths.runDir + "/instances/" + name))
            m_s.networks.adoptVlans(name, vlansOf(spec->nics));
        wanted.insert(name);
    }
    m_s.networks.sweepVlans();
    if (const Status swept = m_s.networks.sweepProxies(wanted); !swept)
        log::error("rules of proxies: " + swept.error().message + ", ignoring");
    for (const std::string &name : cgroup::children(*m_layout, m_s.paths.cgroupBase)) {
        if (wanted.contains(name))
            continue;
        const std::string group = m_s.paths.cgroupBase + "/" + name;
        log::warning("cgroup '" + group + "' belongs to nobody; removing it");
        Status gone = cgroup::kill(*m_layout, group);
        if (gone)
            gone = cgroup::remove(*m_layout, group);
        if (!gone)
            log::error("cgroup '" + group + "': " + gone.error().message + ", ignoring");
    }
    const auto folder = path::openFolder(m_s.paths.runDir + "/instances");
    if (!folder)
        return;
    const auto names = path::list(*folder);
    if (!names)
        return;
    for (const std::string &name : *names)
        if (!wanted.contains(name))
            if (Status gone = path::removeTree(*folder, name); !gone)
                log::error("runtime folder '" + name + "': " + gone.error().message + ", ignoring");
}

void Manager::autostart()
{
    struct Due {
        InstanceKey key;
        store::WarningSubject subject;
        int priority = 0;
        unsigned delay = 0;
    };
    std::vector<Due> due;
    const auto rows = store::listInstances(m_s.db, "");
    if (!rows) {
        log::error("autostart: " + rows.error().message);
        return;
    }
    for (const store::Instance &row : *rows) {
        const InstanceKey key{row.project, row.name};
        if (row.status != store::InstanceStatus::Ready || m_running->find(key))
            continue;
        const auto now = effective(row);
        if (!now) {
            warn(m_s.db, WarningType::AutostartFailure, about(row), "autostart of " + quoted(key.name) + ": " + now.error().message);
            continue;
        }
        if (m_endedUnasked.contains(key) || now->config.autostart.value_or(valueOf(row.config, kPowerKey) == "RUNNING"))
            due.push_back({key, about(row), now->config.autostartPriority.value_or(0), now->config.autostartDelay.value_or(config::Seconds{}).count});
    }
    std::ranges::stable_sort(due, std::greater{}, &Due::priority);
    for (const Due &one : due) {
        if (Status started = start(one.key); !started)
            warn(m_s.db, WarningType::AutostartFailure, one.subject, "autostart of " + quoted(one.key.name) + ": " + started.error().message);
        if (one.delay > 0)
            std::this_thread::sleep_for(std::chrono::seconds(one.delay)); // boot.autostart.delay asks for just this
    }
}

void Manager::shutdown()
{
    m_hostGoesDown = true;
    struct Due {
        int priority = 0;
        InstanceKey key;
        config::ShutdownAction action = config::ShutdownAction::Stop;
        unsigned seconds = kDefaultShutdownSeconds;
    };
    std::vector<Due> due;
    for (const auto &[key, guest] : m_running->all()) {
        Due one{.key = key};
        const auto row = find(key);
        if (const auto now = row ? effective(*row) : Result<config::Effective>(row.error())) {
            one.priority = now->config.stopPriority.value_or(0);
            one.action = now->config.hostShutdownAction.value_or(one.action);
            if (now->config.hostShutdownTimeout)
                one.seconds = now->config.hostShutdownTimeout->count;
        }
        due.push_back(one);
    }
    std::ranges::stable_sort(due, std::greater{}, &Due::priority);
    for (auto first = due.begin(); first != due.end();) {
        const auto last = std::ranges::find_if(first, due.end(), [&](const Due &one) { return one.priority != first->priority; });
        std::vector<std::thread> stopping;
        for (; first != last; ++first)
            stopping.emplace_back([this, one = *first] { stopForShutdown(one.key, one.action, std::chrono::seconds(one.seconds)); });
        for (std::thread &thread : stopping)
            thread.join();
    }
}

void Manager::stopForShutdown(const InstanceKey &key, config::ShutdownAction action, std::chrono::seconds timeout)
{
    StopRequest request;
    request.timeout = timeout;
    request.force = action == config::ShutdownAction::ForceStop;
    Status stopped = stop(key, request, Progress::none());
    if (!stopped && stopped.error().code != Code::WrongState) {
        request.force = true;
        stopped = stop(key, request, Progress::none());
    }
    if (!stopped && stopped.error().code != Code::WrongState)
        log::error("shutdown of '" + key.name + "': " + stopped.error().message);
}

} // namespace lxmgr::instances
