// index.yaml and backup.yaml of an exported instance, in the form LXD and Incus write and read.
#pragma once

#include "config/yaml.h"

namespace lxmgr::config
{

/// An instance as it was, or one of its snapshots.
struct ExportedInstance {
    std::string name; ///< Of a snapshot: its own, without the instance's.
    std::string project;
    std::int64_t createdAt = 0;  ///< Unix milliseconds, all three.
    std::int64_t lastUsedAt = 0; ///< 0: never.
    std::int64_t expiresAt = 0;  ///< Of a snapshot; 0: never.
    InstanceDocument definition;
    StringMap expandedConfig;
    DeviceMap expandedDevices;
    bool operator==(const ExportedInstance &) const = default;
};

struct ExportIndex {
    std::string name;
    std::string poolDriver;
    std::string pool;
    bool optimized = false; ///< Its trees are streams of that driver.
    ExportedInstance instance;
    std::vector<ExportedInstance> snapshots; ///< The oldest first.
    std::vector<ProfileDocument> profiles;   ///< As they were, in the instance's order.
    bool operator==(const ExportIndex &) const = default;
};

/// Whether `index`, the text of index.yaml, holds the whole configuration. Older exports have it in the instance's
/// backup.yaml.
Result<bool> exportHasConfig(std::string_view index, const std::string &file);
/// `backup` is the text of the instance's backup.yaml, read where index.yaml holds no configuration.
/// Invalid with file:line:column; Unsupported: a virtual machine or a volume.
/// Names are checked (they become paths and rows); config and devices are not, they are read as they were kept.
Result<ExportIndex> readExport(std::string_view index, std::string_view backup);
std::string writeExportIndex(const ExportIndex &index);
/// Of an optimized export: the subvolumes that its streams are of.
std::string writeStreamHeader(const ExportIndex &index);
/// Unsupported: there are subvolumes inside the instance's own. Invalid with file:line:column.
Status checkStreamHeader(std::string_view header);
/// backup.yaml of the instance; with `snapshot` that of one of its snapshots.
std::string writeExportBackup(const ExportIndex &index, const ExportedInstance *snapshot = nullptr);

} // namespace lxmgr::config
