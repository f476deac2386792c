#include "instances/volume_transfer.h"

#include "base/failpoint.h"
#include "base/interrupt.h"
#include "base/text.h"
#include "config/volume_config.h"
#include "instances/exchange.h"
#include "instances/packing.h"
#include "instances/states.h"

#include <algorithm>

namespace lxmgr::instances
{

namespace
{

/// Two of them are never one volume; neither name has a slash.
std::string placeOf(const VolumeKey &key) { return key.pool + "/" + key.project; }

/// As the wire has snapshots of whatever.
store::Snapshot toWire(const store::VolumeSnapshot &row)
{
    store::Snapshot snapshot;
    snapshot.name = row.name;
    snapshot.description = row.description;
    snapshot.createdAt = row.createdAt;
    snapshot.expiresAt = row.expiresAt;
    snapshot.config = row.config;
    snapshot.schedule = row.schedule;
    return snapshot;
}

store::VolumeSnapshot fromWire(const store::Snapshot &snapshot)
{
    store::VolumeSnapshot row;
    row.name = snapshot.name;
    row.description = snapshot.description;
    row.createdAt = snapshot.createdAt;
    row.expiresAt = snapshot.expiresAt;
    row.config = config::withoutVolatile(snapshot.config);
    row.schedule = snapshot.schedule;
    return row;
}

} // namespace

Status VolumeTransfer::send(const VolumeSend &request, const MigrationChannel &channel, Progress &progress)
{
    const Interrupt interrupt = TRY(Interrupt::of(progress));
    MigrationLine line(channel.control, interrupt.fd());
    return endTransfer(line, channel, [&]() -> Status {
        TRY(line.greet(Carried::Volume));
        return m_volumes.whileHeld(request.source, [&](const store::Volume &row, storage::Driver &pool) -> Status {
            Offer offer;
            offer.server = serverId();
            offer.project = placeOf(request.source);
            offer.name = row.name;
            offer.snapshot = request.snapshot;
            offer.createdAt = row.createdAt;
            const auto all = TRY(m_volumes.snapshots(request.source));
            for (const store::VolumeSnapshot &snapshot : request.withSnapshots && request.snapshot.empty() ? all : std::vector<store::VolumeSnapshot>())
                offer.snapshots.push_back(toWire(snapshot));
            const auto layersOfSnapshot = [&](const std::string &snapshot) -> Result<std::vector<std::string>> {
                return layersOf(TRY(pool.snapshotRoot(row.project, row.name, snapshot)));
            };
            std::unique_ptr<storage::Held> held;
            StatesToSend states{m_paths.helper, offer, {}, {}, layersOfSnapshot};
            if (!request.snapshot.empty()) {
                TRY(m_volumes.snapshot(request.source, request.snapshot));
                states.now = TRY(layersOfSnapshot(request.snapshot));
            } else {
                if (request.inUse == storage::InUse::Yes)
                    held = TRY(pool.hold(row.project, row.name, request.inUse));
                states.now = layersOf(held ? held->tree() : TRY(pool.root(row.project, row.name)));
            }
            TRY(line.offer(offer));
            return sendStates(states, line, channel, progress);
        });
    }());
}

/// A new volume of what comes, or what is there already brought to it.
Status VolumeTransfer::take(const VolumeReceive &request, const Offer &offer, MigrationLine &line, const MigrationChannel &channel,
                            Progress &progress, std::uint64_t &leftOut)
{
    const VolumeKey key = keyOfVolume(request.target);
    const bool wantsSnapshots = request.withSnapshots && offer.snapshot.empty();
    std::vector<store::VolumeSnapshot> rows;
    for (const store::Snapshot &snapshot : wantsSnapshots ? offer.snapshots : std::vector<store::Snapshot>())
        rows.push_back(fromWire(snapshot));
    const bool renews = request.refresh && m_volumes.find(key);
    const auto there = renews ? TRY(m_volumes.snapshots(key)) : std::vector<store::VolumeSnapshot>();
    const auto makeTrees = [&](storage::Driver &pool, const store::Volume &row) -> Status {
        const StateTaker taker{m_paths.helper, offer, line, channel, progress, false};
        const images::UnpackLimits limits = TRY(importLimits(pool));
        const auto write = [&](const std::string &state) {
            return [&, state](const std::vector<Fd> &base, const std::string *before, const Fd &to) -> Status {
                const migrate::TreeResult taken = TRY(takeState(taker, {state, before ? std::optional(*before) : std::nullopt}, base, to, limits));
                leftOut += taken.leftOut;
                return failpoint("migrate.take.taken");
            };
        };
        storage::Arrival arrival;
        if (renews)
            arrival.like = key.name;
        if (renews && !wantsSnapshots)
            arrival.withSnapshotsOfLike = storage::WithSnapshots::Yes;
        for (const store::VolumeSnapshot &snapshot : rows) {
            const bool known = std::ranges::any_of(there, [&](const store::VolumeSnapshot &other) { return isSame(snapshot, other); });
            arrival.snapshots.push_back({snapshot.name, {}, known, write(snapshot.name)});
        }
        arrival.now = {"", {}, false, write("")};
        return pool.receiveVolume(row.project, row.name, arrival, progress);
    };
    if (renews)
        return m_volumes.renew(key, wantsSnapshots ? std::optional(rows) : std::nullopt, makeTrees);
    store::Volume row = request.target;
    row.config = config::withoutVolatile(row.config);
    return m_volumes.make(std::move(row), rows, makeTrees);
}

Result<std::vector<std::string>> VolumeTransfer::receive(const VolumeReceive &request, const MigrationChannel &channel, Progress &progress)
{
    const Interrupt interrupt = TRY(Interrupt::of(progress));
    MigrationLine line(channel.control, interrupt.fd());
    std::uint64_t leftOut = 0;
    TRY(endTransfer(line, channel, [&]() -> Status {
        TRY(line.greet(Carried::Volume));
        const Offer offer = TRY(line.takeOffer());
        const VolumeKey key = keyOfVolume(request.target);
        if (offer.server == serverId() && offer.project == placeOf(key) && offer.name == key.name)
            return Error(Code::Invalid, titleOf(key) + " cannot be copied onto itself");
        return take(request, offer, line, channel, progress, leftOut);
    }()));
    (void)line.done(); // all is here and recorded, whether the other side still hears it or not
    return leftOut > 0 ? std::vector{nodesLeftOut(leftOut)} : std::vector<std::string>();
}

} // namespace lxmgr::instances
