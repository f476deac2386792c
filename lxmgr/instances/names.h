// Names and numbers made up for instances.
#pragma once

#include <string>

namespace lxmgr::instances
{

/// Adjective and noun, "brave-otter".
std::string inventName();
/// 16 random bytes as a UUID of version 4 (RFC 9562).
std::string newUuid();
/// 00:16:3e and three random bytes.
std::string newMac();
/// "veth" and eight hex digits: within the kernel's 15.
std::string newHostInterface();

} // namespace lxmgr::instances
