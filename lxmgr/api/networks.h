// Networks as the wire has them.
#pragma once

#include "api/fields.h"
#include "api/instance_state.h"
#include "api/json.h"
#include "api/types.h"

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

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

struct VlanState {
    std::string lowerDevice;
    std::uint64_t vid = 0;
};
template <> struct Fields<VlanState> {
    static constexpr auto rows = std::tuple{Field{"lower_device", &VlanState::lowerDevice}, Field{"vid", &VlanState::vid}};
};

struct NetworkState {
    std::vector<NetworkAddress> addresses;
    NetworkCounters counters;
    std::string hwaddr;
    int mtu = 0;
    std::string state = "down", type = "broadcast";
    Json bond; ///< Null.
    std::optional<BridgeState> bridge;
    std::optional<VlanState> vlan;
    Json ovn; ///< Null.
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

} // namespace lxmgr::api
