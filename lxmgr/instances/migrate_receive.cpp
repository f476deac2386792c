// An instance taken over from another daemon: made like any other, or brought up to date beside what it is and swapped in.
// Snapshots that came whole stay though what follows them does not come, so that nothing has to come twice.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/text.h"
#include "base/undo.h"
#include "images/fingerprint.h"
#include "images/unpack.h"
#include "instances/journal.h"
#include "instances/migration.h"
#include "instances/names.h"
#include "instances/root_disk.h"
#include "instances/states.h"
#include "kernel/files.h"
#include "kernel/sys.h"
#include "storage/tree.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>

namespace lxmgr::instances
{

namespace
{

/// In the journal in place of a source that is an instance of this host.
constexpr const char *kFromElsewhere = "/:";
constexpr const char *kRowsStep = "rows"; ///< From here on a refresh goes forward.

/// What lies beside a root file system that is made from no image here.
Result<storage::Scratch> besideOf(storage::Driver &pool, const Offer &offer)
{
    storage::Scratch beside = TRY(pool.newScratch());
    TRY(storage::writeNewFile(beside.directory(), "metadata.yaml", offer.metadata));
    const Fd templates = TRY(storage::makeFolder(beside.directory(), "templates", 0755));
    for (const auto &[name, text] : offer.templates)
        TRY(storage::writeNewFile(templates, name, text));
    return beside;
}

/// 64 random hex digits: an image of one volume alone, which must not be taken for any that others can name.
std::string newImageName()
{
    return storage::randomName() + storage::randomName() + storage::randomName() + storage::randomName();
}

} // namespace

/// What one receiveVolume() of states from elsewhere needs.
struct Manager::Taking {
    const Offer &offer;
    MigrationLine &line;
    const MigrationChannel &channel;
    Progress &progress;
    bool devices = false;     ///< Whether the instance may have nodes of them.
    bool withSnapshots = true;
    std::uint64_t leftOut = 0;
    storage::Arrival::Cut cut = {}; ///< Where it ended early.
};

/// One state, as what is different from `base`.
Status Manager::takeState(Taking &taking, storage::Driver &pool, const std::string &state, const std::optional<std::string> &before,
                          const std::vector<Fd> &base, const Fd &to)
{
    const StateTaker taker{m_s.paths.helper, taking.offer, taking.line, taking.channel, taking.progress, taking.devices};
    const migrate::TreeResult taken = TRY(instances::takeState(taker, {state, before}, base, to, TRY(importLimits(pool))));
    taking.leftOut += taken.leftOut;
    for (const images::DeviceEntry &device : taken.devices)
        TRY(makeDevice(to, device));
    return failpoint("migrate.take.taken");
}

/// The image that the new volume is made from, if it is here and the project may use it.
Result<std::optional<std::string>> Manager::sharedImage(const std::string &project, const std::string &image, storage::Driver &pool,
                                                        Progress &progress)
{
    if (image.empty() || !images::isFingerprint(image) || !pool.sharesWithImages() || !store::findImage(m_s.db, project, image))
        return std::optional<std::string>();
    if (!pool.hasImage(image))
        TRY_IN("image " + quoted(image.substr(0, 12)), m_s.images.ensureUnpacked(pool, image, progress));
    return std::optional(image);
}

/// Makes the volume `to` of what comes; `like`: an older copy in the same pool.
Status Manager::takeVolume(Taking &taking, storage::Driver &pool, const InstanceKey &to, const std::optional<std::string> &like)
{
    const Offer &offer = taking.offer;
    storage::Arrival arrival;
    arrival.like = like;
    arrival.image = like ? TRY(pool.volumeImage(to.project, *like)) : TRY(sharedImage(to.project, offer.image, pool, taking.progress));
    const bool onImage = arrival.image && !like;
    const auto there = like ? TRY(snapshots({to.project, *like})) : std::vector<store::Snapshot>();
    if (like && (!taking.withSnapshots || !offer.snapshot.empty()))
        arrival.withSnapshotsOfLike = storage::WithSnapshots::Yes;

    // A volume of layers needs something to lie on: the first state that comes, which is then an image of its own.
    std::string own;
    const std::string first = taking.withSnapshots && !offer.snapshots.empty() ? offer.snapshots.front().name : std::string();
    Undo undo;
    if (!arrival.image && !like && pool.layersOnImage()) {
        own = newImageName();
        const store::Operation journal = newJournal(kReceiveOperation, to.project, to.name, pool.name() + "/" + own);
        TRY(store::beginOperation(m_s.db, journal));
        undo.add("receive journal",
                 makingRoom(m_s.db, [this, id = journal.id] { return store::finishOperation(m_s.db, id, store::OperationStatus::Success); }));
        undo.add("own image", [&pool, own] { return pool.deleteImage(own); }); // it stays for as long as the volume lies on it
        TRY(pool.addImage(own, [&](const Fd &folder) -> Status {
            TRY(storage::writeNewFile(folder, "metadata.yaml", offer.metadata));
            return takeState(taking, pool, first, {}, {}, TRY(storage::makeFolder(folder, "rootfs", 0755)));
        }));
        arrival.image = own;
    }
    const auto write = [&](const std::string &state) {
        return [&, state](const std::vector<Fd> &base, const std::string *previous, const Fd &folder) -> Status {
            if (!own.empty() && state == first) // it is what all lies on
                return storage::copyAttributes(base.back(), folder);
            std::optional<std::string> before;
            if (previous)
                before = *previous;
            else if (onImage && own.empty())
                before = kImageState;
            return takeState(taking, pool, state, before, base, folder);
        };
    };
    for (const store::Snapshot &snapshot : taking.withSnapshots ? offer.snapshots : std::vector<store::Snapshot>()) {
        const bool known = std::ranges::any_of(there, [&](const store::Snapshot &other) { return isSame(snapshot, other); });
        arrival.snapshots.push_back({snapshot.name, {}, known, write(snapshot.name)});
    }
    arrival.now = {"", {}, false, write("")};
    arrival.cut = &taking.cut;
    const storage::Scratch beside = TRY(besideOf(pool, offer));
    if (!onImage || !own.empty())
        arrival.beside = &beside.directory();
    return pool.receiveVolume(to.project, to.name, arrival, taking.progress); // the image goes now, or with the volume
}

/// A target that an earlier transfer left without its newest state.
Status Manager::checkComplete(const store::Instance &row) const
{
    if (valueOf(row.config, kUnfinishedKey).empty())
        return {};
    return Error(Code::WrongState, "instance " + quoted(row.name) + " has not come whole from the other server")
        .hint("repeat the copy with --refresh, which goes on from there; restore one of its snapshots; or delete it");
}

/// What ended it, and what is there all the same.
Error Manager::keptWhole(const Taking &taking)
{
    const std::size_t count = taking.cut.snapshots.size();
    return Error(taking.cut.error).hint(std::to_string(count) + (count == 1 ? " snapshot is" : " snapshots are") +
                                        " here already: repeat it with --refresh and it goes on from there");
}

Status Manager::takeNew(const ReceiveRequest &request, Taking &taking)
{
    CreateRequest target = request.target;
    const InstanceKey key{target.project, target.name};
    const bool moved = target.config.contains("volatile.uuid");
    target.config = importedConfig(target.config, {});
    TRY(dropTaken(target.config));
    target.config.erase("volatile.base_image"); // follows from the files
    const StringMap all = target.config;
    std::erase_if(target.config, [](const auto &entry) { return entry.first.starts_with("volatile."); });
    NewInstance created = TRY(planNew(target));
    created.row.config.insert(all.begin(), all.end());
    created.row.image = taking.offer.image;
    created.birth = moved ? Birth::Imported : Birth::Copied;
    if (moved)
        created.row.createdAt = taking.offer.createdAt;
    taking.devices = created.wanted.config.privileged.value_or(false);
    std::vector<store::Snapshot> snapshots = taking.withSnapshots ? taking.offer.snapshots : std::vector<store::Snapshot>();
    for (store::Snapshot &snapshot : snapshots) {
        snapshot.config = importedConfig(snapshot.config, {});
        snapshot.expandedConfig = importedConfig(snapshot.expandedConfig, {});
        settleRoot(snapshot, created.row.pool);
    }
    TRY(build(created, std::move(snapshots), [&]() -> Status {
        TRY(takeVolume(taking, *created.pool, key, {}));
        if (taking.cut.happened)
            TRY(recordCut(created.row, taking));
        return {};
    }));
    return taking.cut.happened ? Status(keptWhole(taking)) : Status();
}

/// Of the snapshots only those that came; and the instance says that it is not whole.
Status Manager::recordCut(const store::Instance &row, const Taking &taking)
{
    return m_s.db.transaction([&]() -> Status {
        for (const store::Snapshot &snapshot : TRY(store::listSnapshots(m_s.db, row.id)))
            if (std::ranges::find(taking.cut.snapshots, snapshot.name) == taking.cut.snapshots.end())
                TRY(store::deleteSnapshot(m_s.db, snapshot.id));
        return store::setInstanceConfig(m_s.db, row.id, {{kUnfinishedKey, taking.offer.name}});
    });
}

Status Manager::takeRefresh(const store::Instance &row, Taking &taking)
{
    const InstanceKey target{row.project, row.name};
    if (m_running->find(target))
        return Error(Code::WrongState, "Instance is running: " + quoted(target.name) + " (stop it before refreshing it)");
    TRY(checkNotKept(target));
    const Pools::Use held = TRY(m_s.pools.get(row.pool));
    storage::Driver &pool = *held;
    taking.devices = row.idRange.size == 0;
    const InstanceKey beside{target.project, "refresh-" + newUuid().substr(0, 8)};
    const store::Operation journal = newJournal(kRefreshOperation, target.project, target.name, beside.name + kFromElsewhere);
    TRY(store::beginOperation(m_s.db, journal));
    Undo undo;
    undo.add("refresh journal", makingRoom(m_s.db, [&] { return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure); }));
    undo.add("refresh volume", makingRoom(m_s.db, [&] { return pool.deleteVolume(beside.project, beside.name); }));
    TRY_IN("refresh " + quoted(target.name), takeVolume(taking, pool, beside, target.name));
    TRY(pool.setLimit(beside.project, beside.name, TRY(pool.limit(target.project, target.name))));
    TRY(failpoint("migrate.refresh.taken"));
    TRY(store::addOperationStep(m_s.db, journal.id, {kSwapStep, TRY(volumeIdentity(pool, beside))}));
    TRY_IN("refresh " + quoted(target.name), pool.swapVolumes(target.project, target.name, beside.name));
    undo.add("refresh swap", makingRoom(m_s.db, [&] { return pool.swapVolumes(target.project, target.name, beside.name); }));
    TRY(failpoint("migrate.refresh.swapped"));
    TRY(recordRefresh(row, taking, journal));
    undo.keep(); // from here on it goes forward
    TRY(failpoint("migrate.refresh.rows"));
    TRY(endRefresh(row, beside.name, journal));
    return taking.cut.happened ? Status(keptWhole(taking)) : Status();
}

