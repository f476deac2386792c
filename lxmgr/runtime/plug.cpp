#include "runtime/plug.h"

#include "base/text.h"
#include "base/undo.h"
#include "cards/cards.h"
#include "kernel/host_path.h"
#include "kernel/mount.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "runtime/ids.h"
#include "runtime/inside.h"

#include <functional>
#include <linux/stat.h>
#include <optional>
#include <ranges>
#include <sys/mount.h>
#include <unistd.h>

namespace lxmgr::runtime
{

namespace
{

/// `work` gets the guest's root.
Status inside(const spec::LaunchSpec &spec, const Guest &guest, const std::function<Status(const Fd &)> &work)
{
    return inChild([&](spec::Channel &) -> Status {
        TRY(becomeGuestRoot(spec, guest));
        return work(TRY(sys::open("/", O_PATH | O_DIRECTORY)));
    });
}

Status plugMount(const spec::LaunchSpec &spec, const Guest &guest, const spec::Mount &mount)
{
    const Ids ids = Ids::of(spec.idmap);
    const Fd userns = ids.privileged() ? Fd() : TRY(idmap::namespaceOf(guest.initPid));
    std::vector<Fd> trees;
    trees.push_back(TRY_IN(sourceOf(mount), makeTree(mount, ids, userns)));
    if (!ids.privileged())
        trees = TRY_IN("lock mounts", mount::lockFlags(trees, userns));
    const bool isFolder = S_ISDIR(TRY(sys::fstat(trees.front())).st_mode);
    return inside(spec, guest, [&](const Fd &root) -> Status {
        const Fd target = TRY(mountTarget(root, mount, isFolder));
        if (S_ISDIR(TRY(sys::fstat(target)).st_mode) != isFolder)
            return Error(Code::Invalid, isFolder ? "the source is a folder, the path inside is not"
                                                 : "the path inside is a folder, the source is not");
        TRY(sys::move_mount(trees.front(), target, ""));
        return settlePropagation(trees.front(), mount);
    });
}

Result<bool> isMountRoot(const Fd &place)
{
    struct statx info {
    };
    TRY(sys::call("statx", {}, [&] { return ::statx(place.get(), "", AT_EMPTY_PATH, 0, &info); }));
    return (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Status detach(const Fd &root, const spec::Mount &mount, const std::optional<struct stat> &source)
{
    auto place = path::open(root, mount.target, O_PATH, path::Scope::InRoot);
    if (!place && place.error().errnum == ENOENT)
        return {};
    const Fd target = TRY(std::move(place));
    if (!TRY(isMountRoot(target)))
        return {}; // unmounted by the guest itself
    const struct stat info = TRY(sys::fstat(target));
    if (source && (info.st_dev != source->st_dev || info.st_ino != source->st_ino))
        return Error(Code::WrongState, "the guest has mounted something over it").hint("unmount that inside first");
    if (S_ISDIR(info.st_mode)) {
        TRY(sys::fchdir(target));
        return sys::umount2(".", MNT_DETACH);
    }
    const path::Parent parent = TRY(path::openParent(root, mount.target, path::Scope::InRoot));
    TRY(sys::fchdir(parent.folder));
    return sys::umount2(parent.name, MNT_DETACH | UMOUNT_NOFOLLOW);
}

Status unplugMount(const spec::LaunchSpec &spec, const Guest &guest, const spec::Mount &mount)
{
    std::optional<struct stat> source;
    if (mount.kind == spec::Mount::Kind::Bind)
        if (const auto there = path::openOnHost(mount.source, mount.beneath))
            source = TRY(sys::fstat(*there));
    return inside(spec, guest, [&](const Fd &root) { return detach(root, mount, source); });
}

cards::Inside insideOf(const spec::LaunchSpec &spec, const Guest &guest) { return {guest.initPid, guest.initPidfd.get(), spec.runDir}; }

std::string placeOf(const spec::Mount &mount) { return "mount at /" + mount.target; }
Status plugNode(const spec::LaunchSpec &spec, const Guest &guest, const spec::DeviceNode &node)
{
    return addNode(guest.dev, node, Ids::of(spec.idmap));
}

std::string placeOf(const spec::DeviceNode &node) { return "device " + quoted(node.device); }
std::string placeOf(const spec::Nic &nic) { return "device " + quoted(nic.device); }

} // namespace

Status replug(const spec::LaunchSpec &spec, const Guest &guest, spec::ReplugBody &devices)
{
    const cards::Inside cardsOf = insideOf(spec, guest);
    Undo undo;
    for (const spec::Mount &mount : devices.unmount | std::views::reverse) { // the last one may lie in an earlier one
        TRY_IN(placeOf(mount), unplugMount(spec, guest, mount));
        undo.add(placeOf(mount), [&] { return plugMount(spec, guest, mount); });
    }
    for (spec::Nic &nic : devices.unplug) {
        TRY_IN(placeOf(nic), cards::unplug(cardsOf, nic));
        undo.add(placeOf(nic), [&] { return cards::plug(cardsOf, nic); });
    }
    for (const spec::DeviceNode &node : devices.removeNodes) {
        TRY_IN(placeOf(node), removeNode(guest.dev, node));
        undo.add(placeOf(node), [&] { return plugNode(spec, guest, node); });
    }
    for (const spec::DeviceNode &node : devices.addNodes) {
        TRY_IN(placeOf(node), plugNode(spec, guest, node));
        undo.add(placeOf(node), [&] { return removeNode(guest.dev, node); });
    }
    for (std::size_t i = 0; i < std::min(devices.before.size(), devices.after.size()); ++i) {
        const spec::Nic &old = devices.before[i], &now = devices.after[i];
        TRY_IN(placeOf(now), cards::retune(old, now));
        undo.add(placeOf(now), [&] { return cards::retune(now, old); });
    }
    for (spec::Nic &nic : devices.plug) {
        TRY_IN(placeOf(nic), cards::plug(cardsOf, nic));
        undo.add(placeOf(nic), [&] { return cards::unplug(cardsOf, nic); });
    }
    for (const spec::Mount &mount : devices.mount) {
        TRY_IN(placeOf(mount), plugMount(spec, guest, mount));
        undo.add(placeOf(mount), [&] { return unplugMount(spec, guest, mount); });
    }
    undo.keep();
    return {};
}

} // namespace lxmgr::runtime
