// Whole trees, by directory descriptors only: remove, compare, measure; copying is in the room "trees". No path of an image
// or instance ever reaches the kernel.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "base/types.h"
#include "trees/copy.h"

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::storage
{

using trees::copyAttributes;
using trees::copyTree;
using trees::makeFolder;
using trees::mergeLayers;
using trees::openFolder;
using trees::sameAttributes;
using trees::Source;

/// Opens the absolute path `path`, making missing folders with `mode`. Only for paths an administrator chose.
Result<Fd> makeFolderPath(const std::string &path, unsigned mode);
bool exists(const Fd &at, const std::string &name);
/// Names in `folder` except those that start with a dot, in no order.
Result<std::vector<std::string>> namesIn(const Fd &folder);
Result<bool> isEmpty(const Fd &folder);
/// renameat2(2) that never replaces; AlreadyExists, NotFound.
Status renameNew(const Fd &from, const std::string &name, const Fd &to, const std::string &newName);
/// The first bytes of a small regular file. NotFound.
Result<std::string> readSmallFile(const Fd &at, const std::string &name, std::size_t most);
/// Makes the new file `name` with `content`; not flushed.
Status writeNewFile(const Fd &at, const std::string &name, const std::string &content);
/// Sixteen random hex digits.
std::string randomName();

/// Names of what removeTree() moves up begin so.
constexpr std::string_view kMovedUp = "deep-";
/// Removes `name` of `parent`, whatever it is. Folders nested deeper than we hold descriptors for are first moved up
/// into `trash`, a folder on the same file system whose entries are all rubbish. `stop` ends it early (Cancelled).
/// WrongState: something is mounted in it; that is never entered.
Status removeTree(const Fd &parent, const std::string &name, const Fd &trash, const std::atomic<bool> &stop);

/// What differs between two trees. Each is made of layers, topmost first; a plain tree is a single one.
struct TreeDifference {
    const std::vector<Fd> &base; ///< None: all of `tree` differs.
    const std::vector<Fd> &tree;
    /// What `base` is an exact copy of, an earlier state of `tree` that nobody writes to any more; may be empty.
    const std::vector<Fd> &previous;
    Source source = Source::Still; ///< Of `tree`.
};
/// Writes into the empty folder `to` the overlay layer that, laid on the base, shows what the tree shows. Two files of
/// the same size, time, owner, mode and attributes are the same, and are looked into only where that time was set by
/// hand (it has no fractions of a second): a rebuilt package has the same. With no base it is a plain tree, without
/// whiteouts and opaque folders.
Status writeDifference(const TreeDifference &what, const Fd &to);
/// Brings the plain tree `tree` to what it shows below `layer`, which writeDifference() made on the same file system
/// and which is empty afterwards.
Status applyDifference(const Fd &layer, const Fd &tree);

/// Blocks taken by `folder` and all below, each file with several names counted once.
Result<Bytes> treeUsage(const Fd &folder);

} // namespace lxmgr::storage
