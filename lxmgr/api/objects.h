// The resources of the REST API as structs, and one row per member that says its name on the wire.
// Objects without "Post"/"Put" in their name are answers; those with it are request bodies.
#pragma once

#include "api/fields.h"
#include "api/json.h"
#include "api/status_codes.h"
#include "api/time.h"

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

using StringMap = std::map<std::string, std::string>;
using Devices = std::map<std::string, StringMap>;

// --- server ---------------------------------------------------------------------------------------------------------

struct StorageDriver {
    std::string name, version;
    bool remote = false;
    bool operator==(const StorageDriver &) const = default;
};
template <> struct Fields<StorageDriver> {
    static constexpr auto rows = std::tuple{Field{"Name", &StorageDriver::name}, Field{"Version", &StorageDriver::version},
                                            Field{"Remote", &StorageDriver::remote}};
};

struct Environment {
    std::vector<std::string> addresses, architectures;
    std::string certificate, certificateFingerprint;
    std::string driver = "lxmgr", driverVersion;
    std::string firewall;
    std::string kernel, kernelArchitecture;
    StringMap kernelFeatures;
    std::string kernelVersion;
    StringMap lxcFeatures;
    std::string osName, osVersion;
    std::string project = "default";
    std::string server = "lxmgr";
    bool serverClustered = false;
    std::string serverEventMode = "full-mesh";
    std::string serverName;
    std::int64_t serverPid = 0;
    std::string serverVersion;
    std::string storage, storageVersion;
    std::vector<StorageDriver> storageSupportedDrivers;
    bool operator==(const Environment &) const = default;
};
template <> struct Fields<Environment> {
    using T = Environment;
    static constexpr auto rows = std::tuple{
        Field{"addresses", &T::addresses},
        Field{"architectures", &T::architectures},
        Field{"certificate", &T::certificate},
        Field{"certificate_fingerprint", &T::certificateFingerprint},
        Field{"driver", &T::driver},
        Field{"driver_version", &T::driverVersion},
        Field{"firewall", &T::firewall},
        Field{"kernel", &T::kernel},
        Field{"kernel_architecture", &T::kernelArchitecture},
        Field{"kernel_features", &T::kernelFeatures},
        Field{"kernel_version", &T::kernelVersion},
        Field{"lxc_features", &T::lxcFeatures},
        Field{"os_name", &T::osName},
        Field{"os_version", &T::osVersion},
        Field{"project", &T::project},
        Field{"server", &T::server},
        Field{"server_clustered", &T::serverClustered},
        Field{"server_event_mode", &T::serverEventMode},
        Field{"server_name", &T::serverName},
        Field{"server_pid", &T::serverPid},
        Field{"server_version", &T::serverVersion},
        Field{"storage", &T::storage},
        Field{"storage_version", &T::storageVersion},
        Field{"storage_supported_drivers", &T::storageSupportedDrivers},
    };
};

struct Server {
    std::vector<std::string> apiExtensions;
    std::string apiStatus = "stable", apiVersion = "1.0", auth = "trusted";
    bool isPublic = false;
    std::vector<std::string> authMethods = {"tls"};
    std::string authUserName, authUserMethod;
    Json config = Json::object();
    std::optional<Environment> environment;
};
template <> struct Fields<Server> {
    using T = Server;
    static constexpr auto rows = std::tuple{
        Field{"config", &T::config},
        Field{"api_extensions", &T::apiExtensions},
        Field{"api_status", &T::apiStatus},
        Field{"api_version", &T::apiVersion},
        Field{"auth", &T::auth},
        Field{"public", &T::isPublic},
        Field{"auth_methods", &T::authMethods},
        Field{"auth_user_name", &T::authUserName},
        Field{"auth_user_method", &T::authUserMethod},
        Field{"environment", &T::environment},
    };
};

struct ServerPut {
    Json config;
};
template <> struct Fields<ServerPut> {
    static constexpr auto rows = std::tuple{Field{"config", &ServerPut::config}};
};

// --- instances ------------------------------------------------------------------------------------------------------

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

struct CpuState {
    std::int64_t usage = 0;         ///< ns
    std::int64_t allocatedTime = 0; ///< ns of CPU per second of wall clock it may use.
};
template <> struct Fields<CpuState> {
    static constexpr auto rows =
        std::tuple{Field{"usage", &CpuState::usage}, Field{"allocated_time", &CpuState::allocatedTime}};
};

