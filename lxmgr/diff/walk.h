// Compares two trees that may be hostile: by descriptors only, following no link, opening nothing but regular files and
// folders.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "diff/changes.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::diff
{

/// Host ids that a guest's own count from, where a tree is looked at through the guest's own mount.
struct Ids {
    std::uint32_t base = 0;
    std::uint32_t count = 0; ///< 0: ids are as they lie on disk.
};

struct Tree {
    Fd root;
    Ids ids;
};

struct Trees {
    Tree before;
    Tree after;
    /// Where both are stacks with the same layers at the bottom: the layers above those, of both, in any order. What is
    /// named in none of them is the same file on both sides. nullopt: everything is looked at.
    std::optional<std::vector<Fd>> layers;
};

struct Listener {
    std::function<void(Change change)> change;
    std::function<void(std::string warning)> warning;
};

/// A file counts as the same if all its bytes are; times and sizes prove nothing. What a guest that runs changes
/// meanwhile is seen as it was at some moment. What cannot be read is told as a warning.
Status compareTrees(const Trees &trees, const Listener &listener);

inline constexpr unsigned kDeepest = 1100; ///< Folders below are told as a warning. Images end at 1024.

} // namespace lxmgr::diff
