// What the keys of a project say, typed; the table is in project_keys.h.
#pragma once

#include "config/keys.h"

namespace lxmgr::config
{

/// restricted.devices.disk.paths: folders, with commas between.
struct PathList {
    std::vector<std::string> paths; ///< Each as AbsolutePath has it.
    bool operator==(const PathList &) const = default;
};
/// restricted.idmap.*: ids of the host, one by one or as ranges ("1000,2000-2999"), never 0.
struct IdList {
    struct Span {
        std::uint32_t first = 0, count = 0;
        bool operator==(const Span &) const = default;
    };
    std::vector<Span> spans;
    bool operator==(const IdList &) const = default;
    /// Whether one of the spans has all of them.
    bool contains(std::uint32_t first, std::uint32_t count) const;
};

template <> struct Codec<PathList> {
    static constexpr std::string_view kType = "absolute paths";
    static Result<PathList> parse(std::string_view text);
    static std::string format(const PathList &value);
};
template <> struct Codec<IdList> {
    static constexpr std::string_view kType = "ids";
    static Result<IdList> parse(std::string_view text);
    static std::string format(const IdList &value);
};

struct ProjectConfig {
    std::optional<bool> ownImages, ownNetworks, ownProfiles, ownVolumes; ///< features.*
    std::optional<std::uint32_t> limitsContainers, limitsCpu, limitsInstances, limitsNetworks, limitsProcesses, limitsVirtualMachines;
    std::optional<Bytes> limitsDisk, limitsMemory;
    std::map<std::string, Bytes> limitsDiskPool; ///< By the name of the pool.
    std::optional<bool> restricted;
    std::optional<std::string> backups, snapshots;
    std::optional<std::string> interception, lowlevel, nesting, privilege; ///< restricted.containers.*
    std::optional<std::string> disk, gpu, infiniband, nic, proxy, unixBlock, unixChar, unixHotplug, usb; ///< restricted.devices.*
    std::optional<PathList> diskPaths;       ///< restricted.devices.disk.paths
    std::optional<IdList> users, groups;     ///< restricted.idmap.*
    std::optional<std::string> absent;       ///< restricted.* of what no instance can have here: "block".
    std::optional<std::string> imageServers; ///< restricted.images.servers
    std::optional<std::string> networks; ///< restricted.networks.access
    std::map<std::string, std::string> user;
    bool operator==(const ProjectConfig &) const = default;
};

/// The folder of restricted.devices.disk.paths that the source of a disk lies below, "" where it may lie anywhere. Forbidden.
Result<std::string> folderAbove(const ProjectConfig &project, const std::string &source);
/// Checks and types every key; Invalid or Unsupported with all that is wrong, each by its name.
Result<ProjectConfig> parseProjectConfig(const StringMap &config);

} // namespace lxmgr::config
