// Mounts put together from the calls of sys.h: new file systems, binds, id-mapped overlays. All detached until moved.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "kernel/sys.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lxmgr::mount
{

/// Keys with an empty value are flags.
using Options = std::vector<std::pair<std::string, std::string>>;
/// "size=1M,mode=755" → Options.
Options parseOptions(const std::string &text);

/// A path of /proc/self/mountinfo as it is: blanks are written "\\040" there.
std::string unescaped(std::string_view text);
/// Where something is mounted on `folder` and below it, the last mounted first.
Result<std::vector<std::string>> pointsAt(const std::string &folder);

/// A new detached mount of `type`; `attributes` are MOUNT_ATTR_*.
Result<Fd> create(const std::string &type, const Options &options, unsigned attributes);

/// An overlay of `lower` (topmost first) and the folders "upper" and "work" in `layer`, each a mount of its own and
/// id-mapped by whoever opened it. `uid`, `gid`: host ids of the guest's root. The files are made with these: host id 0
/// has no name in an id-mapped upper layer, and overlay would come up read-only without a word.
/// No `layer` gives a read-only overlay, of two layers or more. Needs Linux 5.19 with id-mapped layers.
Result<Fd> overlay(std::span<const Fd> lower, const Fd *layer, uid_t uid, gid_t gid, unsigned attributes);
/// The same in a child of ours, for Linux before 6.15, which takes only layers attached in the caller's mount
/// namespace. `overlay` comes here by itself.
Result<Fd> overlayInChild(std::span<const Fd> lower, const Fd *layer, uid_t uid, gid_t gid, unsigned attributes);

/// Copies of the detached `trees` whose read-only, nosuid, nodev and noexec cannot be taken off by who rules `userns`
/// (mount_namespaces(7), "locked"): otherwise a guest's root could remount what is bound for reading only. The trees
/// themselves are of no more use. In a child of ours, whose one thread enters `userns`.
Result<std::vector<Fd>> lockFlags(std::span<const Fd> trees, const Fd &userns);

/// `layers` (topmost first) as one tree to read from: nothing can be written to it, started from it or opened as a device,
/// and nothing that is mounted below shows. Detached.
Result<Fd> layersForReading(std::span<const std::string> layers);
/// The same as a folder that calls may start from.
Result<Fd> openLayers(std::span<const std::string> layers);

} // namespace lxmgr::mount