struct MemoryState {
    std::int64_t usage = 0, usagePeak = 0, total = 0, swapUsage = 0, swapUsagePeak = 0;
};
template <> struct Fields<MemoryState> {
    using T = MemoryState;
    static constexpr auto rows = std::tuple{
        Field{"usage", &T::usage},
        Field{"usage_peak", &T::usagePeak},
        Field{"total", &T::total},
        Field{"swap_usage", &T::swapUsage},
        Field{"swap_usage_peak", &T::swapUsagePeak},
    };
};

struct DiskState {
    std::int64_t usage = 0, total = 0;
};
template <> struct Fields<DiskState> {
    static constexpr auto rows = std::tuple{Field{"usage", &DiskState::usage}, Field{"total", &DiskState::total}};
};

struct NetworkAddress {
    std::string family;  ///< "inet", "inet6"
    std::string address; ///< Without mask.
    std::string netmask; ///< Prefix length as text.
    std::string scope;   ///< "global", "link", "local"
};
template <> struct Fields<NetworkAddress> {
    using T = NetworkAddress;
    static constexpr auto rows = std::tuple{Field{"family", &T::family}, Field{"address", &T::address},
                                            Field{"netmask", &T::netmask}, Field{"scope", &T::scope}};
};

struct NetworkCounters {
    std::int64_t bytesReceived = 0, bytesSent = 0, packetsReceived = 0, packetsSent = 0;
    std::int64_t errorsReceived = 0, errorsSent = 0, packetsDroppedOutbound = 0, packetsDroppedInbound = 0;
};
template <> struct Fields<NetworkCounters> {
    using T = NetworkCounters;
    static constexpr auto rows = std::tuple{
        Field{"bytes_received", &T::bytesReceived},
        Field{"bytes_sent", &T::bytesSent},
        Field{"packets_received", &T::packetsReceived},
        Field{"packets_sent", &T::packetsSent},
        Field{"errors_received", &T::errorsReceived},
        Field{"errors_sent", &T::errorsSent},
        Field{"packets_dropped_outbound", &T::packetsDroppedOutbound},
        Field{"packets_dropped_inbound", &T::packetsDroppedInbound},
    };
};

struct NicState {
    std::vector<NetworkAddress> addresses;
    NetworkCounters counters;
    std::string hwaddr, hostName;
    int mtu = 0;
    std::string state; ///< "up", "down"
    std::string type;  ///< "broadcast", "loopback", "point-to-point"
};
template <> struct Fields<NicState> {
    using T = NicState;
    static constexpr auto rows = std::tuple{
        Field{"addresses", &T::addresses}, Field{"counters", &T::counters}, Field{"hwaddr", &T::hwaddr},
        Field{"host_name", &T::hostName},  Field{"mtu", &T::mtu},           Field{"state", &T::state},
        Field{"type", &T::type},
    };
};

struct InstanceState {
    std::string status = "Stopped";
    int statusCode = 102;
    std::map<std::string, DiskState> disk;
    MemoryState memory;
    std::optional<std::map<std::string, NicState>> network; ///< Null when stopped.
    std::int64_t pid = 0;
    std::int64_t processes = 0;
    CpuState cpu;
    Time startedAt;

    void setStatus(StatusCode code)
    {
        status = statusWord(code);
        statusCode = static_cast<int>(code);
    }
};
template <> struct Fields<InstanceState> {
    using T = InstanceState;
    static constexpr auto rows = std::tuple{
        Field{"status", &T::status}, Field{"status_code", &T::statusCode}, Field{"disk", &T::disk},
        Field{"memory", &T::memory}, Field{"network", &T::network},        Field{"pid", &T::pid},
        Field{"processes", &T::processes}, Field{"cpu", &T::cpu},          Field{"started_at", &T::startedAt},
    };
};

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

/// What can be undone (lxmgr_undo).
struct Undo {
    std::int64_t id = 0;
    std::string kind;        ///< "delete", "snapshot", "restore", "config", "profile"
    std::string object;      ///< Name of the instance, "web1/snap0", or of the profile.
    std::string project;
    std::string description; ///< "deletion of instance web1"
    std::string status;      ///< "Kept", "Working"
    std::string pool;        ///< Where its files are, "" where it has none.
    Time createdAt, expiresAt;
};
template <> struct Fields<Undo> {
    using T = Undo;
    static constexpr auto rows =
        std::tuple{Field{"id", &T::id},         Field{"kind", &T::kind},
                   Field{"object", &T::object}, Field{"project", &T::project},
                   Field{"description", &T::description}, Field{"status", &T::status},
                   Field{"pool", &T::pool},     Field{"created_at", &T::createdAt},
                   Field{"expires_at", &T::expiresAt}};
};

