// Which system calls a guest may make, as bytes for seccomp(2). Built in the daemon (libseccomp), loaded by the monitor.
#pragma once

#include "base/result.h"

#include <string>
#include <vector>

namespace lxmgr::seccomp
{

/// `deny` rows: "name" (ENOSYS) or "name errno N". `allow`: names; when not empty nothing else is allowed.
struct Policy {
    bool denyDefault = true;
    bool denyCompat = true; ///< 32-bit calls of a 64-bit kernel answer ENOSYS: socketcall(2) would hide families.
    std::vector<std::string> deny;
    std::vector<std::string> allow;
    auto operator<=>(const Policy &) const = default;
};

/// struct sock_filter[] as bytes. Compiled once per policy, then from a cache. Any thread.
/// Invalid for a row that is not understood or a call that no architecture has.
Result<std::string> compile(const Policy &policy);

/// Calls that somebody else carries out for the guest.
struct Intercepts {
    bool mknod = false, setxattr = false, sysinfo = false, scheduler = false, mount = false;
    auto operator<=>(const Intercepts &) const = default;
};
/// A filter that asks for these, "" for none. The decision is that of who answers: here is what it can be for.
/// Unsupported: this kernel has no notification (Linux 5.5).
Result<std::string> compileIntercepts(const Intercepts &intercepts);

} // namespace lxmgr::seccomp
