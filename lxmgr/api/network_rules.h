// Resources below /1.0/networks/<n>/forwards and /1.0/network-acls.
#pragma once

#include "api/fields.h"

#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace lxmgr::api
{

using Rows = std::vector<std::map<std::string, std::string>>;

struct NetworkForward {
    std::string listenAddress, description;
    std::map<std::string, std::string> config;
    Rows ports; ///< description, protocol, listen_port, target_port, target_address
    std::string location = "none";
};
template <> struct Fields<NetworkForward> {
    using T = NetworkForward;
    static constexpr auto rows =
        std::tuple{Field{"listen_address", &T::listenAddress}, Field{"description", &T::description}, Field{"config", &T::config},
                   Field{"ports", &T::ports}, Field{"location", &T::location}};
};

/// POST (with the address), PUT and PATCH.
struct NetworkForwardPut {
    std::string listenAddress;
    std::optional<std::string> description;
    std::optional<std::map<std::string, std::string>> config;
    std::optional<Rows> ports;
};
template <> struct Fields<NetworkForwardPut> {
    using T = NetworkForwardPut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows = std::tuple{Field{"listen_address", &T::listenAddress, E}, Field{"description", &T::description, E},
                                            Field{"config", &T::config, E}, Field{"ports", &T::ports, E}};
};

struct NetworkAcl {
    std::string name, description;
    Rows ingress, egress; ///< action, state, source, destination, protocol, …
    std::map<std::string, std::string> config;
    std::vector<std::string> usedBy;
    std::string project = "default";
};
template <> struct Fields<NetworkAcl> {
    using T = NetworkAcl;
    static constexpr auto rows =
        std::tuple{Field{"name", &T::name},     Field{"description", &T::description}, Field{"ingress", &T::ingress},
                   Field{"egress", &T::egress}, Field{"config", &T::config},           Field{"used_by", &T::usedBy},
                   Field{"project", &T::project}};
};

/// POST (with the name), PUT and PATCH.
struct NetworkAclPut {
    std::string name;
    std::optional<std::string> description;
    std::optional<Rows> ingress, egress;
    std::optional<std::map<std::string, std::string>> config;
};
template <> struct Fields<NetworkAclPut> {
    using T = NetworkAclPut;
    static constexpr OmitEmpty E{};
    static constexpr auto rows =
        std::tuple{Field{"name", &T::name, E}, Field{"description", &T::description, E}, Field{"ingress", &T::ingress, E},
                   Field{"egress", &T::egress, E}, Field{"config", &T::config, E}};
};

/// What keeps guests of a network from something, and what to do about it.
struct NetworkProblem {
    std::string what, cause, cure;
};
template <> struct Fields<NetworkProblem> {
    using T = NetworkProblem;
    static constexpr auto rows = std::tuple{Field{"what", &T::what}, Field{"cause", &T::cause}, Field{"cure", &T::cure}};
};

} // namespace lxmgr::api
