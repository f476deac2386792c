// Copying trees exactly, by directory descriptors only, and what finding the difference of two has in common with it: one
// entry of merged layers, with all there is to it. Layers are folders, topmost first; a single plain tree is one of them.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <map>
#include <string>
#include <sys/stat.h>
#include <utility>
#include <vector>

namespace lxmgr::trees
{

/// Opens the folder `name` (one component) of `at`; a symbolic link there is an error.
Result<Fd> openFolder(const Fd &at, const std::string &name);
/// The same, made first if missing, with exactly `mode`.
Result<Fd> makeFolder(const Fd &at, const std::string &name, unsigned mode);

/// Whether somebody may write to what is being copied: then an entry that has gone since it was listed is no error.
enum class Source { Still, Changing };
/// Copies what is in `from` into the empty folder `to` exactly: owners, modes, times, hard links, holes and extended
/// attributes (trusted.overlay.* too, so a copied layer is one); shares blocks where the file system can. `to` itself
/// becomes as `from` is.
Status copyTree(const Fd &from, const Fd &to, Source source = Source::Still);
/// Copies sealed overlay layers, topmost first, into the empty folder `to` as one layer that shows the same on any
/// below. Not for layers with redirected folders; ours are never mounted so that they could come into being.
Status mergeLayers(const std::vector<Fd> &layers, const Fd &to);

/// Owner, mode, times and extended attributes of `from` on `to`, but for the marks that overlay puts on its layers.
Status copyAttributes(const Fd &from, const Fd &to);
/// Whether copyAttributes would change nothing but times of access.
Result<bool> sameAttributes(const Fd &one, const Fd &other);

using FileId = std::pair<dev_t, ino_t>;
using Attributes = std::map<std::string, std::string>;

/// Whiteouts and opaque folders: parts of a layer, or of no interest to those who see through it.
enum class Marks { Keep, Drop };

struct Copy {
    const Fd &top; ///< Of the target, for hard links.
    Source source = Source::Still;
    Marks marks = Marks::Keep;
    std::map<FileId, std::string> links; ///< Files with several names → path of the copy below `top`.
};

/// The folders called `name` of the layers from `first` down that show through one another.
struct Stack {
    std::vector<Fd> folders;
    bool opaque = false; ///< Nothing below the layers given shows through.
};
Result<Stack> stackOf(const std::vector<Fd> &layers, std::size_t first, const std::string &name);

/// Copies what `name` is in the layers from `first` down to the folder `to`; `path` is its path below `copy.top`.
Status copyEntry(const std::vector<Fd> &layers, std::size_t first, const Fd &to, const std::string &name,
                 const std::string &path, unsigned level, Copy &copy);

bool isWhiteout(const struct stat &info);
Status makeOpaque(const Fd &folder);
Status dropOpaque(const Fd &folder);
bool isOpaque(const Fd &folder);

/// Of a folder, a file, or what an O_PATH descriptor holds.
Result<Attributes> attributesOf(const Fd &file);
Status removeAttribute(const Fd &file, const std::string &name);
/// Without what overlayfs noted for itself.
Attributes withoutOverlayMarks(Attributes attributes);
/// Owner, mode, attributes and times.
Status setAll(const Fd &to, const struct stat &info, const Attributes &attributes);

} // namespace lxmgr::trees
