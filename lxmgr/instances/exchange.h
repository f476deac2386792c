// What goes with an instance that leaves as an archive, or comes as one.
#pragma once

#include "base/fd.h"
#include "config/export.h"
#include "images/export_job.h"
#include "store/projects.h"

#include <optional>
#include <string>
#include <vector>

namespace lxmgr::instances
{

struct ExportRequest {
    bool instanceOnly = false; ///< Without its snapshots.
    std::string compression;   ///< "": gzip.
};

struct ImportRequest {
    std::string project = store::kDefaultProject;
    std::string name; ///< "": as in the archive.
    std::string pool; ///< "": the one it came from, where there is one of that name here.
    StringMap config; ///< Put over the archive's; an empty value takes a key away.
};

struct Imported {
    std::string name;
    std::vector<std::string> warnings; ///< What was left out or is different here.
};

} // namespace lxmgr::instances
