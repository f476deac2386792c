// index.yaml of an exported storage volume, in the form LXD and Incus write and read.
#pragma once

#include "config/volume_config.h"

#include <string>
#include <string_view>

namespace lxmgr::config
{

struct VolumeExportIndex {
    std::string poolDriver;
    std::string pool;
    VolumeDocument volume;
    bool operator==(const VolumeExportIndex &) const = default;
};

/// Invalid with file:line:column; Unsupported: an instance, a volume of blocks, or the stream of a storage driver. Names are
/// checked (they become paths and rows); config is not, it is read as it was kept.
Result<VolumeExportIndex> readVolumeExport(std::string_view index);
std::string writeVolumeExport(const VolumeExportIndex &index);

} // namespace lxmgr::config
