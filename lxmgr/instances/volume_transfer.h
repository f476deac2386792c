// VolumeTransfer: custom volumes that go to another daemon or come from one, with their snapshots, as what is different.
#pragma once

#include "base/paths.h"
#include "base/progress.h"
#include "instances/migration.h"
#include "instances/volumes.h"

#include <string>
#include <vector>

namespace lxmgr::instances
{

struct VolumeSend {
    VolumeKey source;
    std::string snapshot; ///< Of it; "": the volume as it is.
    bool withSnapshots = true;
    storage::InUse inUse = storage::InUse::No;
};

struct VolumeReceive {
    store::Volume target; ///< Not recorded yet.
    bool withSnapshots = true;
    bool refresh = false; ///< One that is there already is brought to what comes; the caller has made sure that nobody runs with it.
};

class VolumeTransfer
{
public:
    VolumeTransfer(const Paths &paths, Volumes &volumes) : m_paths(paths), m_volumes(volumes) {}

    /// Of a volume that is in use the files are sent as they are at one moment. Nothing else happens to it meanwhile.
    Status send(const VolumeSend &request, const MigrationChannel &channel, Progress &progress);
    /// All of it comes, or all is as it was. What was left out. AlreadyExists.
    Result<std::vector<std::string>> receive(const VolumeReceive &request, const MigrationChannel &channel, Progress &progress);

private:
    Status take(const VolumeReceive &request, const Offer &offer, MigrationLine &line, const MigrationChannel &channel, Progress &progress,
                std::uint64_t &leftOut);

    const Paths &m_paths;
    Volumes &m_volumes;
};

} // namespace lxmgr::instances
