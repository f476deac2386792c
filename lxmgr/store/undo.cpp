#include "store/undo.h"

#include "store/parts.h"

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelect =
    "SELECT u.id, p.name, u.kind, u.status, u.object, u.uuid, u.pool, u.aside, u.target, u.document, u.created_at, "
    "u.expires_at FROM undo u JOIN projects p ON p.id = u.project_id ";
constexpr std::string_view kInsert =
    "INSERT INTO undo (project_id, kind, status, object, uuid, pool, aside, target, document, created_at, expires_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

constexpr std::pair<UndoKind, std::string_view> kKinds[] = {
    {UndoKind::Delete,         "delete"         },
    {UndoKind::Snapshot,       "snapshot"       },
    {UndoKind::Restore,        "restore"        },
    {UndoKind::Config,         "config"         },
    {UndoKind::Profile,        "profile"        },
    {UndoKind::Volume,         "volume"         },
    {UndoKind::VolumeSnapshot, "volume-snapshot"},
    {UndoKind::VolumeRestore,  "volume-restore" },
};
constexpr std::pair<UndoStatus, std::string_view> kStatuses[] = {
    {UndoStatus::Keeping,  "keeping" },
    {UndoStatus::Kept,     "kept"    },
    {UndoStatus::Applying, "applying"},
};

template <class Rows, class Value> std::string_view nameOf(const Rows &rows, Value value)
{
    return std::ranges::find(rows, value, &std::pair<Value, std::string_view>::first)->second;
}
/// The columns' CHECK lets no other name in.
template <class Value, class Rows> Value valueOf(const Rows &rows, const std::string &name)
{
    return std::ranges::find(rows, name, &std::pair<Value, std::string_view>::second)->first;
}

std::string missing(std::int64_t id) { return "nothing to undo has the number " + std::to_string(id); }

template <class... Values>
Result<std::vector<UndoEntry>> select(Database &db, std::string_view where, const Values &...values)
{
    std::vector<UndoEntry> entries;
    Statement row = TRY(query(db, std::string(kSelect) + std::string(where) + " ORDER BY u.id", values...));
    while (TRY(row.next()))
        entries.push_back({row.integer(0), row.text(1), valueOf<UndoKind>(kKinds, row.text(2)),
                           valueOf<UndoStatus>(kStatuses, row.text(3)), row.text(4), row.text(5), row.text(6), row.text(7),
                           row.text(8), row.text(9), row.integer(10), row.integer(11)});
    return entries;
}

} // namespace

std::string_view undoKindName(UndoKind kind) { return nameOf(kKinds, kind); }

Result<std::int64_t> insertUndo(Database &db, const UndoEntry &entry)
{
    return db.transaction([&]() -> Result<std::int64_t> {
        const std::int64_t project = TRY(projectId(db, entry.project));
        TRY(run(db, kInsert, project, nameOf(kKinds, entry.kind), nameOf(kStatuses, entry.status), entry.object, entry.uuid,
                entry.pool, entry.aside, entry.target, entry.document,
                entry.createdAt != 0 ? entry.createdAt : unixMillis(), entry.expiresAt));
        return db.lastInsertId();
    });
}

Result<UndoEntry> findUndo(Database &db, std::int64_t id) { return onlyRow(select(db, "WHERE u.id=?", id), missing(id)); }

Result<std::vector<UndoEntry>> listUndo(Database &db, const std::string &project)
{
    if (project.empty())
        return select(db, "");
    return select(db, "WHERE p.name=? OR (p.name=? AND u.kind LIKE 'volume%')", project, TRY(homeOf(db, project, Shared::Volumes)));
}

Result<std::vector<UndoEntry>> listExpiredUndo(Database &db, std::int64_t now, std::size_t most)
{
    // Those with files and those without count apart: a program that sets keys all day pushes out no deleted instance.
    constexpr std::string_view kWhere =
        "WHERE u.status='kept' AND (u.expires_at<=? OR "
        "(u.pool='' AND u.id NOT IN (SELECT id FROM undo WHERE pool='' ORDER BY id DESC LIMIT ?)) OR "
        "(u.pool<>'' AND u.id NOT IN (SELECT id FROM undo WHERE pool<>'' ORDER BY id DESC LIMIT ?)))";
    const auto limit = static_cast<std::int64_t>(most);
    return select(db, kWhere, now, limit, limit);
}

Result<std::int64_t> nextUndoExpiry(Database &db)
{
    Statement row = TRY(query(db, "SELECT coalesce(min(expires_at), 0) FROM undo WHERE status='kept'"));
    TRY(row.next());
    return row.integer(0);
}

Result<bool> anyUndoFiles(Database &db)
{
    Statement row = TRY(query(db, "SELECT 1 FROM undo WHERE pool<>'' LIMIT 1"));
    return row.next();
}

Status setUndoStatus(Database &db, std::int64_t id, UndoStatus status, const std::string &target)
{
    return db.transaction([&] {
        return change(db, missing(id), "UPDATE undo SET status=?, target=? WHERE id=?", nameOf(kStatuses, status), target, id);
    });
}

Status deleteUndo(Database &db, std::int64_t id)
{
    return db.transaction([&] { return run(db, "DELETE FROM undo WHERE id=?", id); });
}

Status deleteUndoIn(Database &db, const std::string &pool)
{
    return db.transaction([&]() -> Status {
        TRY(run(db, "UPDATE exports SET status='deleting' WHERE instance_id IS NULL AND uuid<>'' "
                    "AND uuid IN (SELECT uuid FROM undo WHERE pool=? AND kind='delete')", pool));
        return run(db, "DELETE FROM undo WHERE pool=?", pool);
    });
}

} // namespace lxmgr::store
