#include "store/operations.h"

#include "base/text.h"
#include "store/parts.h"

namespace lxmgr::store
{

namespace
{

constexpr std::string_view kSelect = "SELECT o.id, p.name, o.type, o.object, o.arguments, o.status, o.error, "
                                     "o.created_at, o.updated_at FROM operations o JOIN projects p "
                                     "ON p.id = o.project_id ";
constexpr std::string_view kInsert = "INSERT INTO operations (id, project_id, type, object, arguments, status, error, "
                                     "created_at, updated_at) VALUES (?, ?, ?, ?, ?, 'running', '', ?, ?)";
constexpr std::string_view kInsertStep =
    "INSERT INTO operation_steps (operation_id, position, name, undo) "
    "VALUES (?1, (SELECT coalesce(max(position) + 1, 0) FROM operation_steps WHERE operation_id=?1), ?2, ?3)";
constexpr std::string_view kFinish = "UPDATE operations SET status=?, error=?, updated_at=? WHERE id=?";

constexpr std::pair<OperationStatus, std::string_view> kStatusNames[] = {
    {OperationStatus::Running,   "running"  },
    {OperationStatus::Success,   "success"  },
    {OperationStatus::Failure,   "failure"  },
    {OperationStatus::Cancelled, "cancelled"},
};
std::string_view statusName(OperationStatus status)
{
    return std::ranges::find(kStatusNames, status, &std::pair<OperationStatus, std::string_view>::first)->second;
}
OperationStatus statusFrom(const std::string &name) // the column's CHECK lets no other name in
{
    return std::ranges::find(kStatusNames, name, &std::pair<OperationStatus, std::string_view>::second)->first;
}

std::string missing(const std::string &id) { return "operation " + quoted(id) + " does not exist"; }

Result<std::vector<OperationStep>> readSteps(Database &db, const std::string &id)
{
    Statement row = TRY(query(db, "SELECT name, undo FROM operation_steps WHERE operation_id=? ORDER BY position", id));
    std::vector<OperationStep> steps;
    while (TRY(row.next()))
        steps.push_back({row.text(0), row.text(1)});
    return steps;
}

template <class... Values>
Result<std::vector<Operation>> select(Database &db, std::string_view where, const Values &...values)
{
    const auto guard = db.lock();
    std::vector<Operation> operations;
    {
        Statement row =
            TRY(query(db, std::string(kSelect) + std::string(where) + " ORDER BY o.created_at, o.rowid", values...));
        while (TRY(row.next()))
            operations.push_back({row.text(0),
                                  row.text(1),
                                  row.text(2),
                                  row.text(3),
                                  row.text(4),
                                  statusFrom(row.text(5)),
                                  row.text(6),
                                  row.integer(7),
                                  row.integer(8),
                                  {}});
    }
    for (Operation &operation : operations)
        operation.steps = TRY(readSteps(db, operation.id));
    return operations;
}

} // namespace

Status beginOperation(Database &db, const Operation &operation)
{
    return db.transaction([&]() -> Status {
        const std::int64_t project = TRY(projectId(db, operation.project));
        const std::int64_t now = unixMillis();
        return named(
            run(db, kInsert, operation.id, project, operation.type, operation.object, operation.arguments, now, now),
            "operation " + quoted(operation.id) + " already exists");
    });
}

Status addOperationStep(Database &db, const std::string &id, const OperationStep &step)
{
    return db.transaction(
        [&]() -> Status {
            TRY(change(db, missing(id), "UPDATE operations SET updated_at=? WHERE id=?", unixMillis(), id));
            return run(db, kInsertStep, id, step.name, step.undo);
        },
        Durability::Relaxed);
}

Status finishOperation(Database &db, const std::string &id, OperationStatus status, const std::string &error)
{
    return db.transaction([&]() -> Status {
        TRY(change(db, missing(id), kFinish, statusName(status), error, unixMillis(), id));
        return run(db, "DELETE FROM operation_steps WHERE operation_id=?", id);
    });
}

Result<Operation> findOperation(Database &db, const std::string &id)
{
    return onlyRow(select(db, "WHERE o.id=?", id), missing(id));
}

Result<std::vector<Operation>> listUnfinished(Database &db) { return select(db, "WHERE o.status='running'"); }

Status pruneOperations(Database &db, std::int64_t before)
{
    return db.transaction(
        [&] { return run(db, "DELETE FROM operations WHERE status<>'running' AND updated_at<?", before); },
        Durability::Relaxed);
}

} // namespace lxmgr::store
