// Names and numbers made up for instances.
#pragma once

#include "config/devices.h"
#include "store/instances.h"

#include <string>

namespace lxmgr::instances
{

/// Adjective and noun, "brave-otter".
std::string inventName();
/// 16 random bytes as a UUID of version 4 (RFC 9562).
std::string newUuid();
inline constexpr const char *kUuidKey = "volatile.uuid";
/// Its value, "" for none.
std::string uuidOf(const store::Instance &row);
/// 00:16:3e and three random bytes.
std::string newMac();
/// "veth" and eight hex digits: within the kernel's 15.
std::string newHostInterface();

/// What uname(2) calls the host's: "x86_64".
std::string hostArchitecture();

/// RUNNING or STOPPED: what it was last asked to be. A host that lost power goes by it, and boot.autorestart.
inline constexpr const char *kPowerKey = "volatile.last_state.power";

/// What the daemon itself gives an instance: at its birth, or to one that comes with some of it.
enum class Birth { Created, Copied, Imported };
/// What the cards among `devices` have for a MAC address and a name on the host where neither they nor `config` say so.
StringMap missingCardKeys(const StringMap &config, const std::vector<config::Device> &devices);
void addVolatile(store::Instance &row, const std::vector<config::Device> &devices, Birth birth);

} // namespace lxmgr::instances