/// The snapshots that came are now those of the instance.
Status Manager::recordRefresh(const store::Instance &row, const Taking &taking, const store::Operation &journal)
{
    const store::FreeingSpace freeing(m_s.db);
    return m_s.db.transaction([&]() -> Status {
        if (taking.withSnapshots && taking.offer.snapshot.empty()) {
            for (const store::Snapshot &old : TRY(store::listSnapshots(m_s.db, row.id)))
                TRY(store::deleteSnapshot(m_s.db, old.id));
            for (store::Snapshot snapshot : taking.offer.snapshots) {
                if (taking.cut.happened && std::ranges::find(taking.cut.snapshots, snapshot.name) == taking.cut.snapshots.end())
                    continue;
                snapshot.config = importedConfig(snapshot.config, {});
                snapshot.expandedConfig = importedConfig(snapshot.expandedConfig, {});
                settleRoot(snapshot, row.pool);
                snapshot.instanceId = row.id;
                snapshot.status = store::SnapshotStatus::Ready;
                TRY(store::insertSnapshot(m_s.db, snapshot));
            }
        }
        if (!taking.cut.happened) {
            TRY(store::setInstanceConfig(m_s.db, row.id, {{kUnfinishedKey, ""}}));
            TRY(store::setInstanceImage(m_s.db, row.id, taking.offer.image));
        }
        return store::addOperationStep(m_s.db, journal.id, {kRowsStep, ""});
    });
}

