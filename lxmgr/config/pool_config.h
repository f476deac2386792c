// What a storage pool's config keys say, typed; which keys a driver knows is in pool_keys.h.
#pragma once

#include "config/keys.h"

namespace lxmgr::config
{

struct PoolConfig {
    std::optional<std::string> source; ///< An absolute path; of lvm also a volume group, of zfs a zpool or dataset.
    std::optional<bool> wipe;
    std::optional<Bytes> size;
    std::optional<std::string> mountOptions;
    std::optional<std::string> volumeGroup;
    std::optional<std::string> thinPool;
    std::optional<bool> useThinPool;
    std::optional<Bytes> thinPoolMetadata;
    std::optional<std::string> treeFileSystem; ///< "ext4" or "xfs".
    std::optional<std::string> treeOptions;
    std::optional<std::string> zpool;
    std::optional<bool> zpoolExport;
    std::optional<bool> cloneCopy;
    std::map<std::string, std::string> user;
    StringMap volume; ///< Keys of new volumes, without "volume."; checked.
    bool operator==(const PoolConfig &) const = default;
};

/// Checks and types every key of a pool of `driver`; empty values count as unset. Invalid or Unsupported with all that
/// is wrong, each by its name, with the nearest key where it is unknown.
Result<PoolConfig> parsePoolConfig(const std::string &driver, const StringMap &config);

/// pool.yaml: what lies in a pool's folder so that it can be told from other folders and taken over by another host.
struct PoolDocument {
    std::string name;
    std::string driver;
    std::string description;
    StringMap config; ///< As it was kept; where it lies ("source") is not in it.
    bool operator==(const PoolDocument &) const = default;
};
inline constexpr const char *kPoolFile = "pool.yaml";
std::string writePoolDocument(const PoolDocument &document);
/// Corrupt with file:line:column; Unsupported where a newer lxmgr wrote it in another form.
Result<PoolDocument> readPoolDocument(std::string_view text, const std::string &file);

} // namespace lxmgr::config