/// One key that undoing changes.
struct UndoChange {
    std::string key, now, then;
};
template <> struct Fields<UndoChange> {
    using T = UndoChange;
    static constexpr auto rows = std::tuple{Field{"key", &T::key}, Field{"now", &T::now}, Field{"then", &T::then}};
};

struct UndoFull : Undo {
    std::string obstacle;            ///< What keeps it from being undone now.
    std::int64_t size = -1;          ///< Of its files.
    std::vector<UndoChange> changes; ///< Of a definition that is there.
    std::vector<std::string> snapshots;
    StringMap config; ///< What was, as the rest.
    Devices devices;
    std::vector<std::string> profiles;
};
template <> struct Fields<UndoFull> {
    using T = UndoFull;
    static constexpr auto rows = std::tuple_cat(
        Fields<Undo>::rows, std::tuple{Field{"obstacle", &T::obstacle}, Field{"size", &T::size}, Field{"changes", &T::changes},
                                       Field{"snapshots", &T::snapshots}, Field{"config", &T::config},
                                       Field{"devices", &T::devices}, Field{"profiles", &T::profiles}});
};

/// POST /1.0/lxmgr/undo/{id}
struct UndoPost {
    std::string name; ///< Of a deleted instance or snapshot from now on, "" for as before.
};
template <> struct Fields<UndoPost> {
    static constexpr auto rows = std::tuple{Field{"name", &UndoPost::name}};
};

/// POST /internal/recover
struct RecoverPost {
    bool apply = false; ///< Else only said.
};
template <> struct Fields<RecoverPost> {
    static constexpr auto rows = std::tuple{Field{"apply", &RecoverPost::apply}};
};

