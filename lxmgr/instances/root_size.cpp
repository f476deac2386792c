// How large root disks may get. A limit is set before the definition that asks for it is recorded, so that what cannot be is
// refused while nothing has changed; a journal names the instances, and recovery limits them as the definition says by then.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "instances/journal.h"
#include "instances/root_disk.h"


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

} // namespace lxmgr::instances
