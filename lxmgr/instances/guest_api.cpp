#include "instances/guest_api.h"

#include "instances/manager.h"

namespace lxmgr::instances
{

std::string guestApiFolder(const Paths &paths, const InstanceKey &key)
{
    return paths.instanceRunDir(key.project, key.name) + "/guestapi";
}

/// Without the lock of the instance: whoever starts it holds that while the API begins to listen.
Status Manager::setReady(const InstanceKey &key, bool ready)
{
    const store::Instance row = TRY(readyRow(key));
    TRY(store::setInstanceConfig(m_s.db, row.id, {{kReadyKey, ready ? "true" : "false"}}, store::Durability::Relaxed));
    if (ready)
        m_s.emit({"instance-ready", key, {}});
    return {};
}

} // namespace lxmgr::instances
