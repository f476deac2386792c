// An instance, or a snapshot, handed over to another daemon: kept as it is while that takes it, state by state.
#include "instances/manager.h"

#include "base/failpoint.h"
#include "base/interrupt.h"
#include "base/text.h"
#include "instances/migration.h"
#include "instances/packing.h"
#include "instances/states.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <fcntl.h>

namespace lxmgr::instances
{

namespace
{

constexpr std::size_t kLongestTemplate = 1 << 20;
constexpr std::size_t kMostTemplates = 100;

Status addTemplates(const std::string &folder, Offer &offer)
{
    if (folder.empty())
        return {};
    const Fd opened = TRY(path::openFolder(folder));
    for (const std::string &name : TRY(path::list(opened))) {
        const Fd file = TRY(path::open(opened, name, O_RDONLY | O_NONBLOCK, path::Scope::NoSymlink));
        if (offer.templates.size() >= kMostTemplates)
            return Error(Code::Unsupported, "it has more than " + std::to_string(kMostTemplates) + " templates");
        offer.templates.emplace_back(name, TRY_IN("template " + quoted(name), files::readAll(file, kLongestTemplate)));
    }
    return {};
}

} // namespace

Result<Offer> Manager::offerOf(const store::Instance &row, const SendRequest &request, storage::Driver &pool)
{
    Offer offer;
    offer.server = serverId();
    offer.project = row.project;
    offer.name = row.name;
    offer.snapshot = request.snapshot;
    offer.image = row.image;
    offer.createdAt = row.createdAt;
    if (request.withSnapshots && request.snapshot.empty())
        offer.snapshots = TRY(snapshots({row.project, row.name}));
    const Beside beside = TRY(besideOf(pool, row));
    offer.metadata = beside.metadata;
    TRY(addTemplates(beside.templates, offer));
    return offer;
}

Status Manager::sendInstance(const SendRequest &request, const MigrationChannel &channel, Progress &progress)
{
    const Interrupt interrupt = TRY(Interrupt::of(progress));
    MigrationLine line(channel.control, interrupt.fd());
    return endTransfer(line, channel, [&]() -> Status {
        TRY(line.greet(Carried::Instance));
        const InstanceKey &key = request.source;
        const auto lock = lockFor(key);
        std::unique_lock guard(*lock);
        const store::Instance row = TRY(readyRow(key));
        TRY(checkComplete(row));
        const auto pool = TRY(m_s.pools.get(row.pool));
        const Offer offer = TRY(offerOf(row, request, *pool));
        KeptTree tree;
        if (request.snapshot.empty()) {
            tree = TRY(keepTree(row, *pool, guard));
        } else {
            TRY(readySnapshot(key, row.id, request.snapshot));
            tree.layers = layersOf(TRY(pool->snapshotRoot(key.project, key.name, request.snapshot)));
            tree.kept = keepVolume(key);
            guard.unlock();
        }
        TRY(line.offer(offer));
        StatesToSend states{m_s.paths.helper, offer, tree.layers, {}, [&](const std::string &snapshot) -> Result<std::vector<std::string>> {
                                return layersOf(TRY(pool->snapshotRoot(row.project, row.name, snapshot)));
                            }};
        // Of layers on it the lowest is the image itself; all else has no state to compare with.
        if (tree.layers.size() > 1 && TRY(pool->volumeImage(row.project, row.name)) == offer.image)
            states.image = {tree.layers.back()};
        return sendStates(states, line, channel, progress);
    }());
}

} // namespace lxmgr::instances
