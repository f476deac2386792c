// What a storage pool of zfs stands on: a zpool of its own in a file or on a device, or one of the host's, and in it the
// dataset that the pool lives on ("<zpool>/lxmgr", or the one that an administrator named). That is mounted by us alone,
// at the storage pool's folder; below it are the trees.
#pragma once

#include "storage/backing.h"
#include "storage/zfs_command.h"

namespace lxmgr::storage::zfs
{

// Zpools. They are imported when the storage pool is opened, not when the host starts.

Result<bool> hasPool(const std::string &pool);
/// Names of the zpools that could be imported from the device or file.
Result<std::vector<std::string>> poolsOn(const std::string &path);
/// What "zpool import" lists.
std::vector<std::string> parseImportable(std::string_view text);

// Names.

/// What is before the first "/".
std::string poolOf(const std::string &dataset);
/// "<zpool>/lxmgr" for a zpool, the dataset itself for another.
std::string homeIn(const std::string &source);
/// Where in it the trees are.
std::string treesIn(const std::string &home);

/// Whether a storage pool lives on the dataset.
Result<bool> isHome(const std::string &dataset);
/// Whether the zpool was made by us in the file or on the device.
Result<bool> isOwnPool(const std::string &pool, const std::string &path);

// The whole of it. Each step may be asked for again.

/// AlreadyExists: the host has a zpool of that name. WrongState: something is on the device and `wipe` does not allow to
/// lose it, or in the dataset. NotFound: a zpool that was named.
Status makePlace(const Backing &backing, Wipe wipe);
/// Imports the zpool if it is the pool's own, and mounts the dataset. WrongState: there is no storage pool.
Status mountPlace(const Backing &backing);
/// Takes away what makePlace() made, unmounted: the dataset, and a zpool of our own with nothing else in it.
Status removePlace(const Backing &backing);
/// Exports a zpool of the pool's own, unless that is not wanted. WrongState: it is in use.
Status leavePlace(const Backing &backing);
/// The zpool takes all of its file.
Status growPlace(const Backing &backing);

/// The dataset that `folder` is on. Unsupported: it is on no zfs.
Result<std::string> datasetAt(const Fd &folder);
/// What mountinfo, the text of /proc/self/mountinfo, says is the source of the zfs with this number ("0:45"); "" for none.
std::string sourceOf(std::string_view mountinfo, std::string_view device);

} // namespace lxmgr::storage::zfs