/// What a pool holds and the database does not know.
struct Recovered {
    std::string kind; ///< "instance", "profile", "storage pool"
    std::string project, name, pool;
    std::string result; ///< "lost", "recovered", "failed"
    std::string message;
};
template <> struct Fields<Recovered> {
    using T = Recovered;
    static constexpr auto rows =
        std::tuple{Field{"kind", &T::kind}, Field{"project", &T::project}, Field{"name", &T::name},
                   Field{"pool", &T::pool}, Field{"result", &T::result},   Field{"message", &T::message}};
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

/// POST …/exec
struct InstanceExecPost {
    std::vector<std::string> command;
    bool waitForWebsocket = false, interactive = false, recordOutput = false;
    bool passStreams = false; ///< lxmgr_passed_streams: they come as descriptors with the request.
    StringMap environment;
    int width = 0, height = 0;
    std::uint32_t user = 0, group = 0;
    std::string cwd;
};
template <> struct Fields<InstanceExecPost> {
    using T = InstanceExecPost;
    static constexpr auto rows = std::tuple{
        Field{"command", &T::command},
        Field{"wait-for-websocket", &T::waitForWebsocket},
        Field{"interactive", &T::interactive},
        Field{"environment", &T::environment},
        Field{"width", &T::width},
        Field{"height", &T::height},
        Field{"record-output", &T::recordOutput},
        Field{"lxmgr-pass-streams", &T::passStreams, OmitEmpty{}},
        Field{"user", &T::user},
        Field{"group", &T::group},
        Field{"cwd", &T::cwd},
    };
};

/// A frame on a control socket: {"command":"window-resize","args":{"width":"80","height":"24"}} or {"command":"signal","signal":15}.
struct ControlMessage {
    std::string command;
    StringMap args;
    int signal = 0;
};
template <> struct Fields<ControlMessage> {
    using T = ControlMessage;
    static constexpr auto rows = std::tuple{Field{"command", &T::command}, Field{"args", &T::args, OmitEmpty{}},
                                            Field{"signal", &T::signal, OmitEmpty{}}};
};

/// POST …/console
struct InstanceConsolePost {
    int width = 0, height = 0;
    std::string type; ///< "" or "console"
    bool force = false;
};
template <> struct Fields<InstanceConsolePost> {
    using T = InstanceConsolePost;
    static constexpr auto rows = std::tuple{Field{"width", &T::width}, Field{"height", &T::height},
                                            Field{"type", &T::type}, Field{"force", &T::force}};
};

// --- operations and events ------------------------------------------------------------------------------------------

struct Operation {
    std::string id;
    std::string operationClass = "task"; ///< task, websocket, token
    std::string description;
    Time createdAt, updatedAt;
    std::string status = "Running";
    int statusCode = 103;
    std::optional<std::map<std::string, std::vector<std::string>>> resources; ///< {"instances": ["/1.0/instances/c1"]}
    Json metadata;                                                            ///< Object or null.
    bool mayCancel = false;
    std::string err;
    std::string location = "none";

    void setStatus(StatusCode code)
    {
        status = statusWord(code);
        statusCode = static_cast<int>(code);
    }
};
template <> struct Fields<Operation> {
    using T = Operation;
    static constexpr auto rows = std::tuple{
        Field{"id", &T::id},
        Field{"class", &T::operationClass},
        Field{"description", &T::description},
        Field{"created_at", &T::createdAt},
        Field{"updated_at", &T::updatedAt},
        Field{"status", &T::status},
        Field{"status_code", &T::statusCode},
        Field{"resources", &T::resources},
        Field{"metadata", &T::metadata},
        Field{"may_cancel", &T::mayCancel},
        Field{"err", &T::err},
        Field{"location", &T::location},
    };
};

struct Event {
    std::string type; ///< operation, lifecycle, logging
    Time timestamp;
    Json metadata;
    std::string location = "none";
    std::string project; ///< "" with logging.
};
template <> struct Fields<Event> {
    using T = Event;
    static constexpr auto rows = std::tuple{
        Field{"type", &T::type},         Field{"timestamp", &T::timestamp},
        Field{"metadata", &T::metadata}, Field{"location", &T::location},
        Field{"project", &T::project, OmitEmpty{}},
    };
};

/// An operation event without the detour over Json.
struct OperationEvent {
    std::string type = "operation";
    Time timestamp;
    Operation metadata;
    std::string location = "none";
    std::string project;
};
template <> struct Fields<OperationEvent> {
    using T = OperationEvent;
    static constexpr auto rows = std::tuple{
        Field{"type", &T::type},         Field{"timestamp", &T::timestamp},
        Field{"metadata", &T::metadata}, Field{"location", &T::location},
        Field{"project", &T::project, OmitEmpty{}},
    };
};

struct Requestor {
    std::string username, protocol, address;
    bool operator==(const Requestor &) const = default;
};
template <> struct Fields<Requestor> {
    using T = Requestor;
    static constexpr auto rows = std::tuple{Field{"username", &T::username}, Field{"protocol", &T::protocol},
                                            Field{"address", &T::address}};
};

/// `metadata` of a lifecycle event.
struct Lifecycle {
    std::string action, source;
    Json context;
    std::optional<Requestor> requestor;
};
template <> struct Fields<Lifecycle> {
    using T = Lifecycle;
    static constexpr auto rows =
        std::tuple{Field{"action", &T::action}, Field{"source", &T::source}, Field{"context", &T::context, OmitEmpty{}},
                   Field{"requestor", &T::requestor, OmitEmpty{}}};
};

/// `metadata` of a logging event.
struct LogRecord {
    std::string message, level;
    StringMap context;
};
template <> struct Fields<LogRecord> {
    using T = LogRecord;
    static constexpr auto rows =
        std::tuple{Field{"message", &T::message}, Field{"level", &T::level}, Field{"context", &T::context}};
};

// --- images ---------------------------------------------------------------------------------------------------------

struct ImageAlias { ///< As an image lists it.
    std::string name, description;
    bool operator==(const ImageAlias &) const = default;
};
template <> struct Fields<ImageAlias> {
    static constexpr auto rows =
        std::tuple{Field{"name", &ImageAlias::name}, Field{"description", &ImageAlias::description}};
};

struct ImageUpdateSource {
    std::string alias, certificate, protocol, server, imageType;
    bool operator==(const ImageUpdateSource &) const = default;
};
template <> struct Fields<ImageUpdateSource> {
    using T = ImageUpdateSource;
    static constexpr auto rows =
        std::tuple{Field{"alias", &T::alias}, Field{"certificate", &T::certificate}, Field{"protocol", &T::protocol},
                   Field{"server", &T::server}, Field{"image_type", &T::imageType}};
};

struct Image {
    bool autoUpdate = false;
    StringMap properties;
    bool isPublic = false;
    Time expiresAt;
    std::vector<std::string> profiles;
    std::vector<ImageAlias> aliases;
    std::string architecture;
    bool cached = false;
    std::string filename, fingerprint;
    std::int64_t size = 0;
    std::optional<ImageUpdateSource> updateSource;
    std::string type = "container";
    Time createdAt, lastUsedAt, uploadedAt;
};
template <> struct Fields<Image> {
    using T = Image;
    static constexpr auto rows = std::tuple{
        Field{"auto_update", &T::autoUpdate},
        Field{"properties", &T::properties},
        Field{"public", &T::isPublic},
        Field{"expires_at", &T::expiresAt},
        Field{"profiles", &T::profiles},
        Field{"aliases", &T::aliases},
        Field{"architecture", &T::architecture},
        Field{"cached", &T::cached},
        Field{"filename", &T::filename},
        Field{"fingerprint", &T::fingerprint},
        Field{"size", &T::size},
        Field{"update_source", &T::updateSource, OmitEmpty{}},
        Field{"type", &T::type},
        Field{"created_at", &T::createdAt},
        Field{"last_used_at", &T::lastUsedAt},
        Field{"uploaded_at", &T::uploadedAt},
    };
};

struct ImagePut {
    std::optional<bool> autoUpdate, isPublic;
    std::optional<StringMap> properties;
    std::optional<Time> expiresAt;
    std::optional<std::vector<std::string>> profiles;
};
template <> struct Fields<ImagePut> {
    using T = ImagePut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"auto_update", &T::autoUpdate, E}, Field{"public", &T::isPublic, E},
        Field{"properties", &T::properties, E},  Field{"expires_at", &T::expiresAt, E},
        Field{"profiles", &T::profiles, E},
    };
};

