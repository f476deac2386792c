// Comparing states of an instance: finds out where they lie, and has lxmgr-helper look.
//
// The instance is held only until both are open. Looking may take long, and nobody is to wait for it with a stop; so at
// the end it is asked whether what was looked at is still what it was.
#include "base/text.h"
#include "diff/run.h"
#include "instances/manager.h"
#include "kernel/sys.h"

#include <linux/magic.h>
#include <sys/vfs.h>

namespace lxmgr::instances
{

namespace
{

using storage::RootTree;

struct State {
    RootTree tree;
    std::optional<pid_t> guest; ///< Of the current state of an instance that runs.
};

diff::Place placeOf(const RootTree &tree)
{
    diff::Place place;
    place.directory = tree.directory;
    if (!tree.layer.empty())
        place.layers.push_back(tree.layer + "/upper");
    place.layers.insert(place.layers.end(), tree.lower.begin(), tree.lower.end());
    return place;
}

/// Two that are equal are of the same files, however these may have changed.
Result<std::string> identityOf(const State &state)
{
    const diff::Place place = placeOf(state.tree);
    const std::string &top = place.layers.empty() ? place.directory : place.layers.front();
    const struct stat info = TRY(sys::fstatat(sys::cwd(), top));
    return std::to_string(state.guest.value_or(0)) + " " + std::to_string(info.st_dev) + ":" +
           std::to_string(info.st_ino) + " " + place.directory + join(place.layers, " ");
}

/// What a request without names starts from.
Result<DiffSide> newestSide(storage::Driver &pool, const InstanceKey &key, const std::vector<store::Snapshot> &snapshots)
{
    if (!snapshots.empty())
        return DiffSide{DiffSide::Kind::Snapshot, snapshots.back().name};
    const auto image = TRY(pool.volumeImage(key.project, key.name));
    if (!image)
        return Error(Code::NotFound, quoted(key.name) + " was made without an image and has no snapshot: there is "
                                                        "nothing to compare it with");
    return DiffSide{DiffSide::Kind::Image, *image};
}

Result<RootTree> imageTree(storage::Driver &pool, const InstanceKey &key, const std::string &fingerprint)
{
    const RootTree root = TRY(pool.root(key.project, key.name));
    if (root.kind == RootTree::Kind::Overlay)
        return RootTree{RootTree::Kind::Overlay, {}, {root.lower.back()}, {}, {}};
    if (const auto image = pool.openImage(fingerprint); !image && image.error().code == Code::NotFound)
        return Error(Code::NotFound, "the image " + fingerprint.substr(0, 12) + " that " + quoted(key.name) +
                                         " was made from is not there any more (make a snapshot to compare with)");
    return RootTree{RootTree::Kind::Directory, pool.directory() + "/images/" + fingerprint + "/rootfs", {}, {}, {}};
}

Result<State> stateOf(storage::Driver &pool, const InstanceKey &key, const DiffSide &side, const Running &running)
{
    if (side.kind == DiffSide::Kind::Image)
        return State{TRY(imageTree(pool, key, side.name)), {}};
    if (side.kind == DiffSide::Kind::Snapshot)
        return State{TRY(pool.snapshotRoot(key.project, key.name, side.name)), {}};
    State state{TRY(pool.root(key.project, key.name)), {}};
    if (const auto guest = running.find(key))
        state.guest = guest->initPid;
    return state;
}

/// The layers of a guest that runs may only be looked at through its own mount: what another one shows of a layer that
/// is written to is undefined (Documentation/filesystems/overlayfs.rst).
Result<Fd> mountOf(spec::FilesClient guest, const std::string &name)
{
    Fd mount = TRY(guest.mount());
    struct statfs info {
    };
    TRY(sys::call("fstatfs", {}, [&] { return ::fstatfs(mount.get(), &info); }));
    if (info.f_type != OVERLAYFS_SUPER_MAGIC)
        return Error(Code::WrongState, quoted(name) + " has mounted something else over its root file system; stop it to "
                                                      "compare that");
    return mount;
}

} // namespace

Result<Diff> Manager::diff(const InstanceKey &key, const DiffRequest &request, const Progress &progress)
{
    const auto lock = lockFor(key);
    std::unique_lock guard(*lock);
    const store::Instance row = TRY(readyRow(key));
    const Pools::Use pool = TRY(m_s.pools.get(row.pool));
    for (const std::string &name : {request.from, request.to})
        if (!name.empty())
            TRY(readySnapshot(key, row.id, name));
    Diff result;
    result.from = request.from.empty() ? TRY(newestSide(*pool, key, TRY(snapshots(key))))
                                       : DiffSide{DiffSide::Kind::Snapshot, request.from};
    result.to = request.to.empty() ? DiffSide{} : DiffSide{DiffSide::Kind::Snapshot, request.to};
    const auto states = [&]() -> Result<std::pair<State, State>> {
        return std::pair{TRY(stateOf(*pool, key, result.from, *m_running)), TRY(stateOf(*pool, key, result.to, *m_running))};
    };
    const auto [from, to] = TRY(states());
    const std::string before = TRY(identityOf(from)) + TRY(identityOf(to));
    diff::Job job{m_s.paths.helper, placeOf(from.tree), placeOf(to.tree)};
    if (to.guest && to.tree.kind == RootTree::Kind::Overlay) {
        const spec::LaunchSpec running = TRY(spec::readLaunchSpec(m_s.paths.instanceRunDir(key.project, key.name)));
        if (running.idmap.uids.size() > 1 || running.idmap.gids.size() > 1)
            return Error(Code::Unsupported, quoted(key.name) + " runs with raw.idmap: its owners cannot be compared while it does")
                .hint("stop it first, or compare two snapshots");
        job.after.mounted = TRY(mountOf(TRY(files(key)), key.name));
        job.after.ids = {row.idRange.base, row.idRange.size};
    }
    result.found = TRY_IN("compare " + quoted(key.name), diff::run(job, progress, [&] { guard.unlock(); }));
    guard.lock();
    const auto now = states();
    const bool same = now && TRY(identityOf(now->first)) + TRY(identityOf(now->second)) == before;
    if (!same)
        return Error(Code::WrongState, quoted(key.name) + " was started, stopped or changed while it was compared; try again");
    return result;
}

} // namespace lxmgr::instances
