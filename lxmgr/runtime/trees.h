// The guest's file systems as detached mounts, made by the parent with the host's rights: root, /dev and folders.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "runtime/ids.h"
#include "spec/launch.h"

#include <vector>

namespace lxmgr::runtime
{

/// Detached mounts that have served. Closing one waits for a grace period of the kernel's (milliseconds on a busy
/// machine), so it is done when nobody waits.
using Leftovers = std::vector<Fd>;

/// The root: the tree, or an overlay of its layers (read-only without one to write to), id-mapped by `userns` (unused
/// for a privileged guest).
Result<Fd> makeRoot(const spec::Rootfs &rootfs, const Ids &ids, const Fd &userns, Leftovers &leftovers);
/// A tmpfs that becomes /dev: nodes made with the host's rights, which no guest has, owned by the guest's root.
Result<Fd> makeDevices(const std::vector<spec::DeviceNode> &nodes, const Ids &ids);
/// One node more below the guest's `dev`, which the guest may be changing meanwhile. AlreadyExists: something is there.
Status addNode(const Fd &dev, const spec::DeviceNode &node, const Ids &ids);
/// Takes the node away, unless the guest has put something else there, or nothing is.
Status removeNode(const Fd &dev, const spec::DeviceNode &node);
/// A folder or file of the host's to be bound inside, or a tmpfs whose size is out of the guest's reach.
Result<Fd> makeTree(const spec::Mount &mount, const Ids &ids, const Fd &userns);
/// For errors: what `makeTree` makes it of.
std::string sourceOf(const spec::Mount &mount);
/// Who else sees what is mounted below: set once `tree` is in its place, of which it would take it on. In the guest's mounts.
Status settlePropagation(const Fd &tree, const spec::Mount &mount);
/// The place for one of the guest's mounts below its `root`, made with the caller's rights where it is missing; links mean
/// what they mean inside.
Result<Fd> mountTarget(const Fd &root, const spec::Mount &mount, bool isFolder);

} // namespace lxmgr::runtime
