// What the folder of a pool stands on: a folder of the host, or a file system of the pool's own on a device, in a file, in a
// volume group or zpool, which is mounted at <state>/storage-pools/<pool> for as long as the pool exists.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "base/types.h"
#include "kernel/mount.h"

#include <string>

namespace lxmgr::storage
{

struct Backing {
    enum class Kind { Folder, Device, File, Group, Dataset };
    Kind kind = Kind::Folder;
    std::string source;  ///< The folder, device or file, or the volume group, zpool or dataset that was named.
    std::string folder;  ///< Where the pool is.
    std::string options; ///< Mount options of the file system: "compress=zstd,noatime".
    std::string group = {};    ///< Of lvm: the volume group; "" for any other.
    std::string thinPool = {}; ///< Of lvm: in the group.
    std::string dataset = {};  ///< Of zfs: what is mounted at the folder; "" for any other.
    bool exports = true;       ///< Of a zpool of the pool's own: whether it is exported when the pool is let go of.

    bool isMounted() const { return kind != Kind::Folder; }
    bool isLvm() const { return !group.empty(); }
    bool isZfs() const { return !dataset.empty(); }
};

/// "20% of what is free at `folder`, at least 5 GiB and at most 30 GiB"; NoSpace where 5 GiB are more than there is.
Result<Bytes> defaultFileSize(const std::string &folder);

enum class Wipe { No, Yes };
/// Makes the file, sparse. AlreadyExists.
Status makeFile(const std::string &path, Bytes size);
/// Makes an empty btrfs on a device or in a file. WrongState: something is on it and `wipe` does not allow to lose it.
Status makeBtrfs(const std::string &path, const std::string &label, Wipe wipe);
/// Whether a btrfs begins on the device or in the file.
Result<bool> holdsBtrfs(const std::string &path);
/// Whether something is mounted on the folder.
bool isMountPoint(const std::string &folder);

/// Makes sure that the backing is mounted where it belongs; a Folder needs nothing. Done already is no error.
Status mountBacking(const Backing &backing);
/// With all that is mounted below it. WrongState while something uses it. Not mounted is no error.
Status unmountBacking(const Backing &backing);
/// A mounted File becomes `size` large; smaller than it is is Invalid, as large is nothing to do.
Status growFile(const Backing &backing, Bytes size);
Result<Bytes> fileSize(const std::string &path);
/// Takes the options out that are of a mount rather than of a file system: as MOUNT_ATTR_*.
unsigned takeMountAttributes(mount::Options &options);

} // namespace lxmgr::storage
