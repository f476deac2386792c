// Addresses of other hosts: the host and the port of a URL.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace lxmgr::client
{

struct HostPort {
    std::string host; ///< IPv6 without brackets.
    std::uint16_t port = 8443;
};
/// Of an address that begins with https:// or http://. Invalid for another.
Result<HostPort> hostOf(const std::string &address);
/// Whether `host` is written as this host itself: "localhost", 127.x.y.z, ::1.
bool isThisHost(std::string_view host);

} // namespace lxmgr::client
