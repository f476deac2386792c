// Control groups: one folder per guest in every hierarchy, the same calls over v2, v1 and hybrid hosts.
//
//   <hierarchy>/lxmgr/web1            limits; owned by the host's root, out of the guest's reach
//   <cgroup2>/lxmgr/web1/payload      delegated: what the guest sees as the root of its cgroup2 tree
//   <cgroup2>/lxmgr/web1/payload/.lxmgr   where exec'd processes are put (a folder with children takes no processes)
//
// Only base and system calls are used here: the monitor links it.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "base/types.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace lxmgr::cgroup
{

/// One mounted hierarchy. v1: the controllers mounted together, or "name=systemd". v2: those in cgroup.controllers.
struct Hierarchy {
    std::string mountPoint;
    std::vector<std::string> controllers;
    bool unified = false;
};

enum class Kind { V2, V1, Hybrid };
std::string_view kindName(Kind kind);

/// What this host has mounted. Cheap (one file read); make one per process and keep it.
class Layout
{
public:
    /// From /proc/self/mountinfo. Unsupported when no cgroup file system is mounted.
    static Result<Layout> probe();
    /// From the text of a mountinfo file; `root` is put before each mount point (tests use a fake tree).
    static Result<Layout> fromMountInfo(std::string_view mountInfo, const std::string &root = {});

    Kind kind() const;
    const std::vector<Hierarchy> &hierarchies() const { return m_hierarchies; }
    /// The hierarchy that has `controller` ("memory"); "" is the cgroup2 tree. nullptr: none.
    const Hierarchy *find(std::string_view controller) const;
    bool has(std::string_view controller) const { return find(controller) != nullptr; }
    /// The controller's files are those of cgroup2.
    bool unified(std::string_view controller) const;

private:
    std::vector<Hierarchy> m_hierarchies;
};

/// `value` is written to `file` of the limits folder under `controller` ("" is cgroup2). Same fields as spec::CgroupWrite.
struct Write {
    std::string controller;
    std::string file;
    std::string value;
    bool required = true; ///< false: a missing file is passed over (a refinement, not a limit).
    bool operator==(const Write &) const = default;
};

/// Pseudo file: the value is the whole device list (see DeviceRule). Of controller "devices" it becomes what devices.list
/// says, of "" a program on the cgroup2 folder.
inline constexpr std::string_view kDeviceProgram = "lxmgr.devices";

/// Pseudo file: the value is all limits of disks (see cgroup_io.h), of controller "blkio" (v1) or "".
inline constexpr std::string_view kIoLimits = "io.lxmgr";

/// Makes `path` ("lxmgr/web1") in every hierarchy, parents too. Fills cpuset.cpus and .mems on v1, enables controllers on
/// the way down on v2. A folder that is there already is taken as it is.
Status create(const Layout &layout, const std::string &path);
/// Carries out `writes` in order; where the file of a required one is missing on cgroup2, its controller is turned on first.
/// A value refused as EINVAL is tried again after the others (memory and memsw bound each other).
Status write(const Layout &layout, const std::string &path, std::span<const Write> writes);
/// Makes and delegates the payload folder to host ids `uid`, `gid` and opens it for clone3 CLONE_INTO_CGROUP.
/// An empty Fd on a host without cgroup2.
Result<Fd> openPayload(const Layout &layout, const std::string &path, uid_t uid, gid_t gid);
/// The folder for exec'd processes, made if missing, opened for CLONE_INTO_CGROUP. Empty Fd without cgroup2.
/// Owned by `uid`, `gid`, so that the guest's own init may move the process on.
Result<Fd> openExec(const Layout &layout, const std::string &path, uid_t uid, gid_t gid);
/// Puts `pid` into the limits folder of every v1 hierarchy. On cgroup2 a process is born in its folder (the Fds above).
/// 0 is the calling thread, of a process with no other: takes microseconds. Another process: the first move after a quiet
/// spell waits for an RCU grace period, 4 to 15 ms. So let a child move itself.
Status attach(const Layout &layout, const std::string &path, pid_t pid);
/// The calling process (one thread), into the cgroup2 exec folder too: for a helper that was not born there.
Status attachSelf(const Layout &layout, const std::string &path, uid_t uid, gid_t gid);

/// SIGKILL to every process at once: cgroup.kill (Linux 5.14), else freezer loop. Does not wait for their end.
Status kill(const Layout &layout, const std::string &path);
/// Returns when all are frozen; Timeout after `most`, left thawed then.
Status freeze(const Layout &layout, const std::string &path, Millis most = {10'000});
Status thaw(const Layout &layout, const std::string &path);
/// Removes the folder and all below it from every hierarchy; waits for the last process to be gone up to `most`.
/// A folder that is not there is fine. WrongState when processes stay.
Status remove(const Layout &layout, const std::string &path, Millis most = {5'000});
/// Removes the folder from every hierarchy where no process and no folder is in it, and leaves the others as they are.
void removeEmpty(const Layout &layout, const std::string &path);

bool exists(const Layout &layout, const std::string &path);
/// Names of the folders in an open one.
Result<std::vector<std::string>> folders(const Fd &folder);
/// Folders directly below `base`, in any hierarchy, sorted: what runs or was left behind.
std::vector<std::string> children(const Layout &layout, const std::string &base);
/// Pids of all processes in the guest, sorted (as seen from the caller's pid namespace).
Result<std::vector<pid_t>> processes(const Layout &layout, const std::string &path);

struct Events {
    bool populated = false;
    bool frozen = false;
};
Result<Events> events(const Layout &layout, const std::string &path);
/// cgroup.events of the limits folder; poll(2) for POLLPRI, then call events(). Empty Fd without cgroup2.
Result<Fd> openEvents(const Layout &layout, const std::string &path);

/// A value is absent where this host does not count it.
struct Usage {
    std::optional<Bytes> memory, memoryPeak, memoryLimit, swap, swapPeak;
    std::optional<std::uint64_t> cpuNanoseconds, cpuUserNanoseconds, processes, oomKills;
};
/// Memory that cannot be had back without swapping or killing: anonymous and shared pages and the kernel's own for it.
Result<Bytes> heldMemory(const Layout &layout, const std::string &path);
/// Four or five small reads.
Result<Usage> usage(const Layout &layout, const std::string &path);

} // namespace lxmgr::cgroup
