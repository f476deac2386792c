// What launch, create and copy share: the keys, devices and profiles a new instance is asked to have.
#pragma once

#include "api/instances.h"
#include "api/operations.h"
#include "api/types.h"
#include "base/result.h"
#include "cli/arguments.h"

namespace lxmgr::cli
{

/// --config, --device, --profile, --no-profiles, --network, --storage, --description and --ephemeral.
Status addOptions(api::InstancesPost &post, const Arguments &arguments);

/// A key of an inherited device is an override: the daemon wants the device whole, so the rest is taken over.
Status completeDevices(api::InstancesPost &post, const api::Devices &inherited);

/// The name that the daemon gave to what it creates.
std::string nameOf(const api::Operation &operation);

} // namespace lxmgr::cli
