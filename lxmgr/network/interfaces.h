// Interfaces as the API reports them: of the host, of a managed network, of a running guest.
#pragma once

#include "kernel/netlink.h"

#include <string>
#include <vector>

namespace lxmgr::network
{

struct Interface : netlink::Link {
    std::string hostName; ///< Of a guest's veth: its outer end on the host.
    bool up() const;
    std::string_view typeName() const; ///< broadcast, loopback, point-to-point
    std::string_view apiType() const;  ///< bridge, physical, loopback, …: the "type" of an unmanaged network
};

Result<std::vector<Interface>> hostInterfaces();
/// NotFound.
Result<Interface> hostInterface(const std::string &name);
/// Of the network namespace `netns` (an fd of /proc/PID/ns/net, or a pidfd of a process in it). Under 1 ms.
Result<std::vector<Interface>> guestInterfaces(int netns);

} // namespace lxmgr::network