/// Each step may be repeated: recovery calls this again.
Status Manager::endRefresh(const store::Instance &row, const std::string &beside, const store::Operation &journal)
{
    const InstanceKey key{row.project, row.name};
    TRY(TRY(m_s.pools.get(row.pool))->deleteVolume(row.project, beside));
    TRY(makingRoom(m_s.db, [&] { return writeBackup(key); })());
    TRY(store::finishOperation(m_s.db, journal.id, store::OperationStatus::Success));
    TRY(failpoint("migrate.refresh.done"));
    m_s.emit({"instance-updated", key, {}});
    return {};
}

bool Manager::isRefreshRecorded(const store::Operation &journal)
{
    return std::ranges::find(journal.steps, kRowsStep, &store::OperationStep::name) != journal.steps.end();
}

/// The image of a volume that did not come to be goes; of one that did it stays until that is deleted.
Status Manager::recoverReceive(const store::Operation &journal)
{
    const std::vector<std::string> arguments = split(journal.arguments, '/');
    if (const auto pool = m_s.pools.get(arguments.front()); pool && arguments.size() == 2)
        TRY((*pool)->deleteImage(arguments.back()));
    return store::finishOperation(m_s.db, journal.id, store::OperationStatus::Failure, "interrupted by daemon restart");
}

Result<std::vector<std::string>> Manager::receiveInstance(const ReceiveRequest &request, const MigrationChannel &channel, Progress &progress)
{
    const Interrupt interrupt = TRY(Interrupt::of(progress));
    MigrationLine line(channel.control, interrupt.fd());
    std::vector<std::string> warnings;
    Status done = [&]() -> Status {
        TRY(line.greet(Carried::Instance));
        const Offer offer = TRY(line.takeOffer());
        const InstanceKey key{request.target.project, request.target.name};
        if (offer.server == serverId() && key == InstanceKey{offer.project, offer.name})
            return Error(Code::Invalid, "instance " + quoted(key.name) + " cannot be copied onto itself");
        const auto lock = lockFor(key);
        const std::lock_guard guard(*lock);
        Taking taking{offer, line, channel, progress};
        taking.withSnapshots = request.withSnapshots;
        const auto row = request.refresh ? find(key) : Result<store::Instance>(Error(Code::NotFound, key.name));
        TRY(row ? takeRefresh(TRY(readyRow(key)), taking) : takeNew(request, taking));
        if (taking.leftOut > 0)
            warnings.push_back(nodesLeftOut(taking.leftOut));
        return {};
    }();
    if (done) {
        (void)line.done(); // all is here and recorded, whether the other side still hears it or not
        return warnings;
    }
    return endTransfer(line, channel, std::move(done)).error();
}

} // namespace lxmgr::instances