struct ImageSource {
    std::string type, name, project; ///< instance, container, snapshot: publish
    std::string mode, server, protocol, alias, fingerprint, secret, certificate, url;
    std::string imageType;
};
template <> struct Fields<ImageSource> {
    using T = ImageSource;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{
        Field{"type", &T::type, E},
        Field{"name", &T::name, E},
        Field{"project", &T::project, E},
        Field{"mode", &T::mode, E},
        Field{"server", &T::server, E},
        Field{"protocol", &T::protocol, E},
        Field{"alias", &T::alias, E},
        Field{"fingerprint", &T::fingerprint, E},
        Field{"secret", &T::secret, E},
        Field{"certificate", &T::certificate, E},
        Field{"url", &T::url, E},
        Field{"image_type", &T::imageType, E},
    };
};

/// POST /1.0/images as JSON (publish, copy); an upload has its fields in headers.
struct ImagesPost {
    std::string filename;
    bool isPublic = false, autoUpdate = false;
    std::optional<StringMap> properties;
    std::optional<Time> expiresAt;
    std::optional<std::vector<std::string>> profiles;
    std::vector<ImageAlias> aliases;
    std::string compressionAlgorithm;
    ImageSource source;
};
template <> struct Fields<ImagesPost> {
    using T = ImagesPost;
    static constexpr auto rows = std::tuple{
        Field{"filename", &T::filename},
        Field{"public", &T::isPublic},
        Field{"auto_update", &T::autoUpdate},
        Field{"properties", &T::properties},
        Field{"expires_at", &T::expiresAt},
        Field{"profiles", &T::profiles},
        Field{"aliases", &T::aliases},
        Field{"compression_algorithm", &T::compressionAlgorithm},
        Field{"source", &T::source},
    };
};

/// POST /1.0/images/<fingerprint>/export
struct ImageExportPost {
    std::string target, secret, certificate, project;
};
template <> struct Fields<ImageExportPost> {
    using T = ImageExportPost;
    static constexpr auto rows =
        std::tuple{Field{"target", &T::target}, Field{"secret", &T::secret}, Field{"certificate", &T::certificate}, Field{"project", &T::project}};
};

struct ImageAliasEntry { ///< /1.0/images/aliases/<name>; POST body too.
    std::string name, description, target;
    std::string type = "container";
};
template <> struct Fields<ImageAliasEntry> {
    using T = ImageAliasEntry;
    static constexpr auto rows = std::tuple{Field{"description", &T::description}, Field{"target", &T::target},
                                            Field{"name", &T::name}, Field{"type", &T::type}};
};

struct ImageAliasPut { ///< PUT and PATCH
    std::optional<std::string> description, target;
};
template <> struct Fields<ImageAliasPut> {
    using T = ImageAliasPut;
    static constexpr auto rows = std::tuple{Field{"description", &T::description, OmitEmpty{}},
                                            Field{"target", &T::target, OmitEmpty{}}};
};

