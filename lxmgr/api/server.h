// The server object: what it is, where it runs, how it is configured.
#pragma once

#include "api/fields.h"
#include "api/json.h"
#include "api/types.h"

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

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

} // namespace lxmgr::api
