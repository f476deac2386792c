// Instances as the wire has them: described, created, changed.
#pragma once

#include "api/fields.h"
#include "api/instance_state.h"
#include "api/json.h"
#include "api/snapshots.h"
#include "api/status_codes.h"
#include "api/time.h"
#include "api/types.h"

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

struct Instance {
    std::string name, description;
    std::string type = "container";
    std::string architecture;
    std::string status = "Stopped";
    int statusCode = 102;
    Time createdAt, lastUsedAt = Time::never();
    bool ephemeral = false, stateful = false;
    std::vector<std::string> profiles;
    StringMap config;
    Devices devices;
    StringMap expandedConfig;
    Devices expandedDevices;
    std::string location = "none";
    std::string project = "default";

    void setStatus(StatusCode code)
    {
        status = statusWord(code);
        statusCode = static_cast<int>(code);
    }
};
template <> struct Fields<Instance> {
    using T = Instance;
    static constexpr auto rows = std::tuple{
        Field{"architecture", &T::architecture},
        Field{"config", &T::config},
        Field{"devices", &T::devices},
        Field{"ephemeral", &T::ephemeral},
        Field{"profiles", &T::profiles},
        Field{"stateful", &T::stateful},
        Field{"description", &T::description},
        Field{"created_at", &T::createdAt},
        Field{"expanded_config", &T::expandedConfig},
        Field{"expanded_devices", &T::expandedDevices},
        Field{"name", &T::name},
        Field{"status", &T::status},
        Field{"status_code", &T::statusCode},
        Field{"last_used_at", &T::lastUsedAt},
        Field{"location", &T::location},
        Field{"type", &T::type},
        Field{"project", &T::project},
    };
};

/// An export that the server keeps.
struct InstanceBackup {
    std::string name;
    Time createdAt, expiresAt;
    bool instanceOnly = false, containerOnly = false, optimizedStorage = false;
    std::string compressionAlgorithm; ///< Ours, as `size`.
    std::int64_t size = 0;            ///< Bytes.
};
template <> struct Fields<InstanceBackup> {
    using T = InstanceBackup;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},
        Field{"created_at", &T::createdAt},
        Field{"expires_at", &T::expiresAt},
        Field{"instance_only", &T::instanceOnly},
        Field{"container_only", &T::containerOnly},
        Field{"optimized_storage", &T::optimizedStorage},
        Field{"compression_algorithm", &T::compressionAlgorithm},
        Field{"size", &T::size},
    };
};

/// `recursion=2` of a list, `recursion=1` of one.
struct InstanceFull : Instance {
    std::optional<std::vector<InstanceBackup>> backups; ///< Null: none.
    std::optional<InstanceState> state;
    std::optional<std::vector<Snapshot>> snapshots;
};
template <> struct Fields<InstanceFull> {
    using T = InstanceFull;
    static constexpr auto rows =
        std::tuple_cat(Fields<Instance>::rows, std::tuple{Field{"backups", &T::backups}, Field{"state", &T::state},
                                                          Field{"snapshots", &T::snapshots}});
};

struct InstanceSource {
    std::string type; ///< "image", "none", "copy", "migration"
    std::string alias, fingerprint;
    std::optional<StringMap> properties;
    std::string server, protocol, mode, secret, certificate;
    std::string source, project; ///< copy
    bool instanceOnly = false, containerOnly = false, refresh = false, live = false, allowInconsistent = false;
    std::string baseImage;
    std::string operation;                     ///< migration
    std::optional<StringMap> secrets;          ///< migration
    std::optional<StringMap> options;          ///< Ours (lxmgr_templates): mirror, suite.
};
template <> struct Fields<InstanceSource> {
    using T = InstanceSource;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"type", &T::type},
        Field{"alias", &T::alias, E},
        Field{"fingerprint", &T::fingerprint, E},
        Field{"properties", &T::properties, E},
        Field{"server", &T::server, E},
        Field{"protocol", &T::protocol, E},
        Field{"mode", &T::mode, E},
        Field{"secret", &T::secret, E},
        Field{"certificate", &T::certificate, E},
        Field{"source", &T::source, E},
        Field{"project", &T::project, E},
        Field{"instance_only", &T::instanceOnly, E},
        Field{"container_only", &T::containerOnly, E},
        Field{"refresh", &T::refresh, E},
        Field{"live", &T::live, E},
        Field{"allow_inconsistent", &T::allowInconsistent, E},
        Field{"base-image", &T::baseImage, E},
        Field{"operation", &T::operation, E},
        Field{"secrets", &T::secrets, E},
        Field{"options", &T::options, E},
    };
};

