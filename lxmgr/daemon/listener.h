// The unix socket that the daemon listens on: handed over by a service manager, or bound by ourselves.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <string>
#include <sys/types.h>

namespace lxmgr::daemon
{

struct Listening {
    Fd socket;        ///< Listening, non-blocking, close-on-exec.
    bool own = false; ///< Bound by us: the file goes at the end.
    ino_t inode = 0;  ///< Of that file, to know it again.
};

/// The first socket of LISTEN_FDS if there is one (sd_listen_fds(3)), else `path` with `mode` and, unless -1, `group`.
/// A file left behind by a dead daemon is replaced; AlreadyExists when somebody answers there.
Result<Listening> openListener(const std::string &path, unsigned mode, gid_t group);
/// Removes the socket file if it is still the one that openListener() made.
void removeListener(const Listening &listening, const std::string &path);

} // namespace lxmgr::daemon
