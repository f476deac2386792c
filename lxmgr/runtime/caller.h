// Who waits for the answer to an intercepted system call, and its place: work for it is done with its rights, by its paths.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "kernel/notify.h"
#include "spec/launch.h"

#include <chrono>
#include <ctime>
#include <functional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace lxmgr::runtime
{

/// What all calls of one guest have in common.
struct Scene {
    const spec::LaunchSpec &spec;
    dev_t nsDevice = 0; ///< Of the guest's own user namespace.
    ino_t nsInode = 0;
    timespec began{};
};

struct Caller {
    Fd proc; ///< Its folder in /proc: other than its number it never becomes another's.
    uid_t uid = 0;
    gid_t gid = 0; ///< Those that files are looked at and made with, on the host.
    std::vector<gid_t> groups;
    std::uint64_t capabilities = 0;
    std::uint64_t boundingSet = 0;
    bool noNewPrivileges = false;
    mode_t umask = 022;
    pid_t ownNumber = 0;   ///< In its own pid namespace.
    bool isGuests = false; ///< In the guest's own user namespace, not in one that was made inside.

    const Fd *listener = nullptr;
    std::uint64_t call = 0;

    /// Neither dead nor interrupted. Only what was read or opened before an answer of yes is of the caller as it called: one that
    /// waits no more can run another program, with rights of another's.
    bool waits() const { return notify::waits(*listener, call); }
    bool has(unsigned capability) const { return (capabilities >> capability & 1) != 0; }
};

/// NotFound where it waits no more.
Result<Caller> pinCaller(const Scene &scene, const Fd &listener, const notify::Call &call);

/// Up to its end, which is there within `most` bytes; EFAULT and ENAMETOOLONG else. NotFound where it waits no more, as in the
/// next two.
Result<std::string> readText(const Caller &caller, std::uint64_t address, std::size_t most);
/// EFAULT where they are not all there.
Status readBytes(const Caller &caller, std::uint64_t address, void *into, std::size_t size);

/// Only these of the permitted capabilities of the calling process have an effect.
Status setEffective(std::uint64_t wanted);

/// Where the caller's paths begin.
struct Place {
    Fd root, base; ///< base: its working folder, or the descriptor it gave.
};
Result<Place> placeOf(const Caller &caller, int folder);

/// The calling process, for good: in the caller's user namespace, with its ids, groups and effective capabilities. `inside` is
/// done on the way, while it still has all capabilities there.
Status takeRights(const Scene &scene, const Caller &caller, const std::function<Status()> &inside = {});
/// From here on paths mean what they mean to the caller, and are refused as they would be to it. Never goes back.
Status becomeCaller(const Scene &scene, const Caller &caller, const Place &place);

/// What `open` finds in the caller's place. Its errors are the caller's.
Result<Fd> openAsCaller(const Scene &scene, const Caller &caller, const Place &place, const std::function<Result<Fd>()> &open, int access);

} // namespace lxmgr::runtime
