// Limits of volumes. What is wanted is recorded in the folder of the volume, and so goes where that goes; the tree in it is
// limited after that, and any tree that is about to take its place before it does. prepare() does again what was cut off.
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "kernel/sys.h"
#include "storage/folder_pool.h"
#include "storage/project_quota.h"
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

Status FolderPool::checkLimits(const Fd &pool) const
{
    Status limited = projects::check(pool);
    if (!limited && limited.error().code == Code::Unsupported)
        return unsuitable(*this, "volumes cannot be limited: " + limited.error().message);
    return limited;
}

Status FolderPool::limitTree(const Fd &folder, std::optional<Bytes> limit) const
{
    return limitFolder(TRY(openFolder(folder, ownPart(folder))), limit);
}

Status FolderPool::limitFolder(const Fd &tree, std::optional<Bytes> limit) const
{
    const auto project = projects::projectOf(tree);
    if (!project && !limit)
        return {};
    if (!project)
        return Error(Code::Unsupported, "it was made before its file system counted by projects; a snapshot of it, restored "
                                        "at once, makes it anew, and then it can be limited");
    projects::Quota now = TRY(projects::quota(tree, *project));
    if (now.limit == limit)
        return {};
    if (limit && now.used > *limit) {
        projects::settle(tree);
        now = TRY(projects::quota(tree, *project));
    }
    if (limit && now.used > *limit)
        return overLimit(*limit, now.used);
    return projects::limit(tree, *project, limit);
}

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
    if (limit) {
        TRY(canLimit());
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
    if (limit && !checkLimits(m_folders.pool))
        return {}; // not in force since the pool was mounted in another way, as mendLimits() has told
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
            limited = beginLimits(m_folders.pool); // somebody may have switched them off
        if (limited)
            limited = limitTree(folder, limit);
        if (!limited)
            log::warning("storage pool " + quoted(m_place.name) + ": volume " + quoted(volume) + ": the limit of " +
                         humanBytes(*limit) + " is not in force: " + limited.error().message + ", ignoring");
    }
    return {};
}

} // namespace lxmgr::storage
