// Letting go of a whole pool with the instances in it.
#include "base/text.h"
#include "instances/manager.h"

namespace lxmgr::instances
{

namespace
{

bool hasVolumeOf(const Described &instance, const std::string &pool)
{
    for (const auto &[name, device] : instance.expanded.devices)
        if (const auto found = device.find("pool"); found != device.end() && found->second == pool)
            return true;
    return false;
}

} // namespace

Status Manager::detachPool(const std::string &pool)
{
    std::vector<store::Instance> rows = TRY(store::listInstances(m_s.db, ""));
    std::erase_if(rows, [&](const store::Instance &row) { return row.pool != pool; });
    std::vector<std::shared_ptr<std::mutex>> mutexes;
    std::vector<std::unique_lock<std::mutex>> locks;
    for (const store::Instance &row : rows) {
        mutexes.push_back(lockFor({row.project, row.name}));
        // Never waited for: another thread may hold one of these and wait for one that is ours already.
        locks.emplace_back(*mutexes.back(), std::try_to_lock);
        if (!locks.back().owns_lock())
            return Error(Code::WrongState, "instance " + quoted(row.name) + " is being worked on; try again");
    }
    for (const store::Instance &row : rows) {
        const InstanceKey key{row.project, row.name};
        TRY(readyRow(key));
        if (m_running->find(key))
            return Error(Code::WrongState,
                         "Instance is running: " + quoted(row.name) + " (stop it before detaching its pool)");
    }
    for (const Described &other : TRY(describeAll("")))
        if (other.guest && hasVolumeOf(other, pool))
            return Error(Code::WrongState, "instance " + quoted(other.row.name) +
                                               " runs with a volume of the pool (stop it before detaching the pool)");
    for (const store::Instance &row : rows)
        TRY(releaseNics(row));
    return m_s.pools.detach(pool, [&]() -> Status {
        for (const store::Instance &row : rows)
            TRY(store::deleteInstance(m_s.db, row.id));
        for (const store::Volume &row : TRY(store::listVolumes(m_s.db, pool, "")))
            TRY(store::deleteVolume(m_s.db, row.id));
        return {};
    });
}

} // namespace lxmgr::instances
