// How large root disks may get. A limit is set before the definition that asks for it is recorded, so that what cannot be is
// refused while nothing has changed; a journal names the instances, and recovery limits them as the definition says by then.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/journal.h"
#include "instances/root_disk.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

std::optional<Bytes> unlessZero(std::optional<Bytes> size) { return size && size->count == 0 ? std::nullopt : size; }

} // namespace

Result<std::optional<Bytes>> Manager::rootLimit(const DeviceMap &devices, const std::string &pool) const
{
    if (const auto own = TRY(sizeIn(devices)))
        return unlessZero(own);
    const StringMap defaults = TRY(m_s.pools.volumeDefaults(pool));
    const auto size = defaults.find("size");
    return size == defaults.end() ? std::optional<Bytes>() : unlessZero(TRY_IN("volume.size", parseBytes(size->second)));
}

Status Manager::limitRoot(const InstanceKey &key, const DeviceMap &devices, storage::Driver &pool) const
{
    const auto limit = TRY(rootLimit(devices, pool.name()));
    return limit ? pool.setLimit(key.project, key.name, limit) : Status();
}

/// `object`: what the journal is of, for people.
Status Manager::resize(const std::string &object, const std::vector<Resize> &resizes, const std::function<Status()> &record)
{
    if (resizes.empty())
        return record();
    std::vector<std::string> names;
    for (const Resize &each : resizes) {
        names.push_back(each.key.name);
        if (each.limit)
            TRY_IN("root disk of " + quoted(each.key.name) + ": size", TRY(m_s.pools.get(each.pool))->canLimit());
    }
    const store::Operation journal = newJournal(kResizeOperation, resizes.front().key.project, object, join(names, "/"));
    TRY(store::beginOperation(m_s.db, journal));
    Undo undo;
    undo.add("resize journal", makingRoom(m_s.db, [&] { return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure); }));
    TRY(failpoint("resize.record"));
    for (const Resize &each : resizes) {
        const Pools::Use pool = TRY(m_s.pools.get(each.pool));
        const auto before = TRY(pool->limit(each.key.project, each.key.name));
        TRY_IN("root disk of " + quoted(each.key.name), pool->setLimit(each.key.project, each.key.name, each.limit));
        undo.add("size of " + each.key.name, [pool, &each, before] { return pool->setLimit(each.key.project, each.key.name, before); });
    }
    TRY(failpoint("resize.set"));
    TRY(record());
    undo.keep();
    TRY(failpoint("resize.done"));
    return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Success);
}

Status Manager::recoverResize(const store::Operation &journal)
{
    for (const std::string &name : split(journal.arguments, '/')) {
        const auto row = find({journal.project, name});
        if (!row)
            continue;
        const auto limit = rootLimit(TRY(expanded(*row)).devices, row->pool);
        TRY_IN("root disk of " + quoted(name),
               TRY(m_s.pools.get(row->pool))->setLimit(journal.project, name, TRY(limit)));
    }
    return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

/// Runs `replace`, which puts other content in the place of a volume's, where that comes with another definition: under a
/// limit that is high enough for both. What comes back is not lost because it is too large by now.
Status Manager::whileResized(const store::Instance &before, const store::Instance &after, storage::Driver &pool,
                             const std::function<Status()> &replace)
{
    const DeviceMap devices = TRY(expanded(after)).devices;
    const auto old = expanded(before);
    if (old && TRY(sizeIn(old->devices)) == TRY(sizeIn(devices)))
        return replace();
    const auto limit = TRY(rootLimit(devices, pool.name()));
    const auto was = TRY(pool.limit(before.project, before.name));
    const bool grows = was && (!limit || *limit > *was);
    Undo undo;
    if (grows) {
        TRY(pool.setLimit(before.project, before.name, limit));
        undo.add("size of " + before.name, [&] { return pool.setLimit(before.project, before.name, was); });
    }
    TRY(replace());
    undo.keep();
    if (!grows)
        if (const Status set = pool.setLimit(before.project, before.name, limit); !set)
            log::warning("instance '" + before.name + "': root disk: " + set.error().message + ", its limit stays as it was");
    return {};
}

Status Manager::changeProfile(const store::Profile &after, const std::function<Status()> &record)
{
    const auto wanted = TRY(sizeIn(after.devices));
    if (const std::string name = poolIn(after.devices); wanted && wanted->count != 0 && !name.empty())
        if (const auto pool = m_s.pools.get(name)) // one that is not there yet says so when it is used
            TRY_IN("profile " + quoted(after.name) + ": root disk: size", (*pool)->canLimit());
    std::vector<Resize> resizes;
    for (const store::Instance &row : TRY(store::listInstances(m_s.db, after.project))) {
        if (row.status != store::InstanceStatus::Ready || std::ranges::find(row.profiles, after.name) == row.profiles.end())
            continue;
        std::vector<config::ProfileDocument> profiles;
        for (const std::string &name : row.profiles) {
            const store::Profile profile = name == after.name ? after : TRY(store::findProfile(m_s.db, row.project, name));
            profiles.push_back({profile.name, profile.description, profile.config, profile.devices, {}});
        }
        const DeviceMap devices = config::expand(profiles, row.config, row.devices).devices;
        if (poolIn(devices) == row.pool && TRY(sizeIn(devices)) != TRY(sizeIn(TRY(expanded(row)).devices)))
            resizes.push_back({{row.project, row.name}, row.pool, TRY(rootLimit(devices, row.pool))});
    }
    return resize(after.name, resizes, record);
}

} // namespace lxmgr::instances
