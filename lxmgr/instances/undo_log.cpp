#include "instances/undo_log.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "config/server_config.h"
#include "config/yaml.h"
#include "store/exports.h"
#include "store/server_config.h"

#include <algorithm>
#include <cerrno>

namespace lxmgr::instances
{

namespace
{

constexpr std::size_t kMostEntries = 1000;
constexpr std::time_t kLookSeconds = 60;              ///< How often pools with something aside are looked at.
constexpr std::uint64_t kSpare = std::uint64_t{1} << 30; ///< A pool has space to spare above this, …
constexpr std::uint64_t kSpareShare = 20;             ///< … or above one in so many parts of it.
constexpr std::uint64_t kSpareInodes = 1000;

bool isShort(const storage::Space &space)
{
    return space.available.count < std::min(kSpare, space.total.count / kSpareShare) ||
           (space.inodesTotal > 0 && space.inodesFree < kSpareInodes);
}

bool isShort(storage::Driver &pool)
{
    const auto space = pool.space();
    return space && isShort(*space);
}

} // namespace

Error poolMissing(const store::UndoEntry &entry, Error error)
{
    return std::move(error).hint("its files are in that pool; attach it again: lxmgr storage create " + entry.pool +
                                 " <driver> source=…");
}

Result<Pools::Use> UndoLog::poolOf(const store::UndoEntry &entry)
{
    return store::isOfVolume(entry.kind) ? m_pools.custom(entry.pool) : m_pools.get(entry.pool);
}

std::optional<std::int64_t> UndoLog::keptUntil(const std::string &pool)
{
    const auto keys = store::serverConfig(m_db);
    const auto config = keys ? config::parseServerConfig(*keys) : Result<config::ServerConfig>(keys.error());
    if (!config)
        log::warning("server configuration: " + config.error().message + ", ignoring");
    const auto until = config.value_or(config::ServerConfig{}).keptUntil(std::time(nullptr));
    if (!until)
        return std::nullopt;
    if (!pool.empty())
        if (const auto held = m_pools.get(pool); held && isShort(**held))
            return std::nullopt;
    return std::int64_t{*until} * 1000;
}

Result<store::UndoEntry> UndoLog::find(const std::string &project, std::int64_t id)
{
    auto entry = store::findUndo(m_db, id);
    const bool ofVolume = entry && store::isOfVolume(entry->kind);
    const std::string home = ofVolume ? TRY(store::homeOf(m_db, project, store::Shared::Volumes)) : project;
    if ((entry && entry->project != project && entry->project != home) || (!entry && entry.error().code == Code::NotFound))
        return Error(Code::NotFound, "Nothing to undo has the number " + std::to_string(id) + " (see 'lxmgr undo list')");
    return entry;
}

Result<std::optional<store::UndoEntry>> UndoLog::unfinished(store::UndoKind kind, const std::string &uuid)
{
    std::optional<store::UndoEntry> found;
    if (uuid.empty())
        return found;
    for (store::UndoEntry &entry : TRY(store::listUndo(m_db, "")))
        if (entry.status == store::UndoStatus::Keeping && entry.kind == kind && entry.uuid == uuid)
            found = std::move(entry);
    return found;
}

/// Each step may be repeated. Where the pool is gone its files went, or stay, with it.
Status UndoLog::dropLocked(const store::UndoEntry &entry)
{
    const store::FreeingSpace freeing(m_db);
    if (!entry.pool.empty()) {
        const auto pool = poolOf(entry);
        if (pool)
            TRY((*pool)->deleteAside(entry.aside));
        else if (pool.error().code != Code::NotFound)
            return pool.error();
    }
    TRY(failpoint("undo.drop.files"));
    return m_db.transaction([&]() -> Status {
        if (entry.kind == store::UndoKind::Delete)
            TRY(store::dropExportsOfGone(m_db, entry.uuid));
        return store::deleteUndo(m_db, entry.id);
    });
}

Status UndoLog::drop(const std::string &project, std::int64_t id)
{
    const auto lock = lockFor(id);
    const std::unique_lock guard(*lock, std::try_to_lock);
    const store::UndoEntry entry = TRY(find(project, id));
    if (!guard.owns_lock() || entry.status != store::UndoStatus::Kept)
        return Error(Code::WrongState, "number " + std::to_string(id) + " is being worked on; try again");
    return dropLocked(entry);
}

std::optional<std::time_t> UndoLog::next(std::time_t now)
{
    std::optional<std::time_t> next;
    if (const auto expiry = store::nextUndoExpiry(m_db); expiry && *expiry > 0)
        next = static_cast<std::time_t>(*expiry / 1000) + 1;
    if (!store::anyUndoFiles(m_db).value_or(false))
        return next;
    const auto pools = m_pools.all();
    const std::time_t look = std::ranges::any_of(pools, [](const Pools::Use &pool) { return isShort(*pool); }) ? now : now + kLookSeconds;
    return std::min(next.value_or(look), look);
}

void UndoLog::tidy(std::time_t now)
{
    const auto expired = store::listExpiredUndo(m_db, std::int64_t{now} * 1000, kMostEntries);
    for (const store::UndoEntry &entry : expired.value_or(std::vector<store::UndoEntry>{})) {
        if (!entry.pool.empty() && !store::findPool(m_db, entry.pool))
            continue; // detached: its files go when it is back
        if (const Status gone = drop(entry.project, entry.id); !gone && gone.error().code != Code::WrongState)
            log::error("undo " + std::to_string(entry.id) + ": " + gone.error().message + ", ignoring");
    }
    if (!store::anyUndoFiles(m_db).value_or(false))
        return;
    for (const Pools::Use &pool : m_pools.all())
        while (isShort(*pool) && dropOldest(pool->name(), 1) > 0)
            log::warning("storage pool '" + pool->name() + "' has little space left: the oldest of what could be undone is gone");
}

std::size_t UndoLog::dropOldest(const std::string &pool, std::size_t most)
{
    std::size_t dropped = 0;
    for (const store::UndoEntry &entry : store::listUndo(m_db, "").value_or(std::vector<store::UndoEntry>{})) {
        if (dropped == most)
            break;
        if (entry.pool != pool)
            continue;
        const auto held = poolOf(entry);
        if (held && drop(entry.project, entry.id) && (*held)->emptyTrash())
            ++dropped;
    }
    return dropped;
}

Status UndoLog::withRoom(const std::string &pool, const std::function<Status()> &work)
{
    Status done = work();
    for (std::size_t most = 1; !done && done.error().code == Code::NoSpace; most *= 2) {
        // Not for what no file makes room for, such as ids.
        if (done.error().errnum != ENOSPC && done.error().errnum != EDQUOT)
            return done;
        if (dropOldest(pool, most) == 0)
            return done;
        log::warning("storage pool '" + pool + "' has no space left: what could be undone makes room, the oldest first");
        done = work();
    }
    return done;
}

Status UndoLog::settle(const store::UndoEntry &entry)
{
    const auto pool = poolOf(entry);
    if (!pool && pool.error().code != Code::NotFound)
        return pool.error();
    if (pool && (*pool)->hasAside(entry.aside))
        return store::setUndoStatus(m_db, entry.id, store::UndoStatus::Kept);
    return store::deleteUndo(m_db, entry.id);
}

Status UndoLog::recover()
{
    for (const store::UndoEntry &entry : TRY(store::listUndo(m_db, "")))
        if (entry.status == store::UndoStatus::Keeping)
            if (const Status settled = settle(entry); !settled)
                log::error("undo " + std::to_string(entry.id) + ": " + settled.error().message + ", ignoring until the next start");
    return {};
}

Status UndoLog::adopt(store::UndoEntry entry)
{
    entry.expiresAt = keptUntil().value_or(store::unixMillis());
    TRY(store::insertUndo(m_db, entry));
    return {};
}

Result<std::int64_t> UndoLog::keepProfile(const store::Profile &before)
{
    const auto until = keptUntil();
    if (!until)
        return 0;
    store::UndoEntry entry;
    entry.project = before.project;
    entry.kind = store::UndoKind::Profile;
    entry.object = before.name;
    entry.document = config::writeProfile({before.name, before.description, before.config, before.devices, {}});
    entry.expiresAt = *until;
    return store::insertUndo(m_db, entry);
}

} // namespace lxmgr::instances