/// POST /1.0/instances
struct InstancesPost {
    std::string name, description, type, architecture, instanceType;
    std::optional<std::vector<std::string>> profiles; ///< Null: the image's or "default". Empty list: none.
    StringMap config;
    Devices devices;
    bool ephemeral = false, stateful = false, start = false;
    std::string restore;
    InstanceSource source;
};
template <> struct Fields<InstancesPost> {
    using T = InstancesPost;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},
        Field{"description", &T::description},
        Field{"type", &T::type},
        Field{"architecture", &T::architecture},
        Field{"instance_type", &T::instanceType},
        Field{"profiles", &T::profiles},
        Field{"config", &T::config},
        Field{"devices", &T::devices},
        Field{"ephemeral", &T::ephemeral},
        Field{"stateful", &T::stateful},
        Field{"start", &T::start},
        Field{"restore", &T::restore, OmitEmpty{}},
        Field{"source", &T::source},
    };
};

/// PUT /1.0/instances/<n>; PATCH takes the same, where a missing member stays as it is.
struct InstancePut {
    std::optional<std::string> architecture, description;
    std::optional<StringMap> config;
    std::optional<Devices> devices;
    std::optional<bool> ephemeral, stateful;
    std::optional<std::vector<std::string>> profiles;
    std::string restore; ///< A snapshot: nothing else counts then, but
    std::vector<std::string> restoreFiles; ///< only these files and folders of it.
};
template <> struct Fields<InstancePut> {
    using T = InstancePut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"architecture", &T::architecture, E}, Field{"description", &T::description, E},
        Field{"config", &T::config, E},             Field{"devices", &T::devices, E},
        Field{"ephemeral", &T::ephemeral, E},       Field{"stateful", &T::stateful, E},
        Field{"profiles", &T::profiles, E},         Field{"restore", &T::restore, E},
        Field{"restore_files", &T::restoreFiles, E},
    };
};

/// POST /1.0/instances/<n>: rename, or move where `migration` is set.
struct InstancePost {
    std::string name, pool, project;
    bool migration = false, live = false, instanceOnly = false, containerOnly = false, allowInconsistent = false;
    Json target;
};
template <> struct Fields<InstancePost> {
    using T = InstancePost;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},
        Field{"pool", &T::pool},
        Field{"project", &T::project},
        Field{"migration", &T::migration},
        Field{"live", &T::live},
        Field{"instance_only", &T::instanceOnly},
        Field{"container_only", &T::containerOnly},
        Field{"allow_inconsistent", &T::allowInconsistent},
        Field{"target", &T::target},
    };
};

/// PUT …/state
struct InstanceStatePut {
    std::string action;       ///< start, stop, restart, freeze, unfreeze
    std::int64_t timeout = 0; ///< s; -1 for ever.
    bool force = false, stateful = false;
};
template <> struct Fields<InstanceStatePut> {
    using T = InstanceStatePut;
    static constexpr auto rows = std::tuple{Field{"action", &T::action}, Field{"timeout", &T::timeout},
                                            Field{"force", &T::force}, Field{"stateful", &T::stateful}};
};

/// PUT /1.0/instances
struct InstancesPut {
    std::optional<InstanceStatePut> state;
};
template <> struct Fields<InstancesPut> {
    static constexpr auto rows = std::tuple{Field{"state", &InstancesPut::state}};
};

struct InstanceBackupsPost {
    std::string name;
    Time expiresAt;
    bool instanceOnly = false, containerOnly = false, optimizedStorage = false;
    std::string compressionAlgorithm;
};
template <> struct Fields<InstanceBackupsPost> {
    using T = InstanceBackupsPost;
    static constexpr auto rows =
        std::tuple{Field{"name", &T::name},
                   Field{"expires_at", &T::expiresAt},
                   Field{"instance_only", &T::instanceOnly},
                   Field{"container_only", &T::containerOnly},
                   Field{"optimized_storage", &T::optimizedStorage},
                   Field{"compression_algorithm", &T::compressionAlgorithm}};
};

struct InstanceRebuildPost {
    InstanceSource source;
};
template <> struct Fields<InstanceRebuildPost> {
    static constexpr auto rows = std::tuple{Field{"source", &InstanceRebuildPost::source}};
};

/// The `metadata.yaml` of an image or instance (…/metadata).
struct ImageMetadata {
    std::string architecture;
    std::int64_t creationDate = 0, expiryDate = 0;
    StringMap properties;
    Json templates;
};
template <> struct Fields<ImageMetadata> {
    using T = ImageMetadata;
    static constexpr auto rows =
        std::tuple{Field{"architecture", &T::architecture}, Field{"creation_date", &T::creationDate},
                   Field{"expiry_date", &T::expiryDate}, Field{"properties", &T::properties},
                   Field{"templates", &T::templates}};
};

} // namespace lxmgr::api
