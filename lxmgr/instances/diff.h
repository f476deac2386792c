// What differs between two states of an instance's root file system, and which states these are.
#pragma once

#include "diff/changes.h"

#include <string>

namespace lxmgr::instances
{

struct DiffRequest {
    std::string from; ///< A snapshot; "": the newest, or without any the image.
    std::string to;   ///< A snapshot; "": what is there now.
};

struct DiffSide {
    enum class Kind { Current, Snapshot, Image };
    Kind kind = Kind::Current;
    std::string name; ///< Of the snapshot, or the image's fingerprint.
};

struct Diff {
    DiffSide from;
    DiffSide to;
    diff::Comparison found;
};

} // namespace lxmgr::instances
