// Datasets of zfs as root file systems: made, copied by a snapshot and a clone of it, mounted, destroyed.
//
// A copy depends on the snapshot it was made from, and that on the dataset it is of. The snapshot has no other use, so it
// is marked to go with the last clone ("zfs destroy -d"); a dataset that is to go while others depend on it hands its
// snapshots over to the newest of them ("zfs promote") and goes alone. So nothing that was deleted stays behind hidden.
#pragma once

#include "base/fd.h"
#include "base/types.h"
#include "storage/zfs_command.h"

namespace lxmgr::storage::zfs
{

/// What a dataset must be like for trees of any guest below it, whatever its parents are: what cannot be changed later
/// is there too.
const std::vector<Property> &treeProperties();

Result<bool> hasDataset(const std::string &dataset);
/// AlreadyExists, NoSpace; NotFound: its parent.
Status createDataset(const std::string &dataset, const std::vector<Property> &properties);
/// Names of the datasets directly below, without that of the parent.
Result<std::vector<std::string>> childrenOf(const std::string &dataset);
/// Makes `copy`, a dataset beside `dataset`, as that is at this moment. On disk when this returns. Done already is no
/// error; AlreadyExists is not known.
Status copyDataset(const std::string &dataset, const std::string &copy, const std::vector<Property> &properties);
/// Missing is no error. WrongState: it is mounted somewhere.
Status destroyDataset(const std::string &dataset);
/// Takes away what a copy that was cut off left: snapshots of the datasets below that nobody depends on.
Status destroyLoneSnapshots(const std::string &parent);

/// Values as "-p" prints them, in the order of `names`. NotFound.
Result<std::vector<std::string>> valuesOf(const std::string &dataset, const std::vector<std::string> &names);
Status setProperties(const std::string &dataset, const std::vector<Property> &properties);

enum class MountAs { ReadWrite, ReadOnly };
/// A detached mount of it.
Result<Fd> mountDataset(const std::string &dataset, MountAs as);

/// A snapshot of a dataset, and what was cloned from it.
struct Snapshot {
    std::string name; ///< With the dataset's: "tank/a@b".
    std::vector<std::string> clones;
};
/// What "zfs list -H -p -t snapshot -o name,clones" prints.
Result<std::vector<Snapshot>> parseSnapshots(std::string_view text);

} // namespace lxmgr::storage::zfs
