// What goes with an instance that leaves as an archive, or comes as one.
#pragma once

#include "base/fd.h"
#include "config/export.h"
#include "images/export_job.h"
#include "images/extract.h"
#include "storage/driver.h"
#include "store/projects.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::instances
{

struct ExportRequest {
    bool instanceOnly = false; ///< Without its snapshots.
    std::string compression;   ///< "": gzip.
    bool optimized = false;    ///< As streams of the storage driver.
};

struct ImportRequest {
    std::string project = store::kDefaultProject;
    std::string name; ///< "": as in the archive.
    std::string pool; ///< "": the one it came from, where there is one of that name here.
    StringMap config; ///< Put over the archive's; an empty value takes a key away.
    std::string again = "lxmgr import <file> <name>"; ///< How to give another name.
};

struct Imported {
    std::string name;
    std::vector<std::string> warnings; ///< What was left out or is different here.
};

/// Where the trees of an instance that comes from elsewhere are put.
struct NewTrees {
    storage::Driver &pool;
    const storage::Scratch &scratch; ///< As Driver::newVolumeTrees() made it …
    const Fd &folder;                ///< … and its folder.
    bool privileged = false; ///< Only then may there be device nodes.
    std::vector<std::string> &warnings;
};
/// What unpacking an archive into `pool` may cost: most of what is free there.
Result<images::UnpackLimits> importLimits(storage::Driver &pool);
/// What is said of those that it may not have.
std::string nodesLeftOut(std::uint64_t count);
/// A node that its helper could not make, in the tree that it has filled.
Status makeDevice(const Fd &tree, const images::DeviceEntry &device);
/// What goes on being true of an instance on another host: addresses and identity, and nothing of the old host's own.
StringMap importedConfig(const StringMap &config, const StringMap &changes);
using FillTrees = std::function<Status(const NewTrees &trees)>;

} // namespace lxmgr::instances