/// The body of every rename.
struct RenamePost {
    std::string name;
};
template <> struct Fields<RenamePost> {
    static constexpr auto rows = std::tuple{Field{"name", &RenamePost::name}};
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

// --- profiles, projects ---------------------------------------------------------------------------------------------

struct Profile {
    std::string name, description;
    StringMap config;
    Devices devices;
    std::vector<std::string> usedBy;
    std::string project = "default";
};
template <> struct Fields<Profile> {
    using T = Profile;
    static constexpr auto rows = std::tuple{
        Field{"config", &T::config}, Field{"description", &T::description}, Field{"devices", &T::devices},
        Field{"name", &T::name},     Field{"used_by", &T::usedBy},          Field{"project", &T::project},
    };
};

/// POST /1.0/profiles (with name), PUT and PATCH (without).
struct ProfilePut {
    std::string name;
    std::optional<std::string> description;
    std::optional<StringMap> config;
    std::optional<Devices> devices;
};
template <> struct Fields<ProfilePut> {
    using T = ProfilePut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows =
        std::tuple{Field{"name", &T::name, E}, Field{"description", &T::description, E}, Field{"config", &T::config, E},
                   Field{"devices", &T::devices, E}};
};

/// PUT /1.0/profiles (lxmgr_profiles_apply): profiles as they are to be, all of them or none.
struct ProfilesPut {
    std::vector<ProfilePut> profiles;
    bool dryRun = false; ///< Only say what would change.
};
template <> struct Fields<ProfilesPut> {
    using T = ProfilesPut;
    static constexpr auto rows = std::tuple{Field{"profiles", &T::profiles}, Field{"dry_run", &T::dryRun}};
};

/// What applying one does: "create", "change" or "keep".
struct ProfileChange {
    std::string name, action;
    std::vector<UndoChange> changes;
    std::vector<std::string> usedBy;
};
template <> struct Fields<ProfileChange> {
    using T = ProfileChange;
    static constexpr auto rows = std::tuple{Field{"name", &T::name}, Field{"action", &T::action}, Field{"changes", &T::changes},
                                            Field{"used_by", &T::usedBy}};
};

struct ProfilesChanged {
    std::vector<ProfileChange> profiles;
    std::map<std::string, std::vector<std::string>> restartNeeded; ///< Keys that running instances take at their next start.
};
template <> struct Fields<ProfilesChanged> {
    using T = ProfilesChanged;
    static constexpr auto rows = std::tuple{Field{"profiles", &T::profiles}, Field{"restart_needed", &T::restartNeeded}};
};

struct Project {
    std::string name, description;
    StringMap config;
    std::vector<std::string> usedBy;
};
template <> struct Fields<Project> {
    using T = Project;
    static constexpr auto rows = std::tuple{Field{"config", &T::config}, Field{"description", &T::description},
                                            Field{"name", &T::name}, Field{"used_by", &T::usedBy}};
};

// --- networks, storage ----------------------------------------------------------------------------------------------

struct Network {
    StringMap config;
    std::string description, name;
    std::string type = "bridge";
    std::vector<std::string> usedBy;
    bool managed = true;
    std::string status = "Created";
    std::optional<std::vector<std::string>> locations = std::vector<std::string>{"none"}; ///< Null: unmanaged.
    std::string project = "default";
};
template <> struct Fields<Network> {
    using T = Network;
    static constexpr auto rows = std::tuple{
        Field{"config", &T::config},       Field{"description", &T::description}, Field{"name", &T::name},
        Field{"type", &T::type},           Field{"used_by", &T::usedBy},          Field{"managed", &T::managed},
        Field{"status", &T::status},       Field{"locations", &T::locations},     Field{"project", &T::project},
    };
};

/// POST /1.0/networks (name, type), PUT and PATCH.
struct NetworkPut {
    std::string name, type;
    std::optional<std::string> description;
    std::optional<StringMap> config;
};
template <> struct Fields<NetworkPut> {
    using T = NetworkPut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{Field{"name", &T::name, E}, Field{"type", &T::type, E},
                                            Field{"description", &T::description, E}, Field{"config", &T::config, E}};
};

struct BridgeState {
    std::string id;
    bool stp = false;
    std::uint64_t forwardDelay = 0, vlanDefault = 0;
    bool vlanFiltering = false;
    std::vector<std::string> upperDevices;
    bool operator==(const BridgeState &) const = default;
};
template <> struct Fields<BridgeState> {
    using T = BridgeState;
    static constexpr auto rows = std::tuple{
        Field{"id", &T::id},
        Field{"stp", &T::stp},
        Field{"forward_delay", &T::forwardDelay},
        Field{"vlan_default", &T::vlanDefault},
        Field{"vlan_filtering", &T::vlanFiltering},
        Field{"upper_devices", &T::upperDevices},
    };
};

struct NetworkState {
    std::vector<NetworkAddress> addresses;
    NetworkCounters counters;
    std::string hwaddr;
    int mtu = 0;
    std::string state = "down", type = "broadcast";
    Json bond; ///< Null.
    std::optional<BridgeState> bridge;
    Json vlan, ovn; ///< Null.
};
template <> struct Fields<NetworkState> {
    using T = NetworkState;
    static constexpr auto rows = std::tuple{
        Field{"addresses", &T::addresses}, Field{"counters", &T::counters}, Field{"hwaddr", &T::hwaddr},
        Field{"mtu", &T::mtu},             Field{"state", &T::state},       Field{"type", &T::type},
        Field{"bond", &T::bond},           Field{"bridge", &T::bridge},     Field{"vlan", &T::vlan},
        Field{"ovn", &T::ovn},
    };
};

struct NetworkLease {
    std::string hostname, hwaddr, address;
    std::string type; ///< static, dynamic, gateway, uplink
    std::string location = "none";
};
template <> struct Fields<NetworkLease> {
    using T = NetworkLease;
    static constexpr auto rows =
        std::tuple{Field{"hostname", &T::hostname}, Field{"hwaddr", &T::hwaddr}, Field{"address", &T::address},
                   Field{"type", &T::type}, Field{"location", &T::location}};
};

struct StoragePool {
    StringMap config;
    std::string description, name, driver;
    std::vector<std::string> usedBy;
    std::string status = "Created";
    std::vector<std::string> locations = {"none"};
};
template <> struct Fields<StoragePool> {
    using T = StoragePool;
    static constexpr auto rows = std::tuple{
        Field{"config", &T::config}, Field{"description", &T::description}, Field{"name", &T::name},
        Field{"driver", &T::driver}, Field{"used_by", &T::usedBy},          Field{"status", &T::status},
        Field{"locations", &T::locations},
    };
};

struct StoragePoolPut {
    std::string name, driver;
    std::optional<std::string> description;
    std::optional<StringMap> config;
};
template <> struct Fields<StoragePoolPut> {
    using T = StoragePoolPut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{Field{"name", &T::name, E}, Field{"driver", &T::driver, E},
                                            Field{"description", &T::description, E}, Field{"config", &T::config, E}};
};

/// A storage volume, or a snapshot of one in a list ("<volume>/<snapshot>").
struct StorageVolume {
    std::string name, description, type = "custom", contentType = "filesystem";
    StringMap config;
    std::vector<std::string> usedBy;
    std::string location = "none", project = "default";
    Time createdAt;
};
template <> struct Fields<StorageVolume> {
    using T = StorageVolume;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},         Field{"description", &T::description}, Field{"type", &T::type},
        Field{"content_type", &T::contentType}, Field{"config", &T::config},    Field{"used_by", &T::usedBy},
        Field{"location", &T::location}, Field{"project", &T::project},         Field{"created_at", &T::createdAt},
    };
};

