// Snapshots of instances as the wire has them.
#pragma once

#include "api/fields.h"
#include "api/json.h"
#include "api/time.h"
#include "api/types.h"

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

struct Snapshot {
    std::string name; ///< Short: "s1".
    std::string architecture;
    StringMap config;
    Devices devices;
    bool ephemeral = false;
    std::vector<std::string> profiles;
    bool stateful = false;
    Time createdAt, expiresAt, lastUsedAt;
    StringMap expandedConfig;
    Devices expandedDevices;
    std::int64_t size = -1;
};
template <> struct Fields<Snapshot> {
    using T = Snapshot;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},
        Field{"architecture", &T::architecture},
        Field{"config", &T::config},
        Field{"devices", &T::devices},
        Field{"ephemeral", &T::ephemeral},
        Field{"profiles", &T::profiles},
        Field{"stateful", &T::stateful},
        Field{"created_at", &T::createdAt},
        Field{"expires_at", &T::expiresAt},
        Field{"last_used_at", &T::lastUsedAt},
        Field{"expanded_config", &T::expandedConfig},
        Field{"expanded_devices", &T::expandedDevices},
        Field{"size", &T::size},
    };
};

/// POST …/snapshots
struct SnapshotsPost {
    std::string name; ///< "": as snapshots.pattern says.
    bool stateful = false;
    std::optional<Time> expiresAt; ///< Null: as snapshots.expiry says; year 1: never.
};
template <> struct Fields<SnapshotsPost> {
    using T = SnapshotsPost;
    static constexpr auto rows = std::tuple{Field{"name", &T::name}, Field{"stateful", &T::stateful},
                                            Field{"expires_at", &T::expiresAt}};
};

/// Where a snapshot is mounted on the host.
struct SnapshotMount {
    std::string path;
};
template <> struct Fields<SnapshotMount> {
    static constexpr auto rows = std::tuple{Field{"path", &SnapshotMount::path}};
};

/// PUT and PATCH …/snapshots/<s>
struct SnapshotPut {
    std::optional<Time> expiresAt;
};
template <> struct Fields<SnapshotPut> {
    static constexpr auto rows = std::tuple{Field{"expires_at", &SnapshotPut::expiresAt}};
};

/// POST …/snapshots/<s>
struct SnapshotPost {
    std::string name;
    bool migration = false, live = false;
    Json target;
};
template <> struct Fields<SnapshotPost> {
    using T = SnapshotPost;
    static constexpr auto rows = std::tuple{Field{"name", &T::name}, Field{"migration", &T::migration},
                                            Field{"live", &T::live}, Field{"target", &T::target}};
};

} // namespace lxmgr::api
