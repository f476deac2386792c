// What the file requests of the daemon and the SFTP server share: opening a guest's files with care, and what its errors mean.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "spec/messages.h"

#include <cstdint>
#include <fcntl.h>
#include <string>

namespace lxmgr::monitor
{

/// Goes with every open(2) of something in a guest. O_NONBLOCK: a fifo must not stop us.
inline constexpr int kAlways = O_NONBLOCK | O_NOCTTY;

/// A regular file or folder; a device, fifo or socket is Invalid, and is not opened even to find that out.
struct OpenedFile {
    Fd fd;
    bool created = false; ///< With mode 0644, owner 0 and group 0 where the request names no other.
};
Result<OpenedFile> openFile(const Fd &root, const spec::FileRequest &request);

/// Owner and mode where they are not -1; the owner first, because a new owner takes set-id bits away.
Status applyTo(const Fd &fd, std::int64_t mode, std::int64_t uid, std::int64_t gid);

/// Invalid where `path` is neither a regular file nor a folder; `flags` may have O_NOFOLLOW.
Status refuseSpecial(const Fd &root, const std::string &path, int flags);

} // namespace lxmgr::monitor
