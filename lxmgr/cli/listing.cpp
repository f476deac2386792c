#include "cli/listing.h"

namespace lxmgr::cli
{

std::vector<ColumnSet> columnSets()
{
    return {instanceColumns(), snapshotColumns(), undoColumns(),   exportColumns(), backupColumns(), imageColumns(),  aliasColumns(),          profileColumns(),
            networkColumns(),  storageColumns(),  volumeColumns(), volumeSnapshotColumns(), operationColumns()};
}

} // namespace lxmgr::cli
