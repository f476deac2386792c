// The columns of each list command, gathered for help, manual and completion.
#pragma once

#include "cli/output.h"

namespace lxmgr::cli
{

ColumnSet instanceColumns();  // list.cpp
ColumnSet snapshotColumns();  // snapshots.cpp
ColumnSet exportColumns();    // kept_exports.cpp
ColumnSet backupColumns();    // backups.cpp
ColumnSet undoColumns();      // undo.cpp
ColumnSet imageColumns();     // images.cpp
ColumnSet aliasColumns();     // images.cpp
ColumnSet profileColumns();   // profiles.cpp
ColumnSet networkColumns();   // networks.cpp
ColumnSet leaseColumns();
ColumnSet forwardColumns();   // network_rules.cpp
ColumnSet aclColumns();
ColumnSet volumeColumns();         // volumes.cpp
ColumnSet volumeSnapshotColumns(); // volumes.cpp
ColumnSet storageColumns();   // storage.cpp
ColumnSet remoteColumns();    // remote.cpp
ColumnSet certificateColumns(); // trust.cpp
ColumnSet tokenColumns();
ColumnSet projectColumns();   // projects.cpp
ColumnSet projectResourceColumns();
ColumnSet operationColumns(); // operations.cpp
ColumnSet warningColumns();   // warnings.cpp

} // namespace lxmgr::cli
