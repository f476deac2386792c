// Single files out of a snapshot: the guest's own root puts them back, from a mount of the snapshot that nobody else sees.
#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/journal.h"
#include "instances/manager.h"
#include "instances/plan.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

constexpr char kBetween = '\n'; ///< Of paths in the journal.

Status checkPath(const std::string &path)
{
    if (!path.starts_with('/') || path.find_first_of(std::string_view("\0\n", 2)) != std::string::npos)
        return Error(Code::Invalid, quoted(path) + " is no absolute path inside the instance");
    for (const std::string &part : split(path, '/'))
        if (part == "..")
            return Error(Code::Invalid, quoted(path) + " leads upwards; name the file itself");
    if (std::ranges::all_of(path, [](char c) { return c == '/' || c == '.'; }))
        return Error(Code::Invalid, "all files are restored by restoring the snapshot, without naming any");
    return {};
}

} // namespace

Status Manager::restoreFiles(const InstanceKey &key, const std::string &name, const std::vector<std::string> &paths,
                             Progress &progress)
{
    for (const std::string &path : paths)
        TRY(checkPath(path));
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock); // a start would mount a second time what is written to here
    const store::Instance row = TRY(readyRow(key));
    TRY(readySnapshot(key, row.id, name));
    const Pools::Use pool = TRY(m_s.pools.get(row.pool));
    const storage::RootTree tree = TRY(pool->snapshotRoot(key.project, key.name, name));
    auto before = TRY(spec::FilesClient::forStopped(m_s.paths, rootfsOf(tree, true), idMapOf(row)));
    for (const std::string &path : paths)
        if (const auto there = before.stat(path); !there && there.error().code == Code::NotFound)
            return Error(Code::NotFound, "snapshot " + quoted(name) + " of " + quoted(key.name) + " has no " + quoted(path));
        else if (!there)
            return there.error();
    const Fd earlier = TRY(before.mount());
    auto now = TRY(files(key));

    const store::Operation journal = newJournal(kRestoreFilesOperation, key.project, key.name, join(paths, std::string(1, kBetween)));
    TRY(store::beginOperation(m_s.db, journal));
    Undo undo;
    undo.add("restore journal", makingRoom(m_s.db, [&] { return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure); }));
    for (const std::string &path : paths) {
        if (progress.cancelled())
            return Error(Code::Cancelled, "restoring files of " + quoted(key.name) + " was cancelled");
        progress.report(path);
        TRY(failpoint("restore-files.path"));
        TRY_IN("restore files of " + quoted(key.name), now.restore(path, earlier));
    }
    TRY(failpoint("restore-files.done"));
    undo.keep();
    TRY(store::finishOperation(m_s.db, journal.id, store::OperationStatus::Success));
    m_s.emit({"instance-restored", key, {{"snapshot", name}}});
    return {};
}

/// Each entry is the earlier or the later one, whole; what was being made beside it goes.
Status Manager::recoverRestoreFiles(const store::Operation &journal)
{
    const InstanceKey key{journal.project, journal.object};
    if (find(key)) {
        log::warning("instance '" + key.name + "': restoring files of it was cut off; restore them again");
        auto guest = TRY(files(key));
        for (const std::string &path : split(journal.arguments, kBetween))
            TRY(guest.dropRestore(path));
    }
    return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

} // namespace lxmgr::instances
