// Project quotas of ext4 and xfs: a tree belongs to a project, whose number is in every inode of it, and the file system
// counts and limits what the project takes. The number is recorded nowhere else.
// Who has CAP_SYS_RESOURCE on the host is not held back on ext4; guests in user namespaces never have it.
// Source: quotactl(2), <linux/dqblk_xfs.h> (the calls of xfs, which ext4 answers as well), FS_IOC_FSSETXATTR in
// <linux/fs.h>; by descriptor since Linux 5.14 (quotactl_fd).
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "base/types.h"

#include <cstdint>
#include <optional>
#include <string>

namespace lxmgr::storage::projects
{

using Id = std::uint32_t;

/// Whether the file system of `folder` limits projects, and the folder itself is in none: trees do not move between
/// two. One system call or two.
bool areLimited(const Fd &folder);
/// Unsupported: what keeps areLimited() from being true, and the cure.
Status check(const Fd &folder);
/// Puts the new, empty folder into a project of its own, which is that of all that will be made inside.
Status begin(const Fd &folder);
/// The project of a folder that begin() was called for.
std::optional<Id> projectOf(const Fd &folder);

struct Quota {
    Bytes used;
    std::optional<Bytes> limit;
};
/// With what waits to be written.
Result<Quota> quota(const Fd &anywhere, Id project);
/// What was deleted is counted no more when this returns (xfs gives it back in the background). Takes a while.
void settle(const Fd &anywhere);
/// In units of 1 KiB, rounded up. Who is above it writes no more, with ENOSPC or EDQUOT.
Status limit(const Fd &anywhere, Id project, std::optional<Bytes> limit);
/// Takes away the limits of the trees in the folder `name` of `trash`, which nobody uses any more: the file system would
/// remember them for good. What cannot be read has none.
void forget(const Fd &trash, const std::string &name);

} // namespace lxmgr::storage::projects
