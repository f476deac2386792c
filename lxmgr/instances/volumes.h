// Volumes: the life of custom storage volumes and their snapshots. Every change records the wish, does named idempotent
// steps and records the result; recover() finishes or takes back what a crash left half done.
#pragma once

#include "config/devices.h"
#include "config/volume_config.h"
#include "instances/found.h"
#include "instances/locks.h"
#include "instances/plan.h"
#include "instances/pools.h"
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
    std::string project;
    std::string name;
    auto operator<=>(const VolumeKey &) const = default;
};

class Volumes
{
public:
    Volumes(Pools &pools, store::Database &db) : m_pools(pools), m_db(db) {}

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
    Result<config::VolumeDocument> describe(const store::Volume &row);
    struct Source {
        VolumeKey key;
        std::optional<std::string> snapshot;
        storage::WithSnapshots with = storage::WithSnapshots::Yes;
    };
    /// A volume with the content of another or of a snapshot, in the same pool or another.
    Status copy(const Source &from, store::Volume wanted, const Progress &progress);
    Status update(const VolumeKey &key, const std::string &description, const StringMap &config);
    /// The caller has made sure that nobody uses it; so with rename and restore.
    Status rename(const VolumeKey &key, const std::string &to);
    Status remove(const VolumeKey &key);
    struct Usage {
        Bytes used;
        std::optional<Bytes> limit;
    };
    /// Walks the tree where nobody counts.
    Result<Usage> usage(const VolumeKey &key);

    Result<std::vector<store::VolumeSnapshot>> snapshots(const VolumeKey &key);
    Result<store::VolumeSnapshot> snapshot(const VolumeKey &key, const std::string &name);
    /// The name it got: without one, as snapshots.pattern says.
    Result<std::string> createSnapshot(const VolumeKey &key, store::VolumeSnapshot wanted);
    Status updateSnapshot(const VolumeKey &key, const store::VolumeSnapshot &snapshot);
    Status renameSnapshot(const VolumeKey &key, const std::string &from, const std::string &to);
    Status deleteSnapshot(const VolumeKey &key, const std::string &name);
    Status restore(const VolumeKey &key, const std::string &snapshot);

    /// What the disk devices with a volume are mounted from. NotFound, WrongState: with the device's name.
    Result<VolumeMounts> mounts(const std::string &project, const std::vector<config::Device> &devices);
    /// Before anything else uses volumes.
    Status recover();
    /// What the pool holds and the database does not know comes back, with its snapshots.
    Status recoverLost(const std::string &pool, Apply apply, std::vector<Found> &found);

private:
    std::shared_ptr<std::mutex> lockFor(const VolumeKey &key) { return m_locks.get(key); }
    Status insert(store::Volume &row);
    static std::optional<Bytes> limitOf(const config::VolumeConfig &config);
    Status limitNew(const store::Volume &row, storage::Driver &pool);
    Status resize(const store::Volume &row, std::optional<Bytes> limit, storage::Driver &pool);
    Status recoverResize(const store::Operation &journal);
    Status makeEmpty(const store::Volume &row, storage::Driver &pool);
    Status makeCopy(const Source &from, const store::Volume &row, storage::Driver &to, const Progress &progress);
    Status copySnapshotRows(const Source &from, const store::Volume &row);
    Status writeDocument(const store::Volume &row, storage::Driver &pool);
    Status finishRemove(const store::Volume &row);
    Status finishDeleteSnapshot(const store::Volume &row, const store::VolumeSnapshot &snapshot);
    Status recoverRename(const store::Operation &journal);
    Status recoverOne(const store::Volume &row);
    Status bringBack(const config::VolumeDocument &document, storage::Driver &pool);

    Pools &m_pools;
    store::Database &m_db;
    NamedLocks<VolumeKey> m_locks;
};

} // namespace lxmgr::instances
