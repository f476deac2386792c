// The volume group a pool of driver lvm is in: made on a device or in a file, or one that the host has. In it lie a thin
// pool, the volume "lxmgr-pool" with the ext4 that is mounted at the pool's folder, and a volume for each tree.
//
// What was made for the pool has the tag kTag, and goes with it; what was there before stays.
#pragma once

#include "base/result.h"
#include "storage/backing.h"

#include <optional>
#include <string>

namespace lxmgr::storage::lvm
{

inline constexpr const char *kHome = "lxmgr-pool";
inline constexpr const char *kThinPool = "lxmgr-thin"; ///< Unless lvm.thinpool_name says otherwise.
inline constexpr const char *kTag = "lxmgr";
/// "lxmgr-<id>", the volume of a tree.
std::string volumeOf(const std::string &id);
/// The other way round; nothing for volumes that are no trees.
std::optional<std::string> idOf(const std::string &volume);
std::string devicePath(const std::string &group, const std::string &volume);

/// Whether the host sees a volume group of that name.
Result<bool> hasGroup(const std::string &group);
/// Whether a pool of ours is in the group, which may be in the file `path`.
Result<bool> isHome(const std::string &group, const std::string &path = {});
/// The thin pool it is in.
Result<std::string> thinPoolOf(const std::string &group, const std::string &path = {});
/// The volume group that a device, or a file with the content of one, belongs to; "" for none.
Result<std::string> groupOn(const std::string &path);

/// Makes what is missing of it: group, thin pool, the pool's own file system. WrongState: something is on the device.
/// AlreadyExists: the host has a group of that name.
Status makePlace(const Backing &backing, Wipe wipe, Bytes metadataSize);
/// Mounts the pool's own file system at its folder.
Status mountPlace(const Backing &backing);
/// Lets go of it: nothing of it is active any more. What is not there is no error. WrongState: something is in use.
Status leavePlace(const Backing &backing);
/// Takes away what has the tag, and all trees. What is not there is no error.
Status removePlace(const Backing &backing);
/// The file has grown: so does the thin pool.
Status growPlace(const Backing &backing);

} // namespace lxmgr::storage::lvm
