// Every JSON body that a request may have: what is read of it is written so that it reads the same, and nothing makes it crash.
#include "api/backups.h"
#include "api/certificates.h"
#include "api/diff.h"
#include "api/execution.h"
#include "api/images.h"
#include "api/instances.h"
#include "api/moves.h"
#include "api/network_rules.h"
#include "api/networks.h"
#include "api/profiles.h"
#include "api/projects.h"
#include "api/server.h"
#include "api/snapshots.h"
#include "api/storage.h"
#include "api/templates.h"
#include "api/types.h"
#include "api/undo.h"
#include "api/volume_backups.h"
#include "api/warnings.h"

#include <cstdint>
#include <cstdlib>

using namespace lxmgr;
using namespace lxmgr::api;

namespace
{

template <class T> void tryAs(std::string_view text)
{
    const Result<T> read = fromJson<T>(text);
    if (!read)
        return;
    const std::string written = toJson(*read);
    const Result<T> again = fromJson<T>(written);
    if (!again || toJson(*again) != written)
        std::abort();
}

template <class... Types> void tryAll(std::string_view text) { (tryAs<Types>(text), ...); }

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    // A test compares this list with what the handlers ask for.
    tryAll<BackupPrunePost, CertificatePut, CertificatesPost, ImageAliasEntry, ImageAliasPut, ImageExportPost, ImageMetadata, ImagePut, ImagesPost,
           InstanceBackupsPost, InstanceConsolePost, InstanceExecPost, InstancePost, InstancePut, InstanceRebuildPost, InstanceStatePut,
           InstancesPost, InstancesPut, MovedPut, NetworkAclPut, NetworkForwardPut, NetworkPut, ProfilePut, ProfilesPut, Project, ProjectPut,
           RecoverPost, RenamePost, RepositoryBackupsPost, RepositoryRestorePost, ServerPut, SnapshotPost, SnapshotPut, SnapshotsPost,
           StoragePoolPut, StorageVolumeBackupsPost, StorageVolumePost, StorageVolumePut, StorageVolumeSnapshotPut,
           StorageVolumeSnapshotsPost, StorageVolumesPost, TemplateBuildPost, UndoPost, WarningPut>(
        {reinterpret_cast<const char *>(data), size});
    return 0;
}
