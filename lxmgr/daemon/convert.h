// Rows and kernel facts → the resources of the API.
#pragma once

#include "api/images.h"
#include "api/instance_state.h"
#include "api/instances.h"
#include "api/profiles.h"
#include "api/snapshots.h"
#include "api/volume_backups.h"
#include "instances/manager.h"

namespace lxmgr::daemon
{

api::Instance toApi(instances::Described described);
/// `snapshots` and `exports` nullptr: it has none.
api::InstanceFull toApiFull(instances::Described described, const instances::LiveState &state,
                            const std::vector<store::Snapshot> *snapshots, const std::vector<store::Export> *exports);
api::InstanceState toApi(const instances::LiveState &state);
api::Snapshot toApi(const store::Snapshot &snapshot);
api::InstanceBackup toApi(const store::Export &row);
api::StorageVolumeBackup toVolumeBackup(const store::Export &row);
api::NicState nicState(const network::Interface &interface);
api::Image toApi(const store::Image &image);
api::Profile toApi(const store::Profile &profile);
/// 0 is "no value".
api::Time timeOf(std::int64_t millis);
std::int64_t millisOf(const api::Time &time);
/// What a client may write of an instance, for its ETag.
std::string etagOf(const instances::Described &described);

} // namespace lxmgr::daemon