/// What a new volume is made from.
struct StorageVolumeSource {
    std::string name; ///< "<volume>" or "<volume>/<snapshot>".
    std::string type; ///< "": empty; copy
    std::string pool, project, mode;
    bool volumeOnly = false, refresh = false;
};
template <> struct Fields<StorageVolumeSource> {
    using T = StorageVolumeSource;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},       Field{"type", &T::type}, Field{"pool", &T::pool},
        Field{"project", &T::project}, Field{"mode", &T::mode}, Field{"volume_only", &T::volumeOnly},
        Field{"refresh", &T::refresh},
    };
};

/// POST …/volumes
struct StorageVolumesPost {
    std::string name, type, contentType, description;
    StringMap config;
    StorageVolumeSource source;
};
template <> struct Fields<StorageVolumesPost> {
    using T = StorageVolumesPost;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},     Field{"type", &T::type},     Field{"content_type", &T::contentType},
        Field{"description", &T::description}, Field{"config", &T::config}, Field{"source", &T::source},
    };
};

/// PUT and PATCH …/volumes/custom/<v>
struct StorageVolumePut {
    std::optional<std::string> description;
    std::optional<StringMap> config;
    std::string restore; ///< Name of a snapshot: nothing else is looked at.
};
template <> struct Fields<StorageVolumePut> {
    using T = StorageVolumePut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{Field{"description", &T::description, E}, Field{"config", &T::config, E},
                                            Field{"restore", &T::restore, E}};
};

