// What a proxy listens on: sockets made on the host, or inside a guest by a process that enters it for that.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "kernel/sockets.h"
#include "runtime/launch.h"
#include "spec/launch.h"

#include <optional>
#include <sys/types.h>
#include <vector>

namespace lxmgr::runtime
{

struct Listeners {
    std::vector<Fd> sockets; ///< One a port.
    /// The file of a unix socket: removed only while it is this one.
    struct File {
        dev_t device = 0;
        ino_t inode = 0;
    };
    std::optional<File> file;
};

sockets::Place placeOf(const spec::ProxyEnd &end, std::size_t port);

/// All or none. AlreadyExists names who has the place. `guest`: only of one that listens inside; an address that its
/// interfaces have not yet will do there, and missing folders of a socket file are made.
Result<Listeners> openListeners(const spec::LaunchSpec &spec, const Guest &guest, const spec::Proxy &proxy);
/// Whether the path of a socket file inside still leads to it.
Result<bool> isThere(const spec::LaunchSpec &spec, const Guest &guest, const spec::Proxy &proxy, const Listeners &listeners);
/// Closes them and removes the socket file. `guest` without a process: that inside is left.
Status closeListeners(const spec::LaunchSpec &spec, const Guest &guest, const spec::Proxy &proxy, Listeners listeners);

} // namespace lxmgr::runtime
