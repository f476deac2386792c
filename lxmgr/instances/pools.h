// Pools: the storage pools there are; each is mounted, opened and locked when first needed. Making, changing, deleting
// and letting go of them is in pool_changes.cpp.
#pragma once

#include "base/paths.h"
#include "config/pool_config.h"
#include "storage/backing.h"
#include "storage/driver.h"
#include "store/operations.h"
#include "store/storage_pools.h"

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

namespace lxmgr::instances
{

class Pools
{
public:
    /// Held by whoever works with a pool: it is not taken away meanwhile.
    using Use = std::shared_ptr<storage::Driver>;

    Pools(const Paths &paths, store::Database &db) : m_paths(paths), m_db(db) {}

    /// A pool "default" is made where there is no pool at all: driver overlay, or dir where the file system carries no
    /// overlay.
    Status ensureDefault();
    /// Opened and prepared. NotFound: no such pool. Unavailable: its source is missing.
    Result<Use> get(const std::string &name);
    /// The same for its custom volumes.
    Result<Use> custom(const std::string &name);
    /// The pool "default", or any other where there is none.
    Result<Use> any();
    /// All that are recorded, prepared; a pool that cannot be opened is logged and left out.
    std::vector<Use> all();

    /// Checks, makes what is missing, takes over a folder or file system that is a pool already, and records it.
    Status create(const store::StoragePool &wanted);
    /// New description and configuration. Invalid: a key that is settled at creation, or a file that would shrink.
    Status change(const std::string &name, const std::string &description, const StringMap &config);
    /// Takes away what create() made; the caller has made sure that nobody uses the pool. WrongState: it holds volumes.
    Status remove(const std::string &name);
    /// Lets go of the pool and leaves what is in it. `forget` takes the rows of what is in it away, in the transaction
    /// that takes the pool's.
    Status detach(const std::string &name, const std::function<Status()> &forget);
    /// Completes or takes back what a crash cut off. Before anything else uses pools.
    Status recover();

    /// What volume.* of the pool says of new volumes, without that prefix. NotFound.
    Result<StringMap> volumeDefaults(const std::string &name) const;
    /// The configuration as people see it: with the folder it is in.
    StringMap shownConfig(const store::StoragePool &row) const;

private:
    struct Open {
        Fd lock; ///< flock(2) on the folder: no second daemon uses it.
        Use driver;
        Use custom; ///< None until somebody asks for it.
    };
    /// Whether a pool's place was empty, or a pool already.
    enum class Origin { Made, Adopted };
    struct Plan {
        storage::Backing backing;
        Origin origin = Origin::Made;
        storage::Wipe wipe = storage::Wipe::No;
        Bytes size;     ///< Of a file.
        Bytes metadata; ///< Of a thin pool; 0: as LVM sees fit.
    };

    std::string stateFolder(const std::string &name) const { return m_paths.stateDir + "/storage-pools/" + name; }
    std::string diskFile(const std::string &name) const { return m_paths.stateDir + "/disks/" + name + ".img"; }
    Result<store::StoragePool> find(const std::string &name) const;
    Result<storage::Backing> backingOf(const store::StoragePool &row) const;
    Use lend(const std::shared_ptr<storage::Driver> &driver);
    Status checkNotClosing(const std::string &name) const;
    Result<Use> openLocked(const store::StoragePool &row);
    Result<std::unique_ptr<storage::Driver>> openDriver(const store::StoragePool &row, const std::string &folder,
                                                        storage::VolumeKind kind) const;
    Result<Open> openPool(const store::StoragePool &row, const storage::Backing &backing) const;

    static Status checkPoolFile(const store::StoragePool &row, const std::string &folder);
    static Status checkVolumeSize(storage::Driver &driver, const config::PoolConfig &config);
    static Status writePoolFile(const store::StoragePool &row, const std::string &folder);

    Result<Plan> planFile(store::StoragePool &wanted, const config::PoolConfig &config) const;
    Result<Plan> planDataset(store::StoragePool &wanted, const config::PoolConfig &config) const;
    Result<Plan> planSource(store::StoragePool &wanted, const config::PoolConfig &config) const;
    Result<Plan> planGroup(const config::PoolConfig &config) const;
    Status checkGroup(store::StoragePool &wanted, const config::PoolConfig &config, Plan &plan) const;
    Result<Plan> plan(store::StoragePool &wanted) const;
    Status checkApart(const storage::Backing &backing) const;
    Status checkZpool(store::StoragePool &wanted, const config::PoolConfig &config, Plan &plan) const;
    Status makeBacking(const std::string &name, const Plan &plan) const;
    Status takeAway(const storage::Backing &backing, const std::string &name, Origin origin) const;
    Status close(const std::string &name);
    Status reopen(const std::string &name);
    Status finishRemove(const store::StoragePool &row);
    Status recoverOne(const store::Operation &journal);

    static std::string encode(const storage::Backing &backing, Origin origin);
    std::pair<storage::Backing, Origin> decode(const store::Operation &journal) const;

    const Paths &m_paths;
    store::Database &m_db;
    std::mutex m_changes; ///< Held over a whole change.
    std::mutex m_mutex;   ///< Guards the two below.
    std::condition_variable m_released; ///< A Use has come back.
    std::map<std::string, Open> m_open;
    std::set<std::string> m_closing; ///< Not opened any more: they are about to go.
};

} // namespace lxmgr::instances
