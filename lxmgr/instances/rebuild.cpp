// Makes the root file system of a stopped instance anew, from an image or empty. Name, configuration and addresses stay.
#include "instances/cloud_init.h"
#include "instances/journal.h"
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "kernel/sys.h"

namespace lxmgr::instances
{

namespace
{

constexpr const char *kNoImage = "-"; ///< In the journal, behind the name of the volume beside.

/// Tells one folder of a volume from another that has its name later.
Result<std::string> identityOf(storage::Driver &pool, const InstanceKey &key)
{
    return std::to_string(TRY(sys::fstat(TRY(pool.openVolume(key.project, key.name)))).st_ino);
}

/// What changes in the configuration: the keys that tell of the old files go, those of the image come.
StringMap changedKeys(const store::Instance &row, const StringMap &imageProperties)
{
    StringMap changes;
    for (const auto &[key, value] : row.config)
        if (key.starts_with("image.") || key.starts_with("volatile.cloud-init."))
            changes[key] = "";
    changes["volatile.base_image"] = row.image;
    changes["volatile.apply_template"] = "create";
    for (const auto &[name, value] : imageProperties)
        changes["image." + name] = value;
    return changes;
}

} // namespace

/// The new volume is made beside the old one and changes places with it at once, so that it is whole whoever dies when.
Status Manager::rebuild(const InstanceKey &key, const RebuildRequest &request, Progress &progress)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Instance row = TRY(readyRow(key));
    if (m_running->find(key))
        return Error(Code::WrongState, "Instance is running: " + quoted(key.name) + " (stop it before rebuilding it)");
    TRY(checkNotKept(key));
    if (!TRY(snapshots(key)).empty())
        return Error(Code::WrongState, "instance " + quoted(key.name) + " has snapshots, which would not be its own any more (delete them first)");
    const Pools::Use held = TRY(m_s.pools.get(row.pool));
    storage::Driver &pool = *held;
    std::optional<std::string> image;
    if (!request.empty) {
        const store::Image from = request.remote                ? TRY(m_s.images.obtainRemote(key.project, *request.remote, progress))
                                  : request.fingerprint.empty() ? TRY(m_s.images.obtain(key.project, request.alias, {}, progress))
                                                                : TRY(store::findImage(m_s.db, key.project, request.fingerprint));
        image = from.fingerprint;
        TRY(store::setImageUsed(m_s.db, from.id, store::unixMillis()));
        TRY_IN("image " + quoted(from.fingerprint.substr(0, 12)),
               m_s.undo.withRoom(row.pool, [&] { return m_s.images.ensureUnpacked(pool, from.fingerprint, progress); }));
    }
    if (progress.cancelled())
        return Error(Code::Cancelled, "rebuilding " + quoted(key.name) + " was cancelled");
    const InstanceKey beside{key.project, "rebuild-" + newUuid().substr(0, 8)};
    const store::Operation journal = newJournal(kRebuildOperation, key.project, key.name, beside.name + "/" + image.value_or(kNoImage));
    TRY(store::beginOperation(m_s.db, journal));
    Undo undo;
    undo.add("rebuild journal", makingRoom(m_s.db, [&] { return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure); }));
    undo.add("rebuild volume", makingRoom(m_s.db, [&] { return pool.deleteVolume(beside.project, beside.name); }));
    TRY(failpoint("rebuild.record"));
    TRY_IN("rebuild " + quoted(key.name),
           m_s.undo.withRoom(row.pool, [&] { return pool.createVolume(beside.project, beside.name, image); }));
    TRY_IN("rebuild " + quoted(key.name), pool.setLimit(beside.project, beside.name, TRY(pool.limit(key.project, key.name))));
    TRY(store::addOperationStep(m_s.db, journal.id, {"swap", TRY(identityOf(pool, beside))}));
    TRY_IN("rebuild " + quoted(key.name), pool.swapVolumes(key.project, key.name, beside.name));
    undo.keep(); // from here on it goes forward
    TRY(failpoint("rebuild.swapped"));
    return finishRebuild(row, journal);
}

/// Each step may be repeated: recovery calls this again.
Status Manager::finishRebuild(store::Instance row, const store::Operation &journal)
{
    const Pools::Use held = TRY(m_s.pools.get(row.pool));
    const store::FreeingSpace freeing(m_s.db); // once the files are there the row must follow, on a full disk too
    const std::vector<std::string> arguments = split(journal.arguments, '/');
    row.image = arguments.at(1) == kNoImage ? "" : arguments.at(1);
    StringMap properties;
    if (const auto image = row.image.empty() ? Result<store::Image>(Error(Code::NotFound, "")) : store::findImage(m_s.db, row.project, row.image))
        properties = image->properties;
    TRY(m_s.db.transaction([&]() -> Status {
        TRY(store::setInstanceImage(m_s.db, row.id, row.image));
        return store::setInstanceConfig(m_s.db, row.id, changedKeys(row, properties));
    }));
    TRY(held->deleteVolume(row.project, arguments.at(0)));
    TRY(makingRoom(m_s.db, [&] { return writeBackup({row.project, row.name}); })());
    TRY(store::finishOperation(m_s.db, journal.id, store::OperationStatus::Success));
    m_s.emit({"instance-updated", {row.project, row.name}, {}});
    return {};
}

/// What was made is thrown away, unless the old files had made place for it already.
Status Manager::recoverRebuild(const store::Operation &journal)
{
    const std::string beside = split(journal.arguments, '/').at(0);
    if (const auto row = find({journal.project, journal.object})) {
        const Pools::Use pool = TRY(m_s.pools.get(row->pool));
        const auto identity = identityOf(*pool, {row->project, row->name});
        if (!journal.steps.empty() && identity && *identity == journal.steps.back().undo) {
            log::info("instance '" + row->name + "': its rebuild was cut off; completing it");
            return finishRebuild(*row, journal);
        }
        TRY(pool->deleteVolume(row->project, beside));
    }
    return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

} // namespace lxmgr::instances
