// Manager: the life of instances. Every change records the wish, does named idempotent steps with an undo each, and records
// the result; recover() finishes or takes back what a crash left half done.
#pragma once

#include "base/paths.h"
#include "base/progress.h"
#include "config/backup.h"
#include "config/expand.h"
#include "images/render.h"
#include "instances/cloud_init.h"
#include "instances/device_watch.h"
#include "instances/diff.h"
#include "instances/exchange.h"
#include "instances/found.h"
#include "instances/image_service.h"
#include "instances/kept_exports.h"
#include "instances/locks.h"
#include "instances/migration.h"
#include "instances/names.h"
#include "instances/networks.h"
#include "instances/packing.h"
#include "instances/plan.h"
#include "instances/pools.h"
#include "instances/profiles.h"
#include "instances/running.h"
#include "instances/schedules.h"
#include "instances/transfer.h"
#include "instances/undo_log.h"
#include "instances/volumes.h"
#include "kernel/cgroup.h"
#include "kernel/cgroup_io.h"
#include "network/interfaces.h"
#include "spec/files_client.h"
#include "store/instances.h"
#include "store/operations.h"
#include "store/profiles.h"
#include "store/snapshots.h"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace lxmgr::instances
{

// Types of operations in the journal that recovery completes or takes back.
inline constexpr const char *kRenameOperation = "instance-rename";
inline constexpr const char *kSnapshotRenameOperation = "snapshot-rename";
inline constexpr const char *kRestoreFilesOperation = "instance-restore-files";
inline constexpr const char *kPauseOperation = "instance-pause";
inline constexpr const char *kRebuildOperation = "instance-rebuild";
inline constexpr const char *kRefreshOperation = "instance-refresh";
inline constexpr const char *kMoveOperation = "instance-move";
inline constexpr const char *kProjectMoveOperation = "instance-project-move";
inline constexpr const char *kReceiveOperation = "instance-receive"; ///< An image of one volume alone comes to be.
inline constexpr const char *kResizeOperation = "root-resize";
inline constexpr const char *kBackupFileOperation = "instance-backup-file"; ///< backup.yaml is to be written after a change.

inline constexpr const char *kSwapStep = "swap"; ///< Of a refresh: the volume of this identity is about to be the instance's.

/// Something happened to an instance, for the event stream: "instance-started".
struct Lifecycle {
    std::string action;
    InstanceKey key;
    StringMap context;
};

struct CreateRequest {
    std::string project = store::kDefaultProject;
    std::string name;
    std::string description;
    bool ephemeral = false;
    std::optional<std::vector<std::string>> profiles; ///< nullopt: those of its image, else "default".
    StringMap config;
    DeviceMap devices;
    bool empty = false;      ///< No image: an empty root file system.
    std::string fingerprint; ///< Of a stored image, or …
    std::string alias;       ///< … a name to obtain one by.
    StringMap options;       ///< For a build from a template.
    std::optional<RemoteImage> remote; ///< In place of both: of another server.
};

struct CopyRequest {
    InstanceKey source;
    std::string snapshot; ///< Of the source, "" for the instance as it is.
    CreateRequest target; ///< Keys, devices and profiles in place of the source's; the others are taken over.
    bool withSnapshots = true;
    bool refresh = false; ///< Files and snapshots of a copy that exists are brought to those of the source.
};

/// What leaves for another daemon.
struct SendRequest {
    InstanceKey source;
    std::string snapshot; ///< Of the source, "" for the instance as it is.
    bool withSnapshots = true;
};

/// What becomes of one that comes from there. All of what it is to be is in `target`, addresses and identity too where it moves.
struct ReceiveRequest {
    CreateRequest target;
    bool withSnapshots = true;
    bool refresh = false; ///< As in CopyRequest.
};

struct PublishRequest {
    InstanceKey source;
    std::string snapshot; ///< Of the source, "" for the instance as it is.
    images::Compression compression = images::Compression::Zstd;
    StringMap properties;       ///< Over those of the image it came from; an empty value takes one away.
    std::int64_t expiresAt = 0; ///< Unix milliseconds, 0: never.
    NewImage image;             ///< What the row says beside its metadata.
};

struct MoveRequest {
    std::string pool;    ///< Another; "": it stays in its own.
    std::string name;    ///< A new one; "": it keeps its own.
    std::string project; ///< Another; "": it stays in its own.
    // With another project only:
    std::optional<std::vector<std::string>> profiles; ///< Of that one, in place of those of the same names.
    StringMap config;  ///< Over its own; an empty value takes a key away.
    DeviceMap devices; ///< The same.
};

/// What PUT and PATCH replace.
struct Definition {
    std::string description;
    bool ephemeral = false;
    std::vector<std::string> profiles;
    StringMap config;
    DeviceMap devices;
};

/// What a rebuilt instance is made from.
struct RebuildRequest {
    bool empty = false;
    std::string alias, fingerprint; ///< One of them, as in CreateRequest.
    std::optional<RemoteImage> remote;
};

struct StopRequest {
    bool force = false;
    std::optional<std::chrono::seconds> timeout; ///< nullopt: for as long as it takes.
};

/// What the kernel says of an instance; all zero while it is stopped, but for its disk.
struct LiveState {
    std::optional<Guest> guest;
    cgroup::Usage usage;
    std::vector<network::Interface> interfaces;
    std::string root;                ///< Device of the root disk.
    std::optional<Bytes> rootUsage;  ///< Where it is counted.
    std::optional<Bytes> rootLimit;
};

/// A row with what its profiles make of it.
struct Described {
    store::Instance row;
    config::Expanded expanded;
    std::optional<Guest> guest;
};

/// By the row numbers of their instances.
using SnapshotsByInstance = std::map<std::int64_t, std::vector<store::Snapshot>>;

/// Tells one folder of a volume from another that has its name later.
Result<std::string> volumeIdentity(storage::Driver &pool, const InstanceKey &key);

/// Whose folder "project_web1" or "web1" is: names of instances have no "_".
InstanceKey keyOfVolume(const std::string &volume);

class Manager
{
public:
    struct Services {
        const Paths &paths;
        store::Database &db;
        Pools &pools;
        Volumes &volumes;
        Networks &networks;
        ImageService &images;
        UndoLog &undo;
        KeptExports &exports;
        std::function<void(const Lifecycle &)> emit;
        std::function<void(std::function<void()>)> later; ///< Runs work on another thread.
        /// The folder that a guest has at /dev/lxd is there, or its keys have changed: to serve in it, or no longer.
        std::function<void(const InstanceKey &)> serveGuest;
    };
    static Result<std::unique_ptr<Manager>> create(Services services);
    /// The control group that all instances are in goes with it where none is left in it.
    ~Manager();
    Manager(const Manager &) = delete;
    Manager &operator=(const Manager &) = delete;

    // Reading.
    Result<Described> describe(const InstanceKey &key);
    Result<std::vector<Described>> describeAll(const std::string &project);
    Result<LiveState> state(const InstanceKey &key);
    /// The same for one that is described already: nothing is looked up again.
    Result<LiveState> state(const Described &described);
    /// What a running one has read and written of disks.
    Result<std::vector<cgroup::IoUsage>> diskTraffic(const InstanceKey &key);
    std::optional<Guest> guest(const InstanceKey &key) const { return m_running->find(key); }
    /// Whoever waits for a guest looks again whether that was cancelled.
    void wakeWaiters() { m_running->wakeWaiters(); }

    // Life. Each blocks until done; one at a time holds an instance.
    /// The name it got (one is made up where none was asked for).
    Result<std::string> createInstance(CreateRequest request, Progress &progress);
    /// A copy of a running guest is one of its files; it stands still while those that it changed are copied.
    Status copyInstance(const CopyRequest &request, Progress &progress);
    Status start(const InstanceKey &key);
    Status stop(const InstanceKey &key, const StopRequest &request, const Progress &progress);
    Status restart(const InstanceKey &key, const StopRequest &request, const Progress &progress);
    Status freeze(const InstanceKey &key);
    Status thaw(const InstanceKey &key);
    Status remove(const InstanceKey &key, Keep keep = Keep::Yes);
    Status rename(const InstanceKey &key, const std::string &to);
    /// WrongState: it runs, or has snapshots.
    Status rebuild(const InstanceKey &key, const RebuildRequest &request, Progress &progress);
    /// A stopped instance, with its snapshots, to another pool or project. AlreadyExists: it lies there. Forbidden: the other
    /// project does not allow it.
    Status move(const InstanceKey &key, const MoveRequest &request, Progress &progress);
    /// Lets go of a pool: its instances are forgotten, what is in it stays. WrongState: one of them runs.
    Status detachPool(const std::string &pool);
    /// Checks the whole new definition, records it, and applies to a running guest what can be changed live; gives the keys
    /// that it takes only when it is started again. `undoes`: the entry of the undo log that is used up with it.
    Result<std::vector<std::string>> redefine(const InstanceKey &key, const Definition &definition, std::int64_t undoes = 0);
    /// `record` makes profiles of `project`, by their names, become `after`. Every instance that uses one is checked first;
    /// root disks get their size before it is recorded, running ones their limits after it. All of it or nothing.
    /// WrongState: one is being worked on, or runs and would get devices that it cannot take then. Errors name the instance.
    Result<std::vector<RestartNeeded>> changeProfiles(const std::string &project, const std::vector<store::Profile> &after,
                                                      const ProfileRecord &record);
    /// What changeProfiles() would refuse and give, with nothing changed.
    Result<std::vector<RestartNeeded>> checkProfiles(const std::string &project, const std::vector<store::Profile> &after, const ProfileRecord &record);
    /// Also in the backup files of the instances with it. Forbidden: the default profile; AlreadyExists.
    Status renameProfile(const store::Profile &row, const std::string &name);
    /// False when it did not come up in time.
    Result<bool> waitBooted(const InstanceKey &key, std::chrono::milliseconds timeout);

    /// How what cloud-init.user-data asks for has ended in the guest, done by its image's cloud-init or by us. Timeout; WrongState:
    /// the guest stopped meanwhile.
    Result<CloudResult> waitCloudInit(const InstanceKey &key, std::chrono::milliseconds timeout);
    /// What the guest says of itself through its API: volatile.last_state.ready.
    Status setReady(const InstanceKey &key, bool ready);
    /// What of it is not applied, where we do it.
    std::vector<std::string> cloudWarnings(const InstanceKey &key);

    /// Those that have the custom volume, of all projects that use it.
    Result<std::vector<Described>> instancesWith(const VolumeKey &key);
    /// WrongState: one of them runs; who asks in `project` is told its name if it is of that. `cure`: "stop it before restoring".
    Status checkVolumeIdle(const VolumeKey &key, const std::string &project, const std::string &cure);

    // Snapshots. Of one instance the oldest first.
    Result<std::vector<store::Snapshot>> snapshots(const InstanceKey &key);
    Result<SnapshotsByInstance> snapshotsOfAll();
    Result<store::Snapshot> snapshot(const InstanceKey &key, const std::string &name);
    /// The name it got. A running guest stands still while its files are copied.
    Result<std::string> createSnapshot(const InstanceKey &key, const SnapshotRequest &request);
    Status renameSnapshot(const InstanceKey &key, const std::string &from, const std::string &to);
    Status deleteSnapshot(const InstanceKey &key, const std::string &name, Keep keep = Keep::Yes);
    /// Unix milliseconds, 0: never.
    Status setSnapshotExpiry(const InstanceKey &key, const std::string &name, std::int64_t at);
    /// Files and definition as they were then; a running guest is stopped for it and started again. Where a profile it
    /// used is gone, what the profiles had brought becomes the instance's own. What it held is kept for a time.
    Status restore(const InstanceKey &key, const std::string &name, const Progress &progress);
    /// Mounts the snapshot on the host, read-only, for root to look into. Where; mounted already is no error.
    Result<std::string> mountSnapshot(const InstanceKey &key, const std::string &name);
    /// NotFound: it is not mounted. WrongState: somebody is in there.
    Status unmountSnapshot(const InstanceKey &key, const std::string &name);
    /// Makes only `paths`, absolute inside, what they are in the snapshot, running or not, with the rights of the guest's
    /// own root: each a file, or a folder with all below it. NotFound, before anything is touched: the snapshot has not all
    /// of them.
    Status restoreFiles(const InstanceKey &key, const std::string &name, const std::vector<std::string> &paths,
                        Progress &progress);

    // Undoing; see UndoLog for what there is.
    Result<UndoPreview> previewUndo(const store::UndoEntry &entry);
    /// `name`: what a deleted instance or snapshot is called from now on, "" for as before. AlreadyExists, NotFound,
    /// WrongState: what keeps it from being done, with the cure; it can then be tried again.
    Status applyUndo(const std::string &project, std::int64_t id, const std::string &name, const Progress &progress);

    // Archives in the layout of LXD and Incus.
    /// Writes one to `to`, a file or a pipe. A running guest stands still only until its files are held.
    /// `begun` runs when nothing but the packing can fail any more.
    Result<images::Exported> exportInstance(const InstanceKey &key, const ExportRequest &request, const Fd &to, Progress &progress,
                                            const std::function<void()> &begun = {});
    /// Records that the server is to keep one, under the name it then has; keepExport() makes it, or takes that back.
    Result<store::Export> reserveExport(const InstanceKey &key, const ExportRequest &request, const KeepRequest &keep);
    Result<images::Exported> keepExport(const InstanceKey &key, const ExportRequest &request, const store::Export &reserved,
                                        Progress &progress);
    Result<std::vector<store::Export>> keptExports(const InstanceKey &key);
    /// Makes an image of an instance or a snapshot, and records it. A running guest stands still only until its files
    /// are held.
    Result<store::Image> publish(const PublishRequest &request, Progress &progress);
    /// What an archive says of itself: before importInstance, which takes it. Invalid, Unsupported: see readExport.
    Result<config::ExportIndex> lookAtImport(const Fd &file, Progress &progress);
    Result<Imported> importInstance(ImportRequest request, const config::ExportIndex &index, const Fd &file, Progress &progress);

    // The same for what keeps instances in a form of its own.
    /// Runs `work` on what an archive of the instance is to hold, which stays as it is meanwhile. A running guest stands still
    /// only until its files are held. What `work` makes is a backup: its end is told to who listens.
    Status withExportJob(const InstanceKey &key, const ExportRequest &request, const std::function<Status(const images::ExportJob &)> &work);
    /// Makes an instance of the trees that `fill` puts in place.
    Result<Imported> importTrees(ImportRequest request, const config::ExportIndex &index, const FillTrees &fill);

    // Between two daemons, on streams that the caller has opened; see migration.h.
    /// A running guest stands still only until its files are held.
    Status sendInstance(const SendRequest &request, const MigrationChannel &channel, Progress &progress);
    /// What was left out. An Error says whether something is here already.
    Result<std::vector<std::string>> receiveInstance(const ReceiveRequest &request, const MigrationChannel &channel, Progress &progress);

    // What snapshots.schedule and snapshots.expiry ask for.
    /// When there is something to do next after `now`, in Unix seconds; nullopt: nothing is.
    std::optional<std::time_t> nextScheduled(std::time_t now);
    /// Makes what fell due after `since` up to `now`, and deletes what has expired. What fails is logged.
    void runScheduled(std::time_t since, std::time_t now);

    // Inside.
    Result<spec::MonitorClient> monitor(const InstanceKey &key);
    Result<spec::FilesClient> files(const InstanceKey &key);
    /// Of a running guest as it is at some moment while it is looked at. WrongState: it changed hands meanwhile.
    Result<Diff> diff(const InstanceKey &key, const DiffRequest &request, const Progress &progress);
    /// The console's past: from the monitor, or from the log of the last run.
    Result<std::string> consoleLog(const InstanceKey &key);
    Status clearConsoleLog(const InstanceKey &key);
    std::string logDir(const InstanceKey &key) const { return m_s.paths.instanceLogDir(key.project, key.name); }

    // Daemon start and end.
    /// Re-adopts what runs, completes or takes back what was half done, removes what is left over.
    Status recover();
    /// What the state folder and the pools hold and the database does not know comes back: networks, images, volumes,
    /// instances with their snapshots, and the profiles they used where these are gone; deleted instances can be undone
    /// again. One that fails does not keep the others.
    Result<std::vector<Found>> recoverLost(Apply apply);
    /// Starts what boot.autostart or the last power state ask for.
    void autostart();
    /// Stops all guests cleanly, each within its boot.host_shutdown_timeout; they come back at the next autostart.
    void shutdown();

private:
    explicit Manager(Services services) : m_s(std::move(services)) {}

    // Steps shared by several operations.
    Result<store::Instance> find(const InstanceKey &key) const;
    Result<config::Expanded> expanded(const store::Instance &row);
    Result<config::Effective> effective(const store::Instance &row);
    Status addRootState(const store::Instance &row, const config::Expanded &all, LiveState &state);
    Result<store::Instance> readyRow(const InstanceKey &key);
    /// A row that is checked but not recorded, and the pool its volume will lie in.
    struct NewInstance {
        store::Instance row;
        config::Effective wanted;
        DeviceMap devices; ///< With those of its profiles.
        Pools::Use pool;
        Birth birth = Birth::Created;
    };
    /// AlreadyExists, with `cure`.
    Status checkFree(const InstanceKey &key, const std::string &cure) const;
    Result<NewInstance> checkNew(store::Instance wanted);
    Result<NewInstance> planNew(const CreateRequest &request);
    Result<std::optional<store::Image>> knownImage(const CreateRequest &request);
    Status build(NewInstance &created, std::vector<store::Snapshot> snapshots, const std::function<Status()> &makeVolume);
    Status record(const store::Instance &row, std::int64_t &id, const config::InstanceConfig &config);
    Result<config::BackupDocument> backupOf(const store::Instance &row);
    Status writeBackup(const InstanceKey &key);
    Status startLocked(const InstanceKey &key);
    struct Rendered {
        std::vector<images::RenderedFile> files;
        std::set<std::string> targets; ///< Of all the image's templates, rendered now or not.
    };
    Result<Rendered> renderFiles(const store::Instance &row, const config::Expanded &expanded, storage::Driver &pool);
    Result<CloudStart> planCloudInit(const store::Instance &row, const config::Expanded &all, const std::set<std::string> &targets);
    /// Follows what a start left pending, or a daemon before this one left running.
    void beginCloudInit(const InstanceKey &key);
    std::string runCloudInit(const InstanceKey &key, const CloudRuns::Stop &stop);
    Result<config::CloudStatus> runCloudScript(const InstanceKey &key, const config::CloudScript &script, bool begun,
                                               const CloudRuns::Stop &stop);
    Status recordCloudInit(const InstanceKey &key, const std::string &result);
    Result<CloudResult> waitForOwnCloudInit(const InstanceKey &key, std::chrono::steady_clock::time_point deadline);
    Result<std::vector<cgroup::Write>> planLimits(const config::Effective &effective, cgroup::PlanFor scope,
                                                  std::vector<cgroup::IoLimit> io = {}, const spec::LaunchSpec *running = nullptr);
    /// limits.read and its kin of the disks, by the block devices below them.
    Result<std::vector<cgroup::IoLimit>> ioLimits(const store::Instance &row, const config::Effective &effective);
    Status loadModules(const config::InstanceConfig &config);
    /// What is behind the disks among `devices`, and how far those with a path of the host may lead.
    Result<DiskSources> diskSources(const std::string &project, const std::vector<config::Device> &devices);
    Status checkIdmap(const store::Instance &row, const config::InstanceConfig &wanted);
    Status checkInUse(const InstanceKey &key, const config::Effective &before, const config::Effective &after);
    struct ProfileUser;
    Status checkProfileUser(const ProfileUser &user);
    Result<std::vector<RestartNeeded>> checkProfileUsers(const std::vector<ProfileUser> &users);
    Status checkProfileSize(const store::Profile &after);
    Result<std::vector<ProfileUser>> usersOf(const std::string &project, const std::vector<store::Profile> &after);
    Result<std::vector<std::string>> projectsWithProfilesOf(const std::string &project);
    /// A guest runs with this limits.cpu, or no longer runs: the CPUs of those with a count are shared out anew.
    void placed(const InstanceKey &key, const config::InstanceConfig &config);
    void unplaced(const InstanceKey &key);
    void balanceCpus(); ///< With m_pinsMutex held.
    void stopForShutdown(const InstanceKey &key, config::ShutdownAction action, std::chrono::seconds timeout);
    struct Resize { ///< A root disk that is about to have another limit.
        InstanceKey key;
        std::string pool;
        std::optional<Bytes> limit;
    };
    /// What the root disk among `devices` is limited to in `pool`: its size, or the pool's volume.size.
    Result<std::optional<Bytes>> rootLimit(const DeviceMap &devices, const std::string &pool) const;
    /// Limits the new volume of an instance as its definition, or the pool, says. `pool`: the one it lies in.
    Status limitRoot(const InstanceKey &key, const DeviceMap &devices, storage::Driver &pool) const;
    Status resize(const std::string &object, const std::vector<Resize> &resizes, const std::function<Status()> &record);
    Status whileResized(const store::Instance &before, const store::Instance &after, storage::Driver &pool,
                        const std::function<Status()> &replace);
    Status recoverResize(const store::Operation &journal);
    Status limitAgain(const store::Instance &row, const config::Effective &now);
    /// Names inside are kept from the first change of a running guest's devices on: a new one moves no other.
    using Expand = std::function<Result<config::Expanded>(const store::Instance &)>;
    Status settleNicNames(store::Instance &row, const config::Expanded &before, const Expand &expand);
    /// What leads a running guest from its devices of `before` to those of `after`. WrongState names what needs it stopped.
    Result<spec::ReplugBody> planReplug(const InstanceKey &key, const config::Expanded &before, const config::Expanded &after,
                                        Missing missing = Missing::Refused);
    /// A guest runs with these devices, or (none) no longer runs: those that it gets when the host has them are watched for.
    void awaitDevices(const InstanceKey &key, const std::vector<config::Device> &devices);
    void watchFolders();
    void devicesChanged();
    void settleDevices();
    Status settleDevicesOf(const InstanceKey &key);
    Status applyDevices(const store::Instance &row, const config::Expanded &before, const config::Expanded &after);
    /// AlreadyExists: a running instance has a proxy where one of `wanted` would listen.
    Status checkProxies(const InstanceKey &key, const std::vector<spec::Proxy> &wanted);
    Status putNat(const InstanceKey &key, const std::vector<spec::Proxy> &proxies, const std::vector<NicPlan> &nics);
    Status applyLive(const store::Instance &row, const config::Effective &before, const config::Effective &after);
    Status finishDelete(const store::Instance &row, std::optional<store::UndoEntry> undo = std::nullopt);
    Status undoCreate(const store::Instance &row);
    Status releaseNics(const store::Instance &row);
    /// Looked for only where one of the devices is such a card.
    Lent lentCards(const config::Effective &effective);
    /// Which virtual functions those devices get that are one: volatile.<device>.host_name. What runs with `before` keeps its
    /// own; `taken` are not free, and those chosen are added. WrongState: none is free.
    Result<StringMap> chooseFunctions(const config::Effective &wanted, const DeviceMap &before, std::set<std::string> &taken);
    /// What the cards let through from now on.
    Status filterNics(const InstanceKey &key, const std::vector<NicPlan> &nics);
    /// Of a guest that runs since an earlier daemon: what it is on is known again, and what is recorded by now comes into force.
    Status adoptNics(const InstanceKey &key, const Result<config::Effective> &now);
    Status reserveNics(const store::Instance &row, const std::vector<NicPlan> &nics);
    Result<store::Snapshot> readySnapshot(const InstanceKey &key, std::int64_t instanceId, const std::string &name);
    Result<std::string> snapshotName(const store::Instance &row, const config::InstanceConfig &config,
                                     const SnapshotRequest &request);
    std::string poolBeside(const Fd &file);
    /// While this is held the volume and the snapshots of the instance stay where they are; only the guest may come and go.
    std::shared_ptr<void> keepVolume(const InstanceKey &key);
    Status checkNotKept(const InstanceKey &key);
    /// WrongState: a snapshot of it is mounted.
    Status checkNotMounted(const InstanceKey &key) const;
    Status whilePaused(const InstanceKey &key, const std::function<Status(storage::InUse)> &work);
    void resume(const InstanceKey &key);
    Status recoverPause(const store::Operation &journal);
    std::vector<Described> scheduled();
    void followSchedule(const Described &described, const config::Schedule &schedule);
    Status runSchedule(const Described &described, const config::Schedule &schedule);
    Status dropBeyond(const InstanceKey &key, const std::string &schedule, std::uint32_t keep);
    void snapshotAtStartup(const InstanceKey &key);
    Status finishDeleteSnapshot(const store::Instance &row, const store::Snapshot &snapshot,
                                std::optional<store::UndoEntry> undo = std::nullopt);
    std::optional<store::UndoEntry> undoOf(store::UndoKind kind, const store::Instance &row, const std::string &snapshot = {});
    Result<store::Instance> instanceOf(const store::UndoEntry &entry);
    Result<store::Instance> rowBack(const store::UndoEntry &entry, const config::BackupDocument &document);
    Status applyDelete(store::UndoEntry entry, const std::string &name);
    Status recordBack(const store::UndoEntry &entry);
    Status announceBack(const InstanceKey &key);
    Status applySnapshot(store::UndoEntry entry, const std::string &name);
    Status finishSnapshotBack(const store::UndoEntry &entry);
    Status applyRestore(const store::UndoEntry &entry, const Progress &progress);
    Status exchangeStopped(const store::UndoEntry &entry, const InstanceKey &key);
    Status finishExchange(const store::UndoEntry &entry, const store::UndoEntry &now);
    Status applyConfig(const store::UndoEntry &entry);
    Status applyProfile(const store::UndoEntry &entry);
    Status recoverUndo();
    Status whileStopped(const InstanceKey &key, const Progress &progress, const std::function<Status(bool wasRunning)> &work);
    Result<store::Instance> restoredRow(store::Instance row, const store::Snapshot &snapshot);
    Status restoreStopped(const InstanceKey &key, const std::string &name, bool wasRunning);
    Status finishRestore(const store::Instance &before, const store::Snapshot &snapshot, const store::Operation &journal,
                         const std::optional<store::UndoEntry> &kept);
    Status copyFiles(const CopyRequest &request, const store::Instance &source, storage::Driver &to,
                     const InstanceKey &target, const std::optional<std::string> &like, Progress &progress);
    Status transferFiles(const CopyRequest &request, const store::Instance &source, Destination to, Progress &progress);
    Status takeSnapshotRows(const store::Instance &row, const store::Instance &source, storage::Driver &pool);
    Status refresh(const CopyRequest &request, const store::Instance &source, Progress &progress);
    Status finishRefresh(store::Instance row, const store::Instance &source, const store::Operation &journal);
    Result<Offer> offerOf(const store::Instance &row, const SendRequest &request, storage::Driver &pool);
    struct Taking;
    Status takeState(Taking &taking, storage::Driver &pool, const std::string &state, const std::optional<std::string> &before,
                     const std::vector<Fd> &base, const Fd &to);
    Result<std::optional<std::string>> sharedImage(const std::string &project, const std::string &image, storage::Driver &pool, Progress &progress);
    Status takeVolume(Taking &taking, storage::Driver &pool, const InstanceKey &to, const std::optional<std::string> &like);
    Status checkComplete(const store::Instance &row) const;
    static Error keptWhole(const Taking &taking);
    Status takeNew(const ReceiveRequest &request, Taking &taking);
    Status recordCut(const store::Instance &row, const Taking &taking);
    Status takeRefresh(const store::Instance &row, Taking &taking);
    Status recordRefresh(const store::Instance &row, const Taking &taking, const store::Operation &journal);
    Status endRefresh(const store::Instance &row, const std::string &beside, const store::Operation &journal);
    static bool isRefreshRecorded(const store::Operation &journal);
    Status recoverReceive(const store::Operation &journal);
    Status finishRebuild(store::Instance row, const store::Operation &journal);
    Status recoverRebuild(const store::Operation &journal);
    Status recoverRefresh(const store::Operation &journal);
    Status checkMove(const InstanceKey &key, const store::Instance &row, const MoveRequest &request);
    Result<store::Instance> planProjectMove(const store::Instance &row, const MoveRequest &request);
    Status moveProject(const InstanceKey &key, const MoveRequest &request);
    Status recoverProjectMove(const store::Operation &journal);
    Status movePool(const store::Instance &row, const std::string &pool, Progress &progress);
    Status recordPool(store::Instance row, const std::string &pool);
    Status finishMove(const store::Operation &journal);
    Status recoverMove(const store::Operation &journal);
    Status recoverPools(Apply apply, std::vector<Found> &found);
    Status recoverInstances(storage::Driver &pool, Apply apply, std::vector<Found> &found);
    Status recoverAside(Apply apply, storage::Driver &pool, std::vector<Found> &found);
    Status recoverProfiles(const config::BackupDocument &document, std::vector<Found> &found);
    Status recoverInstance(const config::BackupDocument &document, storage::Driver &pool, std::vector<Found> &found);
    Status recoverSnapshotRename(const store::Operation &journal);
    Status recoverRestore(const store::Operation &journal);
    Status recoverRestoreFiles(const store::Operation &journal);
    Status recoverSnapshots(const store::Instance &row);
    Result<KeptTree> keepTree(const store::Instance &row, storage::Driver &pool, std::unique_lock<std::mutex> &guard,
                             KeepAs as = KeepAs::ItIs);
    Result<storage::Scratch> writeStreams(const InstanceKey &key, storage::Driver &pool, images::ExportJob &job, const storage::Held &held);
    Result<images::ExportJob> exportJob(const store::Instance &row, const ExportRequest &request, storage::Driver &pool);
    Result<std::string> importPool(const ImportRequest &request, const config::ExportIndex &index, const DeviceMap &expanded);
    Status dropTaken(StringMap &config);
    Result<store::Instance> importedRow(const ImportRequest &request, const config::ExportIndex &index, std::vector<std::string> &warnings);
    void cleanUp(const InstanceKey &key);
    bool comesBack(const store::Instance &row);
    Status recordStop(const store::Instance &row);
    bool startAgain(const store::Instance &row);
    void recordStopped(const store::Instance &row);
    void onEnd(const GuestEnd &end);
    void afterEnd(const GuestEnd &end);
    void onNews(const InstanceKey &key, const spec::MonitorEvent &event);
    Status adopt(const store::Instance &row);
    Status adoptNat(const InstanceKey &key, const Result<config::Effective> &now);
    Status recoverRename(const store::Operation &journal);
    Status recoverOperation(const store::Operation &journal);
    std::set<std::string> strangers() const;
    void collectLeftovers();
    std::shared_ptr<std::mutex> lockFor(const InstanceKey &key) { return m_locks.get(key); }

    Services m_s;
    std::optional<cgroup::Layout> m_layout;
    std::unique_ptr<Running> m_running;
    NamedLocks<InstanceKey> m_locks;
    std::mutex m_awaitedMutex;
    std::map<InstanceKey, std::set<std::string>> m_awaited; ///< Running guests with devices that come and go, and folders to watch.
    std::atomic<bool> m_devicesToSettle = false;
    std::mutex m_pinsMutex;
    std::map<InstanceKey, cgroup::CpuPins> m_pins; ///< Of the running guests that have limits.cpu.
    std::mutex m_restartsMutex;
    std::map<InstanceKey, std::vector<std::chrono::steady_clock::time_point>> m_restarts; ///< Of boot.autorestart, the last minute's.
    std::set<InstanceKey> m_endedUnasked; ///< While no daemon ran; autostart() starts them again.
    std::mutex m_keptMutex;
    std::mutex m_profilesMutex; ///< One change of profiles at a time.
    std::map<InstanceKey, std::weak_ptr<void>> m_kept;
    std::atomic<bool> m_hostGoesDown{false};
    std::unique_ptr<CloudRuns> m_cloudRuns;     ///< The last two: their threads use what stands above.
    std::unique_ptr<DeviceWatch> m_deviceWatch;
};

} // namespace lxmgr::instances
