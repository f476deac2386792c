// What copying a tree and finding the difference of two have in common: one entry of merged layers, with all there is to
// it. Layers are folders, topmost first; a single plain tree is one of them.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "storage/tree.h"

#include <map>
#include <string>
#include <sys/stat.h>
#include <utility>
#include <vector>

namespace lxmgr::storage
{

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

} // namespace lxmgr::storage
