// Work that neither a crash nor a full disk must leave half done: its journal, and the steps that take it back.
#pragma once

#include "instances/names.h"
#include "store/database.h"
#include "store/operations.h"

#include <string>
#include <utility>

namespace lxmgr::instances
{

/// What an instance came from that is not whole yet: only its newest state is missing, and --refresh brings it.
inline constexpr const char *kUnfinishedKey = "volatile.migration.unfinished";
/// In the journal while an instance is brought back to a snapshot, "<snapshot>" or "<snapshot>/running".
inline constexpr const char *kRestoreOperation = "instance-restore";

/// Not begun yet: store::beginOperation() writes it.
inline store::Operation newJournal(std::string type, std::string project, std::string object, std::string arguments = {})
{
    store::Operation journal;
    journal.id = newUuid();
    journal.project = std::move(project);
    journal.type = std::move(type);
    journal.object = std::move(object);
    journal.arguments = std::move(arguments);
    return journal;
}

/// `step` for an Undo: what takes back work that a full disk cut off must itself pass on a full disk.
template <class Step> auto makingRoom(store::Database &db, Step step)
{
    return [&db, step = std::move(step)]() -> Status {
        store::FreeingSpace freeing(db);
        return freeing.attempt(step);
    };
}

} // namespace lxmgr::instances
