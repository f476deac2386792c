// What an instance's config keys say, typed. Past parseInstanceConfig nobody looks at key names again.
#pragma once

#include "config/keys.h"
#include "config/snapshots.h"

#include <span>

namespace lxmgr::config
{

/// Unset keys are nullopt; what that means is the reader's to say (the key table states it for people).
struct InstanceConfig {
    std::optional<bool> autorestart;
    std::optional<bool> autostart; ///< Unset: as it was when the daemon's host went down.
    std::optional<Seconds> autostartDelay;
    std::optional<std::int32_t> autostartPriority;
    std::optional<ShutdownAction> hostShutdownAction;
    std::optional<Seconds> hostShutdownTimeout;
    std::optional<std::int32_t> stopPriority;

    std::optional<std::string> cloudUser, cloudVendor, cloudNetwork; ///< Expanded ones are read by CloudTexts.

    std::map<std::string, std::string> environment; ///< Name without "environment.".
    std::map<std::string, std::string> image;
    std::map<std::string, std::string> user;
    std::map<std::string, std::string> volatileKeys;
    std::optional<ModuleList> kernelModules;
    std::map<std::string, std::string> sysctls; ///< "net.ipv4.ip_forward".

    std::optional<CpuLimit> cpu;
    std::optional<CpuAllowance> cpuAllowance;
    std::optional<NodeList> cpuNodes;
    std::optional<std::uint32_t> cpuPriority;
    std::optional<MemoryLimit> memory;
    std::optional<MemoryEnforce> memoryEnforce;
    std::optional<MemorySwap> memorySwap;
    std::optional<std::int32_t> oomPriority;
    std::optional<Bytes> hugepages64KB, hugepages1MB, hugepages2MB, hugepages1GB;
    std::optional<std::uint32_t> diskPriority;
    std::optional<std::uint32_t> swapPriority;
    std::optional<std::uint32_t> networkPriority;
    std::optional<std::uint32_t> processes;
    std::map<std::string, KernelLimit> kernelLimits; ///< "nofile".

    std::optional<bool> devlxd, guestApi; ///< One key by its two names.
    std::optional<bool> nesting;
    std::optional<bool> privileged;
    std::optional<bool> protectionDelete;
    std::optional<bool> protectionShift; ///< Kept for everyone: owners on disk are never changed at a start.
    std::optional<bool> protectionStart;
    std::optional<std::uint32_t> idmapBase;
    std::optional<bool> idmapIsolated;
    std::optional<std::uint32_t> idmapSize;
    std::optional<IdMapList> rawIdmap;
    std::optional<bool> interceptMknod, interceptMount, interceptScheduler, interceptSetxattr, interceptSysinfo;
    std::optional<FileSystemList> mountAllowed;
    std::optional<FuseList> mountFuse;
    std::optional<bool> mountShift;
    std::optional<LineList> syscallsAllow;
    std::optional<LineList> syscallsDeny;
    std::optional<bool> syscallsDenyCompat;
    std::optional<bool> syscallsDenyDefault;

    std::optional<SnapshotExpiry> snapshotsExpiry;
    std::optional<SnapshotExpiry> snapshotsExpiryManual;
    std::optional<SnapshotPattern> snapshotsPattern;
    std::optional<ScheduleList> snapshotsSchedule;
    std::optional<bool> snapshotsScheduleStopped;

    bool operator==(const InstanceConfig &) const = default;
};

/// Whose keys: a profile may not have image.* and volatile.*.
enum class Holder { Instance, Profile };

/// Checks and types every key; empty values count as unset. Invalid or Unsupported with all that is wrong, each with
/// its key, the value quoted, and the nearest key where the name is unknown.
Result<InstanceConfig> parseInstanceConfig(const StringMap &config, Holder holder = Holder::Instance);
/// Checks one key alone ("config set"): the same errors.
Status checkInstanceKey(const std::string &name, const std::string &value, Holder holder = Holder::Instance);
/// The keys again; parseInstanceConfig(formatInstanceConfig(x)) == x.
StringMap formatInstanceConfig(const InstanceConfig &config);

/// volatile.* is the daemon's: a change a person asks for may keep or drop such keys, not add or alter them.
Status checkVolatileKept(const StringMap &before, const StringMap &after);

/// What copies take along: all but volatile.*, of which `volatile.base_image` stays.
StringMap withoutVolatile(const StringMap &config);

/// Row of `name` ("limits.memory", "user.x" gives the row of "user.*"), or nullptr.
const KeyInfo *findInstanceKey(std::string_view name);
/// True where a change of these keys takes effect on a running instance at once.
bool appliesLive(std::string_view name);

} // namespace lxmgr::config
