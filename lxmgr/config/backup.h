// backup.yaml: what lies beside each instance so that a lost database can be rebuilt from the pools.
#pragma once

#include "config/yaml.h"

namespace lxmgr::config
{

struct BackupSnapshot {
    std::string name;
    std::int64_t createdAt = 0; ///< Unix milliseconds.
    std::int64_t expiresAt = 0; ///< 0: never.
    std::string schedule;       ///< Which one made it, "" for none.
    InstanceDocument instance;  ///< As it was then.
    DeviceMap expandedDevices;
    StringMap expandedConfig;
    bool operator==(const BackupSnapshot &) const = default;
};

struct BackupDocument {
    std::string project;
    std::string name;
    std::int64_t createdAt = 0; ///< Unix milliseconds.
    InstanceDocument instance;
    std::uint32_t idBase = 0; ///< 0 with idSize 0: privileged.
    std::uint32_t idSize = 0;
    std::string pool;
    std::string poolDriver;
    std::string image; ///< Fingerprint, "" for none.
    DeviceMap expandedDevices;
    StringMap expandedConfig;
    std::vector<ProfileDocument> profiles; ///< As they were, in the instance's order.
    std::vector<BackupSnapshot> snapshots; ///< The oldest first.
    bool operator==(const BackupDocument &) const = default;
};

std::string writeBackup(const BackupDocument &document);
/// Corrupt with file:line:column where it is not what writeBackup writes; Unsupported where a newer lxmgr wrote it in
/// another form. Names are checked (they become paths); config and devices are not, they are read as they were kept.
Result<BackupDocument> readBackup(std::string_view text, const std::string &file);

} // namespace lxmgr::config
