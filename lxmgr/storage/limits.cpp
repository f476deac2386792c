// Limits of volumes. What is wanted is recorded in the folder of the volume, and so goes where that goes; the tree in it is
// limited after that, and any tree that is about to take its place before it does. prepare() does again what was cut off.
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "kernel/sys.h"
#include "storage/folder_pool.h"
#include "storage/tree.h"

#include <cerrno>
#include <charconv>

namespace lxmgr::storage
{

namespace
{

constexpr const char *kNextLimit = "limit.next"; ///< On its way to kLimit.

Status removeLink(const Fd &at, const char *name)
{
    const Status removed = sys::unlinkat(at, name);
    return removed || removed.error().errnum == ENOENT ? Status() : removed;
}

} // namespace

Error FolderPool::overLimit(Bytes limit, Bytes used)
{
    return {Code::Invalid, "a limit of " + humanBytes(limit) + " is below the " + humanBytes(used) +
                               " that the root file system takes; remove something inside, or give it more"};
}

Status FolderPool::checkLimits(const Fd & /*pool*/) const
{
    return unsuitable(*this, "the driver " + quoted(driverName()) + " cannot limit the size of a volume");
}

Status FolderPool::limitTree(const Fd &pool, std::optional<Bytes> /*limit*/) const { return checkLimits(pool); }

Status FolderPool::canLimit() const
{
    TRY(needPrepared());
    return checkLimits(m_folders.pool);
}

Result<std::optional<Bytes>> FolderPool::limitOf(const Fd &volume)
{
    const auto text = sys::readlinkat(volume, kLimit);
    if (!text && text.error().errnum == ENOENT)
        return std::optional<Bytes>();
    if (!text)
        return text.error();
    Bytes limit;
    const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), limit.count);
    if (failed != std::errc() || end != text->data() + text->size())
        return Error(Code::Corrupt, "the link " + quoted(kLimit) + " of a volume holds " + quoted(*text) +
                                        ", which is no number of bytes");
    return std::optional<Bytes>(limit);
}

Status FolderPool::recordLimit(const Fd &volume, std::optional<Bytes> limit) const
{
    if (!limit)
        return removeLink(volume, kLimit);
    TRY(removeLink(volume, kNextLimit)); // a crash may have left it
    TRY(sys::symlinkat(std::to_string(limit->count), volume, kNextLimit));
    return sys::renameat2(volume, kNextLimit, volume, kLimit, 0);
}

Status FolderPool::setLimit(const std::string &project, const std::string &name, std::optional<Bytes> limit)
{
    const std::string volume = TRY(checkedVolume(project, name));
    const Fd folder = TRY_IN("volume " + quoted(volume), openFolder(m_folders.volumes, volume));
    if (!limit && !TRY(limitOf(folder)))
        return {};
    const Status can = canLimit();
    if (limit) {
        TRY(can);
        TRY(beginLimits(m_folders.pool));
    }
    const std::lock_guard lock(m_mutex);
    TRY(checkStillThere(m_folders.volumes, volume, folder));
    const auto before = TRY(limitOf(folder));
    Undo undo;
    undo.add("limit of " + volume, [&] { return recordLimit(folder, before); });
    // A record without a limit in force is mended by the next prepare(), a limit without a record would not be seen.
    if (limit)
        TRY(recordLimit(folder, limit));
    TRY(failpoint("volume.limit.recorded"));
    if (can) // else there is nothing in force to be lifted
        TRY_IN("volume " + quoted(volume), limitTree(folder, limit));
    if (!limit)
        TRY(recordLimit(folder, limit));
    undo.keep();
    return flushRename(folder);
}

Result<std::optional<Bytes>> FolderPool::limit(const std::string &project, const std::string &name) const
{
    return limitOf(TRY(openVolume(project, name)));
}

/// The own part of `content`, which is about to be that of `volume`, gets its limit. With the mutex held.
Status FolderPool::limitAs(const Fd &volume, const Fd &content) const
{
    const auto limit = TRY(limitOf(volume));
    if (!checkLimits(m_folders.pool))
        return {}; // what was limited elsewhere and lies here now says so in mendLimits()
    return limitTree(content, limit);
}

Status FolderPool::mendLimits() const
{
    for (const std::string &volume : TRY(namesIn(m_folders.volumes))) {
        const Fd folder = TRY(openFolder(m_folders.volumes, volume));
        const auto limit = TRY_IN("volume " + quoted(volume), limitOf(folder));
        if (!limit)
            continue;
        Status limited = checkLimits(m_folders.pool);
        if (limited)
            limited = limitTree(folder, limit);
        if (!limited)
            log::warning("storage pool " + quoted(m_place.name) + ": volume " + quoted(volume) + ": the limit of " +
                         humanBytes(*limit) + " is not in force: " + limited.error().message + ", ignoring");
    }
    return {};
}

} // namespace lxmgr::storage
