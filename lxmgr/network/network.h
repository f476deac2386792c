// Managed bridges: link, addresses, NAT, DHCP, DNS and router advertisements. Everything is in the caller's network
// namespace. Blocking; one caller per network at a time.
#pragma once

#include "base/result.h"
#include "base/types.h"
#include "kernel/netlink.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace lxmgr::network
{

using Config = StringMap;

/// Interface name as network name: 1–15 of letters, digits, "-_.", starting with a letter.
Status checkName(const std::string &name);
/// Checks keys and values. Unknown key: Invalid with the nearest; known elsewhere but not carried out: Unsupported.
Status validate(const Config &config);
/// `config` with missing and "auto" addresses replaced by free private ranges (and NAT on for those), ready to be stored.
Result<Config> withDefaults(Config config);
/// The same for a changed configuration: what is missing stays off.
Result<Config> withAddresses(Config config);

struct Subnets {
    netlink::Address ipv4, ipv6; ///< The bridge's own address in each, with prefix.
};
/// A 10.x.y.1/24 and an fd42:…::1/64 that no route of this host covers.
Result<Subnets> pickSubnets();

/// What arrives for an address from elsewhere goes on to guests (rules.h checks it).
struct Forward {
    std::string listenAddress;
    Config config;                ///< target_address: for all ports that are not listed.
    std::vector<StringMap> ports; ///< With the fields of the API.
};
/// An access control list (the same).
struct Acl {
    std::string name;
    std::vector<StringMap> ingress, egress;
    bool operator==(const Acl &) const = default;
};

/// A network and where its files lie.
struct Network {
    std::string name;
    Config config;
    std::string directory; ///< <state>/networks/<name>: leases, hosts, pid.
    std::vector<Forward> forwards{};
    std::vector<Acl> acls{}; ///< Those that security.acls names.
};

/// Makes everything so, as often as called: what is right already is left alone, a running dnsmasq is kept.
/// Under a millisecond when nothing is to be done. Unsupported naming the package where dnsmasq is missing. A kernel without
/// nf_tables goes without NAT and firewall rules: diagnose() says so.
Status ensureUp(const Network &network);
/// A guest is to be a port of some VLAN of it. One of ours tells VLANs apart from then on, one of the host's must do so already.
/// Unsupported: this kernel has no such filter. Nothing where there is no such bridge.
Status checkVlans(const std::string &bridge, bool managed);
Status keepVlansApart(const std::string &bridge, bool managed);
/// The part of it that others undo: rules, where the bridge is there. Nothing where nobody changed any since.
Status ensureRules(const Network &network);
// Forwards to one guest, in a table of its own: they come and go with it.
/// The whole transaction. `neighbours`: networks whose guests may ask for a forward to one among them.
Result<std::string> proxyRules(const std::string &owner, const std::vector<Forward> &forwards, const std::vector<Network> &neighbours);
/// In force; nothing is sent where they are already. Unsupported: this kernel cannot.
Status ensureProxies(const std::string &owner, const std::string &rules);
/// Idempotent.
Status removeProxies(const std::string &owner);
/// Those of all owners but these are removed.
Status sweepProxies(const std::set<std::string> &owners);

/// What only this host can tell of a new or changed configuration, before anything is done: addresses that another network
/// or interface has, interfaces that cannot become ports, lines that dnsmasq does not understand. `before`: what is in force.
Status checkHost(const Network &network, const Config &before = {});
/// Ports that `before` had and `network` has not are let go of.
Status releaseInterfaces(const Network &network, const Config &before);
/// Takes link, firewall table and dnsmasq away; leases are kept unless the folder is removed. Idempotent.
Status tearDown(const Network &network);

/// Which name and address a MAC gets. Takes effect at once; calling it again replaces.
struct Reservation {
    std::string instance; ///< DNS name.
    std::string mac;
    std::string ipv4; ///< "" lets the server choose.
    std::string ipv6;
};
/// Its addresses lie in the network's subnets and are not the bridge's own. Names and MAC may be empty.
Status checkReservation(const Network &network, const Reservation &reservation);
/// Invalid where the network's server never gives an address of that family (AF_INET, AF_INET6) that is chosen for a card.
Status checkGives(const Network &network, int family);
/// AlreadyExists when another MAC holds the name or the address on this network.
Status reserve(const Network &network, const Reservation &reservation);
/// Forgets name and lease of `mac`. Idempotent.
Status release(const Network &network, const std::string &mac);

struct Lease {
    std::string hostname;
    std::string mac;
    std::string address;
    enum class Type { Static, Dynamic, Gateway } type = Type::Dynamic;
};
Result<std::vector<Lease>> leases(const Network &network);

/// What keeps guests from something: "no way out for IPv4", why, and what to do about it, a command where there is one.
struct Problem {
    std::string what, cause, cure;
};
/// Asks the kernel and looks at the rules of others. Changes nothing.
std::vector<Problem> diagnose(const Network &network);

} // namespace lxmgr::network
