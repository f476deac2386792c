// Forwards and access control lists: what the API gives, checked, as rules of nftables made of typed values only.
#pragma once

#include "network/config.h"

#include <string>
#include <vector>

namespace lxmgr::network
{

/// Fields of a forward's port, in the words of the API; anything else is Invalid with the nearest.
inline constexpr std::string_view kPortFields[] = {"description", "listen_port", "protocol", "target_address", "target_port"};
/// The same of a rule.
inline constexpr std::string_view kRuleFields[] = {"action", "description", "destination", "destination_port", "icmp_code", "icmp_type",
                                                   "protocol", "source", "source_port", "state"};

/// Invalid or Unsupported naming the field: ports and targets that do not fit the network or each other.
Status checkForward(const BridgeConfig &config, const Forward &forward);
/// The address in its one form ("FD42::1" → "fd42::1"). Invalid where nothing can listen there.
Result<std::string> listenAddress(const BridgeConfig &config, const std::string &text);
/// Invalid or Unsupported: "egress rule 2: action: …".
Status checkAcl(const Acl &acl);

/// Whether what arrives for a port of its address goes on by it: by one of its ports, or to what it has for all others.
bool takes(const Forward &forward, std::string_view protocol, unsigned port);
/// Lines for a chain of type nat at prerouting or output.
Result<std::string> forwardRules(const std::vector<Forward> &forwards);

/// As seen by guests.
enum class Direction { Ingress, Egress };
/// The body of the chain that packets to and from the bridge go through.
Result<std::string> borderRules(const std::string &bridge, const BridgeConfig &config, const std::vector<Acl> &acls);
/// The body of the chain that what goes in one direction of a guest's card passes. `answers`: a reject may answer there; else it drops.
/// Names and addresses can be asked for, and neighbours found; not so that the guest offers such itself.
Result<std::string> cardRules(Direction direction, const std::vector<Acl> &acls, const Otherwise &otherwise, bool answers);

} // namespace lxmgr::network
