// What a custom volume's config keys say, typed, and the document that lies beside each.
#pragma once

#include "config/keys.h"
#include "config/snapshots.h"
#include "config/yaml.h"

namespace lxmgr::config
{

struct VolumeConfig {
    std::optional<std::uint32_t> uid, gid; ///< Of its top folder when it is made.
    std::optional<FileMode> mode;
    std::optional<bool> shifted;
    std::optional<bool> unmapped; ///< Owners are the host's numbers.
    std::optional<Bytes> size; ///< The most it may take; 0: as much as the pool has.
    std::optional<SnapshotExpiry> snapshotsExpiry;
    std::optional<SnapshotExpiry> snapshotsExpiryManual;
    std::optional<SnapshotPattern> snapshotsPattern;
    std::optional<ScheduleList> snapshotsSchedule;
    std::map<std::string, std::string> user;
    bool operator==(const VolumeConfig &) const = default;
};

/// Checks and types every key; empty values count as unset. Invalid or Unsupported with all that is wrong.
Result<VolumeConfig> parseVolumeConfig(const StringMap &config);

struct VolumeSnapshotDocument {
    std::string name;
    std::string description;
    std::int64_t createdAt = 0; ///< Unix milliseconds.
    std::int64_t expiresAt = 0; ///< 0: never.
    StringMap config;
    std::string schedule; ///< That asked for it, "" for none.
    bool operator==(const VolumeSnapshotDocument &) const = default;
};
/// volume.yaml: what a lost database can be rebuilt from, and a deletion undone.
struct VolumeDocument {
    std::string project;
    std::string name;
    std::string description;
    std::int64_t createdAt = 0;
    StringMap config;
    std::vector<VolumeSnapshotDocument> snapshots; ///< The oldest first.
    std::string uuid;
    bool operator==(const VolumeDocument &) const = default;
};
inline constexpr const char *kVolumeFile = "volume.yaml";
std::string writeVolumeDocument(const VolumeDocument &document);
/// Corrupt with file:line:column; Unsupported where a newer lxmgr wrote it in another form. Names are checked.
Result<VolumeDocument> readVolumeDocument(std::string_view text, const std::string &file);

} // namespace lxmgr::config
