// Which pool the root disk of an instance lies in and how large it may get, as its devices say.
#pragma once

#include "config/devices.h"
#include "store/snapshots.h"

#include <string>

namespace lxmgr::instances
{

/// The name of the root disk among `devices`; "" where there is none.
std::string rootIn(const DeviceMap &devices);
/// The pool that the root disk among `devices` names; "" where there is none.
std::string poolIn(const DeviceMap &devices);
/// The "size" of the root disk among `devices`; 0 is no limit. Invalid.
Result<std::optional<Bytes>> sizeIn(const DeviceMap &devices);
/// `devices` as if their root disk had no size and no disk limits: those have ways of their own.
DeviceMap withoutLimits(DeviceMap devices);
/// Makes the root disk lie in `pool`, by a device of its own where `expanded` would say otherwise.
void settleRoot(DeviceMap &devices, const DeviceMap &expanded, const std::string &pool);
/// The same for what the snapshot remembers.
void settleRoot(store::Snapshot &snapshot, const std::string &pool);

} // namespace lxmgr::instances
