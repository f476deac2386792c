// Rows read back from a backup document: of an instance, and of the snapshots whose files are there.
#pragma once

#include "config/backup.h"
#include "storage/driver.h"
#include "store/instances.h"
#include "store/snapshots.h"

#include <vector>

namespace lxmgr::instances
{

store::Instance rowOf(const config::BackupDocument &document, const std::string &pool);
store::Snapshot rowOf(const config::BackupSnapshot &from);
/// The instance as the document has it, as if it were a snapshot.
store::Snapshot snapshotOf(const config::BackupDocument &document);
/// `row` with the definition that the snapshot holds; what the daemon remembers (addresses, id range) stays the instance's own.
Result<store::Instance> rowAsIn(store::Database &db, store::Instance row, const store::Snapshot &snapshot);
/// Those of the volume `name` in `pool`. One that the document does not know (its making was just through) has the
/// instance's own definition.
Result<std::vector<store::Snapshot>> snapshotsOf(storage::Driver &pool, const config::BackupDocument &document, const std::string &name);

} // namespace lxmgr::instances
