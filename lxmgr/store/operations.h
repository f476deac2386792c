// Tables operations and operation_steps: the journal that makes work whole or undone after a crash.
#pragma once

#include "store/projects.h"

namespace lxmgr::store
{

enum class OperationStatus { Running, Success, Failure, Cancelled };

struct OperationStep {
    std::string name; ///< "volume".
    std::string undo; ///< What undoing needs, JSON of the writer's choosing.
};

struct Operation {
    std::string id; ///< UUID.
    std::string project = kDefaultProject;
    std::string type;      ///< "instance-create".
    std::string object;    ///< Name of what it holds.
    std::string arguments; ///< JSON, for completing it after a crash.
    OperationStatus status = OperationStatus::Running;
    std::string error; ///< Message of a failed one.
    std::int64_t createdAt = 0;
    std::int64_t updatedAt = 0;
    std::vector<OperationStep> steps; ///< In the order they were begun.
};

/// Before the first side effect; fills the times.
Status beginOperation(Database &db, const Operation &operation);
/// Before the step's own side effect. Relaxed: see Durability (begin and finish are Full).
Status addOperationStep(Database &db, const std::string &id, const OperationStep &step);
/// The end; the steps are dropped, the row stays for whoever asks until pruned.
Status finishOperation(Database &db, const std::string &id, OperationStatus status, const std::string &error = {});
/// NotFound.
Result<Operation> findOperation(Database &db, const std::string &id);
/// What the daemon left half done, oldest first, with steps.
Result<std::vector<Operation>> listUnfinished(Database &db);
/// Forgets ended ones last touched before `before`.
Status pruneOperations(Database &db, std::int64_t before);

} // namespace lxmgr::store
