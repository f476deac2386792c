// VolumeExchange: custom volumes as archives in the layout of LXD and Incus: exported, kept by the server, imported.
#pragma once

#include "base/paths.h"
#include "base/progress.h"
#include "config/volume_export.h"
#include "instances/exchange.h"
#include "instances/kept_exports.h"
#include "instances/volumes.h"

#include <functional>
#include <string>
#include <vector>

namespace lxmgr::instances
{

struct VolumeImport {
    VolumeKey key;    ///< Name "": as in the archive.
    StringMap config; ///< Put over the archive's; an empty value takes a key away.
};

class VolumeExchange
{
public:
    VolumeExchange(const Paths &paths, store::Database &db, Volumes &volumes, KeptExports &exports)
        : m_paths(paths), m_db(db), m_volumes(volumes), m_exports(exports)
    {
    }

    /// Writes one to `to`, a file or a pipe. Of a volume that is in use the files as they are at one moment are taken.
    /// `begun` runs when nothing but the packing can fail any more.
    Result<images::Exported> exportVolume(const VolumeKey &key, const ExportRequest &request, storage::InUse inUse,
                                          const Fd &to, Progress &progress, const std::function<void()> &begun = {});
    /// Records that the server is to keep one, under the name it then has; keep() makes it, or takes that back.
    Result<store::Export> reserve(const VolumeKey &key, const ExportRequest &request, const KeepRequest &keep);
    Result<images::Exported> keep(const VolumeKey &key, const ExportRequest &request, storage::InUse inUse,
                                  const store::Export &reserved, Progress &progress);
    Result<store::ExportOwner> ownerOf(const VolumeKey &key);

    /// What an archive says of itself: before import(), which takes it. Invalid, Unsupported: see readVolumeExport().
    Result<config::VolumeExportIndex> look(const Fd &file, Progress &progress);
    /// What was left out.
    Result<std::vector<std::string>> import(const VolumeImport &request, const config::VolumeExportIndex &index,
                                            const Fd &file, Progress &progress);

private:
    Status withJob(const VolumeKey &key, const ExportRequest &request, storage::InUse inUse,
                   const std::function<Status(const images::ExportJob &)> &work);

    const Paths &m_paths;
    store::Database &m_db;
    Volumes &m_volumes;
    KeptExports &m_exports;
};

} // namespace lxmgr::instances
