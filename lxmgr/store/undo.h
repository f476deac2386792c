// Table undo: what can be undone for a time, with all that undoing it needs but the files.
#pragma once

#include "store/projects.h"

#include <string_view>
#include <vector>

namespace lxmgr::store
{

enum class UndoKind {
    Delete,   ///< Of an instance.
    Snapshot, ///< Deletion of a snapshot.
    Restore,  ///< Of an instance, to a snapshot.
    Config,   ///< A changed definition of an instance.
    Profile,  ///< A changed or deleted profile.
    Volume,         ///< Deletion of a custom volume.
    VolumeSnapshot, ///< Deletion of a snapshot of one.
    VolumeRestore,  ///< Of one, to a snapshot.
};
std::string_view undoKindName(UndoKind kind);
inline bool isOfVolume(UndoKind kind) { return kind >= UndoKind::Volume; }

enum class UndoStatus {
    Keeping,  ///< What it undoes is not through yet.
    Kept,     ///< Ready to be applied.
    Applying, ///< Recovery completes it, or takes it back.
};

struct UndoEntry {
    std::int64_t id = 0;
    std::string project = kDefaultProject;
    UndoKind kind = UndoKind::Delete;
    UndoStatus status = UndoStatus::Kept;
    std::string object;   ///< Name of the instance or volume, "web1/snap0", or of the profile.
    std::string uuid;     ///< Of the instance or volume, whatever it is called by now; "" for a profile.
    std::string pool;     ///< Where its files lie aside, "" where none belong to it.
    std::string aside;    ///< Their id there.
    std::string target;   ///< While it is applied: name of what it becomes.
    std::string document; ///< YAML: what was.
    std::int64_t createdAt = 0;
    std::int64_t expiresAt = 0;
};

/// Fills createdAt when 0.
Result<std::int64_t> insertUndo(Database &db, const UndoEntry &entry);
/// NotFound.
Result<UndoEntry> findUndo(Database &db, std::int64_t id);
/// The oldest first; "" gives all projects. With those of volumes that the project has in common with another.
Result<std::vector<UndoEntry>> listUndo(Database &db, const std::string &project);
/// Those that expire at `now` or before, and the oldest beyond `most` with files and `most` without.
Result<std::vector<UndoEntry>> listExpiredUndo(Database &db, std::int64_t now, std::size_t most);
/// When the next one expires; 0: there is none.
Result<std::int64_t> nextUndoExpiry(Database &db);
/// Whether files lie aside at all.
Result<bool> anyUndoFiles(Database &db);
Status setUndoStatus(Database &db, std::int64_t id, UndoStatus status, const std::string &target = {});
/// Missing is no error.
Status deleteUndo(Database &db, std::int64_t id);
/// All whose files are in the pool; kept exports of instances among them are dropped with them.
Status deleteUndoIn(Database &db, const std::string &pool);

} // namespace lxmgr::store
