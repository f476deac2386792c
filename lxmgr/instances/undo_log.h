// UndoLog: what can be undone, with the files that belong to it aside in their pools. Everything in it goes after
// trash.expiry, and before that, the oldest first, where space is short. Undoing itself is the manager's (undo.cpp).
#pragma once

#include "config/backup.h"
#include "instances/locks.h"
#include "instances/pools.h"
#include "store/profiles.h"
#include "store/undo.h"

#include <ctime>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::instances
{

/// Whether what is deleted can be brought back for a time.
enum class Keep { No, Yes };

/// One key of what undoing changes.
struct UndoChange {
    std::string key; ///< "limits.memory", "eth0: mtu", "description"
    std::string now, then;
};

/// What of a profile is different.
std::vector<UndoChange> changesOf(const store::Profile &now, const config::ProfileDocument &then);

/// What undoing would do now.
struct UndoPreview {
    StringMap config; ///< What was, …
    DeviceMap devices;
    std::vector<std::string> profiles, snapshots;
    std::vector<UndoChange> changes; ///< … against a definition that is there.
    std::optional<Bytes> usage;      ///< Of its files, which are walked for it.
    std::string obstacle;            ///< What keeps it from being done, "" for nothing.
};

/// "its files are in that pool; attach it again: …"
Error poolMissing(const store::UndoEntry &entry, Error error);

class UndoLog
{
public:
    UndoLog(Pools &pools, store::Database &db) : m_pools(pools), m_db(db) {}

    /// Until when something that is deleted or changed now is kept, in Unix milliseconds; nullopt: it is not, as
    /// trash.expiry says so or `pool` has no space to spare. `pool` is "" where no files belong to it.
    std::optional<std::int64_t> keptUntil(const std::string &pool = {});

    /// NotFound: also one of another project, unless it is of a volume that the two have in common.
    Result<store::UndoEntry> find(const std::string &project, std::int64_t id);
    /// The driver that its files lie with.
    Result<Pools::Use> poolOf(const store::UndoEntry &entry);
    /// What work on the instance or volume `uuid` that was cut off had begun to keep.
    Result<std::optional<store::UndoEntry>> unfinished(store::UndoKind kind, const std::string &uuid);
    /// Held while an entry is applied or dropped.
    std::shared_ptr<std::mutex> lockFor(std::int64_t id) { return m_locks.get(id); }
    /// Frees what it holds and forgets it. WrongState: it is being applied.
    Status drop(const std::string &project, std::int64_t id);

    /// When to look again after `now`, in Unix seconds: something expires, or space may have become short.
    std::optional<std::time_t> next(std::time_t now);
    /// Drops what has expired, what is too many, and in pools with no space to spare the oldest. What fails is logged.
    void tidy(std::time_t now);
    /// Runs `work`, which leaves nothing where it fails, and where the disk is too full for it once more after dropping the
    /// oldest entry with files in `pool`, then two more, four more, until it succeeds or there is none left.
    Status withRoom(const std::string &pool, const std::function<Status()> &work);

    /// What a profile was before it is changed or deleted, in the transaction that does it.
    /// Its number, 0 where it is not kept.
    Result<std::int64_t> keepProfile(const store::Profile &before);

    /// Something deleted that lies aside and no entry knows: it can be undone again, for as long as if it were deleted now.
    Status adopt(store::UndoEntry entry);

    /// Of work that ended early: what it began to keep is kept if its files are aside, else forgotten.
    Status settle(const store::UndoEntry &entry);
    /// The same for all that nobody completed when the daemon died.
    Status recover();

private:
    Status dropLocked(const store::UndoEntry &entry);
    /// The oldest `most` entries with files in `pool`; returns when they are gone.
    std::size_t dropOldest(const std::string &pool, std::size_t most);

    Pools &m_pools;
    store::Database &m_db;
    NamedLocks<std::int64_t> m_locks;
};

} // namespace lxmgr::instances
