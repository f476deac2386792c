#include "cli/listing.h"

#include "cli/volume_handlers.h"

namespace lxmgr::cli
{

std::vector<ColumnSet> columnSets()
{
    return {instanceColumns(), snapshotColumns(), undoColumns(),   certificateColumns(), tokenColumns(), projectColumns(), projectResourceColumns(),
            exportColumns(),   volumeExportColumns(),
            backupColumns(),   imageColumns(),    aliasColumns(),  profileColumns(),
            networkColumns(),  leaseColumns(),    forwardColumns(), aclColumns(),
            storageColumns(),  volumeColumns(), volumeSnapshotColumns(), operationColumns(), warningColumns(), remoteColumns()};
}

} // namespace lxmgr::cli
