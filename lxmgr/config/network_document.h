// network.yaml, which lies beside the leases of each managed network: what a lost database can be rebuilt from.
#pragma once

#include "config/yaml.h"

namespace lxmgr::config
{

struct NetworkDocument {
    std::string name;
    std::string description;
    StringMap config;
    bool operator==(const NetworkDocument &) const = default;
};
inline constexpr const char *kNetworkFile = "network.yaml";
std::string writeNetworkDocument(const NetworkDocument &document);
/// Corrupt with file:line:column; Unsupported where a newer lxmgr wrote it in another form. Keys are not checked.
Result<NetworkDocument> readNetworkDocument(std::string_view text, const std::string &file);

} // namespace lxmgr::config