/// POST …/volumes/custom/<v>: another name, pool or project.
struct StorageVolumePost {
    std::string name, pool, project;
    bool migration = false;
};
template <> struct Fields<StorageVolumePost> {
    using T = StorageVolumePost;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{Field{"name", &T::name}, Field{"pool", &T::pool, E},
                                            Field{"project", &T::project, E}, Field{"migration", &T::migration, E}};
};

struct StorageVolumeSnapshot {
    std::string name; ///< "<volume>/<snapshot>".
    std::string description, contentType = "filesystem";
    StringMap config;
    Time createdAt;
    std::optional<Time> expiresAt; ///< None: never.
};
template <> struct Fields<StorageVolumeSnapshot> {
    using T = StorageVolumeSnapshot;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},     Field{"description", &T::description}, Field{"content_type", &T::contentType},
        Field{"config", &T::config}, Field{"created_at", &T::createdAt},    Field{"expires_at", &T::expiresAt},
    };
};

/// POST …/volumes/custom/<v>/snapshots
struct StorageVolumeSnapshotsPost {
    std::string name; ///< "": as snapshots.pattern says.
    std::string description;
    std::optional<Time> expiresAt;
};
template <> struct Fields<StorageVolumeSnapshotsPost> {
    using T = StorageVolumeSnapshotsPost;
    static constexpr auto rows = std::tuple{Field{"name", &T::name}, Field{"description", &T::description, OmitEmpty{}},
                                            Field{"expires_at", &T::expiresAt}};
};

struct StorageVolumeSnapshotPut {
    std::optional<std::string> description;
    std::optional<Time> expiresAt;
};
template <> struct Fields<StorageVolumeSnapshotPut> {
    using T = StorageVolumeSnapshotPut;
    static constexpr auto rows =
        std::tuple{Field{"description", &T::description, OmitEmpty{}}, Field{"expires_at", &T::expiresAt}};
};

struct UsedTotal {
    std::uint64_t used = 0, total = 0;
};
template <> struct Fields<UsedTotal> {
    static constexpr auto rows = std::tuple{Field{"used", &UsedTotal::used}, Field{"total", &UsedTotal::total}};
};

/// GET …/volumes/<type>/<v>/state
struct StorageVolumeState {
    UsedTotal usage;
};
template <> struct Fields<StorageVolumeState> {
    static constexpr auto rows = std::tuple{Field{"usage", &StorageVolumeState::usage}};
};

struct StorageResources {
    UsedTotal space, inodes;
};
template <> struct Fields<StorageResources> {
    using T = StorageResources;
    static constexpr auto rows = std::tuple{Field{"space", &T::space}, Field{"inodes", &T::inodes}};
};

// --- ours -----------------------------------------------------------------------------------------------------------

/// GET /1.0/lxmgr/storage-drivers
struct StorageDriverState {
    std::string name, description;
    bool available = false;
    std::string reason; ///< Why it is not available.
};
template <> struct Fields<StorageDriverState> {
    using T = StorageDriverState;
    static constexpr auto rows = std::tuple{Field{"name", &T::name}, Field{"description", &T::description},
                                            Field{"available", &T::available}, Field{"reason", &T::reason}};
};

/// GET /1.0/lxmgr/templates
struct Template {
    std::string name, description;
    std::vector<std::string> releases;
    std::string defaultRelease;
    std::string source;  ///< Where its text came from: a path.
    std::string content; ///< Its text; only with one template.
};
template <> struct Fields<Template> {
    using T = Template;
    static constexpr auto rows = std::tuple{
        Field{"name", &T::name},
        Field{"description", &T::description},
        Field{"releases", &T::releases},
        Field{"default_release", &T::defaultRelease},
        Field{"source", &T::source},
        Field{"content", &T::content, OmitEmpty{}},
    };
};

/// POST /1.0/lxmgr/templates/<name>/build
struct TemplateBuildPost {
    std::string release;
    StringMap options; ///< mirror, suite
    std::vector<ImageAlias> aliases;
};
template <> struct Fields<TemplateBuildPost> {
    using T = TemplateBuildPost;
    static constexpr auto rows = std::tuple{Field{"release", &T::release}, Field{"options", &T::options},
                                            Field{"aliases", &T::aliases, OmitEmpty{}}};
};

} // namespace lxmgr::api
