// Types of operations on custom volumes in the journal that recovery completes or takes back.
#pragma once

#include "store/operations.h"

namespace lxmgr::instances
{

inline constexpr const char *kVolumeRename = "volume-rename";   ///< <pool>/<to>, or of a snapshot <pool>/<from>/<to>
inline constexpr const char *kVolumeRefresh = "volume-refresh"; ///< <pool>/<beside>/<pool>/<project>/<name> of the source[/files]
inline constexpr const char *kVolumeRenew = "volume-renew";     ///< <pool>/<beside>
inline constexpr const char *kVolumeMove = "volume-move";       ///< <from pool>/<to pool>/<project>/<name>
inline constexpr const char *kVolumeResize = "volume-resize";   ///< <pool>

inline bool isOfVolumes(const store::Operation &journal)
{
    return journal.type == kVolumeRename || journal.type == kVolumeRefresh || journal.type == kVolumeRenew || journal.type == kVolumeMove ||
           journal.type == kVolumeResize;
}

} // namespace lxmgr::instances
