// Snapshots mounted on the host, for people to look into and copy from: read-only, nothing in them can be started or opened
// as a device, and only root gets there. The mount itself is the record: it outlives the daemon.
#include "base/text.h"
#include "instances/manager.h"
#include "instances/packing.h"
#include "kernel/mount.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "storage/backing.h"
#include "storage/tree.h"

#include <sys/mount.h>

namespace lxmgr::instances
{

namespace
{

std::string mountsOf(const Paths &paths, const InstanceKey &key)
{
    return paths.runDir + "/snapshots/" + storage::volumeName(key.project, key.name);
}

} // namespace

Result<std::string> Manager::mountSnapshot(const InstanceKey &key, const std::string &name)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Instance row = TRY(readyRow(key));
    TRY(readySnapshot(key, row.id, name));
    const Pools::Use pool = TRY(m_s.pools.get(row.pool));
    std::string place = mountsOf(m_s.paths, key) + "/" + name;
    if (storage::isMountPoint(place))
        return place;
    const std::vector<std::string> layers = layersOf(TRY(pool->snapshotRoot(key.project, key.name, name)));
    const Fd tree = TRY_IN("mount " + quoted(key.name + "/" + name), mount::layersForReading(layers));
    TRY(storage::makeFolderPath(m_s.paths.runDir + "/snapshots", 0700));
    TRY_IN("mount " + quoted(key.name + "/" + name), sys::move_mount(tree, TRY(storage::makeFolderPath(place, 0700)), ""));
    return place;
}

Status Manager::unmountSnapshot(const InstanceKey &key, const std::string &name)
{
    const auto lock = lockFor(key);
    const std::lock_guard guard(*lock);
    const store::Instance row = TRY(readyRow(key));
    TRY(readySnapshot(key, row.id, name));
    const std::string place = mountsOf(m_s.paths, key) + "/" + name;
    if (!storage::isMountPoint(place))
        return Error(Code::NotFound, "snapshot " + quoted(name) + " of " + quoted(key.name) + " is not mounted");
    if (Status gone = sys::umount2(place, UMOUNT_NOFOLLOW); !gone && gone.error().errnum == EBUSY)
        return Error(Code::WrongState, "a program has files open in " + quoted(place) + ", or is in a folder there (leave it first)");
    else if (!gone)
        return gone;
    // Empty folders of ours, in the way of nobody.
    (void)sys::unlinkat(sys::cwd(), place, AT_REMOVEDIR);
    (void)sys::unlinkat(sys::cwd(), mountsOf(m_s.paths, key), AT_REMOVEDIR);
    return {};
}

Status Manager::checkNotMounted(const InstanceKey &key) const
{
    const auto folder = path::openFolder(mountsOf(m_s.paths, key));
    if (!folder)
        return {}; // no snapshot of it was ever mounted
    for (const std::string &name : TRY(path::list(*folder)))
        if (const std::string place = mountsOf(m_s.paths, key) + "/" + name; storage::isMountPoint(place))
            return Error(Code::WrongState, "snapshot " + quoted(name) + " of " + quoted(key.name) + " is mounted at " + quoted(place) +
                                               " (lxmgr snapshot unmount " + key.name + " " + name + ")");
    return {};
}

} // namespace lxmgr::instances
