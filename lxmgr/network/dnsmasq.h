// The bridge's DHCP, DNS and router advertisement server: one dnsmasq(8), which outlives the daemon and is taken over again.
#pragma once

#include "base/result.h"
#include "network/config.h"

#include <optional>
#include <string>
#include <vector>

namespace lxmgr::network::dnsmasq
{

/// What a server of this network is called with. It is found again by exactly these words in /proc/PID/cmdline.
std::vector<std::string> arguments(const Network &network, const BridgeConfig &config);

/// Starts it, or keeps the one that runs with the same arguments in this network namespace, or replaces one with others.
/// Unsupported, naming the package, where there is no dnsmasq.
Status ensureRunning(const Network &network, const BridgeConfig &config);
/// Unsupported, naming the package, where there is none.
Status checkProgram();
/// Whether it understands these lines of a configuration. Invalid in its words; nothing is started.
Status checkLines(const std::string &lines);
/// Ends it; none running is fine.
Status stop(const Network &network);
bool isRunning(const Network &network);

/// The folder of reservations, readable by the server's own user.
Status makeFolders(const Network &network);
/// Makes a running server forget reservations whose file is gone.
Status reload(const Network &network);

/// One line of dhcp-host: "00:16:3e:aa:bb:cc,10.1.2.3,[fd42::5],web1". All values are checked.
Result<std::string> hostLine(const Reservation &reservation);
Result<Reservation> parseHostLine(const std::string &line);

/// One line of the lease file (untrusted: guests have a say in it).
struct LeaseLine {
    std::uint64_t expiry = 0;
    std::string mac; ///< "" for DHCPv6.
    std::string address;
    std::string clientId; ///< "*" for none.
    std::string name;     ///< As the server gave it, which has it from us; "*" for none.
};
std::vector<LeaseLine> parseLeases(const std::string &text);
/// DHCPRELEASE (RFC 2131) in the name of a guest that is gone: the server forgets the lease and its name at once.
Status releaseLease(const std::string &bridge, const netlink::Address &server, const LeaseLine &lease);

std::string hostsFolder(const Network &network);
std::string leaseFile(const Network &network);

} // namespace lxmgr::network::dnsmasq
