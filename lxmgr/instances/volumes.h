// Volumes: the life of custom storage volumes and their snapshots. Every change records the wish, does named idempotent
// steps and records the result; recover() finishes or takes back what a crash left half done.
#pragma once

#include "config/devices.h"
#include "config/volume_config.h"
#include "instances/found.h"
#include "instances/locks.h"
#include "instances/plan.h"
#include "instances/pools.h"
#include "instances/schedules.h"
#include "instances/undo_log.h"
#include "store/volumes.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::instances
{

struct VolumeKey {
    std::string pool;
    std::string project; ///< That it lies in: the home of those that use it (store::homeOf()).
    std::string name;
    auto operator<=>(const VolumeKey &) const = default;
};

/// "storage volume 'data' in pool 'default'"
std::string titleOf(const VolumeKey &key);
inline VolumeKey keyOfVolume(const store::Volume &row) { return {row.pool, row.project, row.name}; }
/// Whether one of the devices has the volume.
bool usesVolume(const DeviceMap &devices, const VolumeKey &key);

/// Something happened to a volume that nobody asked for by its name, for the event stream.
struct VolumeEvent {
    std::string action; ///< "storage-volume-snapshot-created"
    VolumeKey key;
    std::string snapshot; ///< "": of the volume itself.
    StringMap context;
};

class Volumes
{
public:
    struct Services {
        Pools &pools;
        store::Database &db;
        UndoLog &undo;
        std::function<void(const VolumeEvent &)> emit;
    };
    explicit Volumes(Services services) : m_pools(services.pools), m_db(services.db), m_undo(services.undo), m_emit(std::move(services.emit)) {}

    /// NotFound; WrongState while it is being made or deleted.
    Result<store::Volume> find(const VolumeKey &key);
    /// Those that are ready; "" gives all projects.
    Result<std::vector<store::Volume>> list(const std::string &pool, const std::string &project);
    Status create(const store::Volume &wanted);
    /// The same of what `makeTrees` puts into the pool: the volume and the trees of `snapshots`.
    using MakeTrees = std::function<Status(storage::Driver &pool, const store::Volume &row)>;
    Status make(store::Volume wanted, std::vector<store::VolumeSnapshot> snapshots, const MakeTrees &makeTrees);
    /// Runs `work` on a volume to which nothing else happens meanwhile.
    using Work = std::function<Status(const store::Volume &row, storage::Driver &pool)>;
    Status whileHeld(const VolumeKey &key, const Work &work);
    /// What there is to say of it, with its snapshots.
    Result<config::VolumeDocument> documentOf(const store::Volume &row);
    struct Source {
        VolumeKey key;
        std::optional<std::string> snapshot;
        storage::WithSnapshots with = storage::WithSnapshots::Yes;
        bool refresh = false; ///< Files and snapshots of a copy that exists are brought to those of the source.
    };
    /// A volume with the content of another or of a snapshot, in the same pool or another. The caller has made sure that no
    /// running instance has what is refreshed.
    Status copy(const Source &from, store::Volume wanted, Progress &progress);
    /// Brings the volume to what `makeTrees` makes of it beside it, under another name that it gets to know in its row. `snapshots`: those
    /// that come with it; none: it keeps its own. The caller has made sure that no running instance has it.
    Status renew(const VolumeKey &key, const std::optional<std::vector<store::VolumeSnapshot>> &snapshots, const MakeTrees &makeTrees);
    Status update(const VolumeKey &key, const std::string &description, const StringMap &config);
    /// The caller has made sure that nobody uses it; so with the three next.
    Status rename(const VolumeKey &key, const std::string &to);
    /// To another pool or project, with its snapshots. AlreadyExists.
    Status move(const VolumeKey &key, const VolumeKey &to, Progress &progress);
    Status remove(const VolumeKey &key, Keep keep = Keep::Yes);
    /// What it held is kept for a time.
    Status restore(const VolumeKey &key, const std::string &snapshot);
    struct Usage {
        Bytes used;
        std::optional<Bytes> limit;
    };
    /// Walks the tree where nobody counts.
    Result<Usage> usage(const VolumeKey &key);

    Result<std::vector<store::VolumeSnapshot>> snapshots(const VolumeKey &key);
    Result<store::VolumeSnapshot> snapshot(const VolumeKey &key, const std::string &name);
    /// The name it got: without one, as snapshots.pattern says.
    Result<std::string> createSnapshot(const VolumeKey &key, const SnapshotRequest &request, const std::string &description = {});
    Status updateSnapshot(const VolumeKey &key, const store::VolumeSnapshot &snapshot);
    Status renameSnapshot(const VolumeKey &key, const std::string &from, const std::string &to);
    Status deleteSnapshot(const VolumeKey &key, const std::string &name, Keep keep = Keep::Yes);

    /// What snapshots.schedule and snapshots.expiry ask for: see Manager.
    std::optional<std::time_t> nextScheduled(std::time_t now);
    void runScheduled(std::time_t since, std::time_t now);

    // Undoing, of entries that are of volumes.
    /// Where the volume is that the entry is about, whatever it is called by now; where it was, if it is deleted. NotFound.
    Result<VolumeKey> keyOf(const store::UndoEntry &entry);
    Result<UndoPreview> previewUndo(const store::UndoEntry &entry);
    /// `name`: what a deleted volume or snapshot is called from now on, "" for as before. See Manager::applyUndo.
    Status applyUndo(const store::UndoEntry &entry, const std::string &name);

    /// What the disk devices with a volume, of an instance of `project`, are mounted from. NotFound, WrongState: with the device's name.
    Result<DiskSources> mounts(const std::string &project, const std::vector<config::Device> &devices);
    /// Before anything else uses volumes.
    Status recover();
    /// What the pool holds and the database does not know comes back, with its snapshots; what was deleted can be undone again.
    Status recoverLost(const std::string &pool, Apply apply, std::vector<Found> &found);

private:
    std::shared_ptr<std::mutex> lockFor(const VolumeKey &key) { return m_locks.get(key); }
    void emit(const char *action, const VolumeKey &key, const std::string &snapshot = {}, const StringMap &context = {});
    /// AlreadyExists, also for files that lie there and nobody knows: what undoes a creation would take those along.
    Status checkFree(const VolumeKey &key, storage::Driver &pool);
    /// What comes back into a project must be found there. WrongState: it uses the volumes of another.
    Status checkOwn(const std::string &project);
    Status insert(store::Volume &row);
    static std::optional<Bytes> limitOf(const config::VolumeConfig &config);
    Status limitNew(const store::Volume &row, const VolumeKey &key, storage::Driver &pool);
    Status resize(const store::Volume &row, std::optional<Bytes> limit, storage::Driver &pool);
    Status recoverResize(const store::Operation &journal);
    Status makeEmpty(const store::Volume &row, storage::Driver &pool);
    Status writeDocument(const store::Volume &row);
    Status finishRemove(const store::Volume &row, std::optional<store::UndoEntry> undo = std::nullopt);
    Status finishDeleteSnapshot(const store::Volume &row, const store::VolumeSnapshot &snapshot,
                                std::optional<store::UndoEntry> undo = std::nullopt);
    Result<std::string> snapshotName(const store::Volume &row, const config::VolumeConfig &config, const SnapshotRequest &request);
    void followSchedule(const store::Volume &row, const config::Schedule &schedule);
    Status runSchedule(const store::Volume &row, const config::Schedule &schedule);
    // Copies.
    Status makeFiles(const Source &from, storage::Driver &to, const VolumeKey &target, const std::optional<store::Volume> &like,
                     Progress &progress);
    Status takeSnapshotRows(const store::Volume &row, const VolumeKey &source);
    Status refresh(const Source &from, const store::Volume &row, Progress &progress);
    Status finishRefresh(const store::Volume &row, const store::Operation &journal);
    Status finishRenew(const store::Volume &row, const store::Operation &journal);
    Status recoverRenew(const store::Operation &journal);
    Status finishMove(const store::Operation &journal, const VolumeKey &from, const VolumeKey &to);
    // Undoing.
    std::optional<store::UndoEntry> undoOf(store::UndoKind kind, const store::Volume &row, const std::string &snapshot = {});
    Result<store::Volume> volumeOf(const store::UndoEntry &entry);
    Status record(const config::VolumeDocument &document, storage::Driver &pool, const std::string &name);
    Status applyDelete(store::UndoEntry entry, const std::string &name);
    Status finishDeleteBack(const store::UndoEntry &entry);
    Status applySnapshot(store::UndoEntry entry, const std::string &name);
    Status finishSnapshotBack(const store::UndoEntry &entry);
    Status applyRestore(const store::UndoEntry &entry);
    Status finishExchange(const store::UndoEntry &entry, const store::UndoEntry &now);
    // Recovery.
    Status recoverOperation(const store::Operation &journal);
    Status recoverRename(const store::Operation &journal);
    Status recoverRefresh(const store::Operation &journal);
    Status recoverMove(const store::Operation &journal);
    Status recoverUndo(const store::UndoEntry &entry);
    Status recoverOne(const store::Volume &row);
    Status recoverSnapshots(const store::Volume &row);
    Status recoverAside(storage::Driver &pool, Apply apply, std::vector<Found> &found);
    Status bringBack(const config::VolumeDocument &document, storage::Driver &pool);

    Pools &m_pools;
    store::Database &m_db;
    UndoLog &m_undo;
    const std::function<void(const VolumeEvent &)> m_emit;
    NamedLocks<VolumeKey> m_locks;
};

} // namespace lxmgr::instances
