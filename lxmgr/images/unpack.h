// The daemon's side of unpacking: runs `lxmgr-helper unpack`, follows what it says, ends it when nobody wants it any more.
#pragma once

#include "base/fd.h"
#include "base/progress.h"
#include "base/result.h"
#include "images/extract.h"
#include "images/store.h"

#include <string>
#include <vector>

namespace lxmgr::images
{

/// Descriptors the helper is born with.
enum HelperFd { kReportFd = 3, kFirstFd = 4, kSecondFd = 5, kTargetFd = 6 };

/// What the archive is, and what is wanted of it.
enum class UnpackWork {
    Image,       ///< An image, unpacked into the target, or only its metadata.
    Export,      ///< An exported instance, unpacked into the target as container/ and snapshots/<name>/.
    ExportStreams, ///< One in the form of a storage driver: its streams, as the files that streamFile() names.
    ReceiveStream, ///< `first` is the stream of a subvolume of btrfs, which is made in the empty folder `within` of the target.
    ExportTexts, ///< What an exported instance says of itself.
    VolumeExport,      ///< The same two of an exported volume, whose trees are laid out as those of an instance.
    VolumeExportTexts, ///<
    ContentHash, ///< ContentHash of any archive, read to its end.
    SendTree,    ///< `first` is the job of migrate/job.h, `second` a stream to another host's helper, which takes the tree.
    TakeTree,    ///< The same into the target.
    Pack,        ///< The other way: `first` is the job of an export, the target is the file it becomes.
};

struct UnpackJob {
    std::string helper;           ///< Path of lxmgr-helper.
    const Fd &first;              ///< The image's file, or its metadata file; or the exported instance.
    const Fd *second = nullptr;   ///< The root file system's file of a split image.
    const Fd *target = nullptr;   ///< Empty folder to unpack into; nullptr: only look.
    UnpackLimits limits;
    UnpackWork work = UnpackWork::Image;
    std::string within = {};      ///< Of ReceiveStream.
};

struct Unpacked {
    std::string metadata;              ///< metadata.yaml as it stands or was made; index.yaml of an export.
    std::string backup;                ///< backup.yaml of an export whose index.yaml holds no configuration.
    std::string hash;
    std::vector<DeviceEntry> devices;  ///< Nodes of an export that are still to be made.
    std::vector<std::string> warnings; ///< What was left out.
};

/// Blocking; any thread. Invalid: not an image or a refused one, naming the entry; Cancelled; NoSpace.
Result<Unpacked> unpackArchive(const UnpackJob &job, Progress &progress);

/// How a device node goes from the helper to the daemon.
std::string formatDevice(const DeviceEntry &device);
Result<DeviceEntry> parseDevice(const std::string &text);

/// How limits go on the helper's command line, one place for both sides.
std::vector<std::string> limitArguments(const UnpackLimits &limits);
Status parseLimitArgument(const std::string &argument, UnpackLimits &limits);

} // namespace lxmgr::images
