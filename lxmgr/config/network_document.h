// network.yaml, which lies beside the leases of each managed network: what a lost database can be rebuilt from.
#pragma once

#include "config/yaml.h"

#include <vector>

namespace lxmgr::config
{

struct ForwardDocument {
    std::string listenAddress;
    std::string description;
    StringMap config;
    std::vector<StringMap> ports;
    bool operator==(const ForwardDocument &) const = default;
};
struct NetworkDocument {
    std::string name;
    std::string description;
    StringMap config;
    std::vector<ForwardDocument> forwards{};
    bool operator==(const NetworkDocument &) const = default;
};
inline constexpr const char *kNetworkFile = "network.yaml";
std::string writeNetworkDocument(const NetworkDocument &document);
/// Corrupt with file:line:column; Unsupported where a newer lxmgr wrote it in another form. Keys are not checked.
Result<NetworkDocument> readNetworkDocument(std::string_view text, const std::string &file);

/// <name>.yaml of an access control list, for the same.
struct AclDocument {
    std::string name;
    std::string description;
    StringMap config;
    std::vector<StringMap> ingress, egress;
    bool operator==(const AclDocument &) const = default;
};
std::string writeAclDocument(const AclDocument &document);
Result<AclDocument> readAclDocument(std::string_view text, const std::string &file);

} // namespace lxmgr::config
