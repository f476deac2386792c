// The table of instance keys this version carries out, and those of LXD and Incus it knows and refuses.
#pragma once

#include "config/instance_config.h"

#include <algorithm>

namespace lxmgr::config
{

using C = InstanceConfig;

// clang-format off
inline constexpr Key<C> kInstanceKeys[] = {
    {"boot.autorestart",              field<&C::autorestart>,         Apply::Live,    "false",      "Start it again when it ended without being asked to; at most 10 times a minute."},
    {"boot.autostart",                field<&C::autostart>,           Apply::Live,    "last state", "Start it with the daemon; unset: if it ran when the host went down."},
    {"boot.autostart.delay",          field<&C::autostartDelay>,      Apply::Live,    "0",          "Seconds to wait after starting it before the next one starts."},
    {"boot.autostart.priority",       field<&C::autostartPriority>,   Apply::Live,    "0",          "Higher ones start first."},
    {"boot.host_shutdown_action",     field<&C::hostShutdownAction>,  Apply::Live,    "stop",       "stop: cleanly, when the host goes down; force-stop: at once."},
    {"boot.host_shutdown_timeout",    field<&C::hostShutdownTimeout>, Apply::Live,    "30",         "Seconds a clean stop may take when the host goes down, before it is forced."},
    {"boot.stop.priority",            field<&C::stopPriority>,        Apply::Live,    "0",          "Higher ones are stopped first when the host goes down; the next wait for them."},
    {"cloud-init.network-config",     field<&C::cloudNetwork>,        Apply::Restart, "DHCP on eth0", "Network configuration for the image's cloud-init, in its versions 1 or 2."},
    {"cloud-init.user-data",          field<&C::cloudUser>,           Apply::Restart, "",           "#cloud-config or a program for the first boot; applied by lxmgr itself where the image has no cloud-init."},
    {"cloud-init.vendor-data",        field<&C::cloudVendor>,         Apply::Restart, "",           "The same, with user-data going before it."},
    {"environment.*",                 field<&C::environment>,         Apply::Live,    "",           "Environment variable of its init (from the next start) and of what exec runs."},
    {"image.*",                       field<&C::image>,               Apply::Live,    "",           "Property of the image it was made from."},
    {"limits.cpu",                    field<&C::cpu>,                 Apply::Live,    "all",        "How many CPUs it may use (2), or which (0-3 or 1,5)."},
    {"limits.cpu.allowance",          field<&C::cpuAllowance>,        Apply::Live,    "100%",       "CPU time: 50% is a share under contention, 25ms/100ms a hard limit."},
    {"limits.cpu.nodes",              field<&C::cpuNodes>,            Apply::Live,    "all",        "NUMA nodes (0 or 0-1) whose CPUs and memory it uses, or balanced: the one that the fewest are bound to; limits.cpu counts among these."},
    {"limits.cpu.priority",           field<&C::cpuPriority>,         Apply::Live,    "10",         "0 to 10: each step below 10 takes a tenth of its share away where CPUs are contended."},
    {"limits.disk.priority",          field<&C::diskPriority>,        Apply::Live,    "5",          "0 to 10: its part of a contended disk that is shared out by weight (bfq or io.cost)."},
    {"limits.hugepages.1GB",          field<&C::hugepages1GB>,        Apply::Live,    "no limit",   "Most memory in huge pages of this size, where the host has such."},
    {"limits.hugepages.1MB",          field<&C::hugepages1MB>,        Apply::Live,    "no limit",   "The same for pages of 1 MiB."},
    {"limits.hugepages.2MB",          field<&C::hugepages2MB>,        Apply::Live,    "no limit",   "The same for pages of 2 MiB."},
    {"limits.hugepages.64KB",         field<&C::hugepages64KB>,       Apply::Live,    "no limit",   "The same for pages of 64 KiB."},
    {"limits.kernel.*",               field<&C::kernelLimits>,        Apply::Restart, "",           "Limit of setrlimit(2) for its init: nofile, memlock, nproc and others; soft:hard or one for both."},
    {"limits.memory",                 field<&C::memory>,              Apply::Live,    "no limit",   "Most memory it may use, as a size or percent of the host's."},
    {"limits.memory.enforce",         field<&C::memoryEnforce>,       Apply::Live,    "hard",       "hard: never above limits.memory; soft: above it while the host has memory to spare."},
    {"limits.memory.oom_priority",    field<&C::oomPriority>,         Apply::Restart, "0",          "-1000 to 1000: the higher, the sooner its processes are killed when the host runs out of memory (oom_score_adj)."},
    {"limits.memory.swap",            field<&C::memorySwap>,          Apply::Live,    "true",       "May its memory be swapped out: true, false, or how much."},
    {"limits.memory.swap.priority",   field<&C::swapPriority>,        Apply::Live,    "10",         "0 to 10: the lower, the sooner its memory is swapped out (control groups v1 only)."},
    {"limits.network.priority",       field<&C::networkPriority>,     Apply::Live,    "0",          "0 to 10: priority of what its cards with an end on the host send, for the host's queueing disciplines; 0: as it is."},
    {"limits.processes",              field<&C::processes>,           Apply::Live,    "no limit",   "Most processes and threads it may have."},
    {"linux.kernel_modules",          field<&C::kernelModules>,       Apply::Live,    "",           "Modules that the host's kernel has to have, loaded before it starts: names with commas between."},
    {"linux.sysctl.*",                field<&C::sysctls>,             Apply::Restart, "",           "Value of a sysctl of its own namespaces: net.*, kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*, user.max_*."},
    {"raw.idmap",                     field<&C::rawIdmap>,            Apply::Restart, "",           "Ids of the host that are ids inside too, a line each: both, uid or gid, the host's, those inside (both 1000 1000)."},
    {"security.devlxd",               field<&C::devlxd>,              Apply::Live,    "true",       "Let it ask for its own configuration at /dev/lxd/sock and /dev/incus/sock."},
    {"security.guestapi",             field<&C::guestApi>,            Apply::Live,    "true",       "The same as security.devlxd, by its other name: false in either turns it off."},
    {"security.idmap.base",           field<&C::idmapBase>,           Apply::Restart, "any free",   "First host id of its range."},
    {"security.idmap.isolated",       field<&C::idmapIsolated>,       Apply::Restart, "true",       "Every instance has a range of host ids of its own; false is not offered."},
    {"security.idmap.size",           field<&C::idmapSize>,           Apply::Restart, "65536",      "How many ids its range has; at least 65536."},
    {"security.nesting",              field<&C::nesting>,             Apply::Restart, "false",      "Let containers run inside this one."},
    {"security.privileged",           field<&C::privileged>,          Apply::Restart, "false",      "Run without a user namespace: its root is the host's root."},
    {"security.protection.delete",    field<&C::protectionDelete>,    Apply::Live,    "false",      "Refuse to delete it."},
    {"security.protection.shift",     field<&C::protectionShift>,     Apply::Live,    "false",      "Refuse to change owners on disk at a start. It is never done here, whatever this says: ids are mapped by the mount."},
    {"security.protection.start",     field<&C::protectionStart>,     Apply::Live,    "false",      "Refuse to start it."},
    {"security.syscalls.allow",       field<&C::syscallsAllow>,       Apply::Restart, "",           "The only system calls it may make, one a line."},
    {"security.syscalls.deny",        field<&C::syscallsDeny>,        Apply::Restart, "",           "System calls it may not make, one a line."},
    {"security.syscalls.deny_compat", field<&C::syscallsDenyCompat>,  Apply::Restart, "false",      "Refuse system calls of another word size (i386 on x86_64)."},
    {"security.syscalls.deny_default",field<&C::syscallsDenyDefault>, Apply::Restart, "true",       "Refuse the system calls on the default list."},
    {"security.syscalls.intercept.mknod",    field<&C::interceptMknod>,    Apply::Restart, "false", "Let it make the device nodes null, zero, full, random, urandom, tty, console and 0:0 (what overlay says that a file is gone by)."},
    {"security.syscalls.intercept.mount",         field<&C::interceptMount>, Apply::Restart, "false", "Let it mount the file systems of the next two keys from block devices that it has."},
    {"security.syscalls.intercept.mount.allowed", field<&C::mountAllowed>,   Apply::Restart, "",      "Those that the kernel mounts, with commas between: ext2, ext3, ext4, squashfs, xfs. A device that the guest may write to can then attack the kernel."},
    {"security.syscalls.intercept.mount.fuse",    field<&C::mountFuse>,      Apply::Restart, "",      "Those that a program of the guest mounts by FUSE: ext4=fuse2fs, with commas between."},
    {"security.syscalls.intercept.mount.shift",   field<&C::mountShift>,     Apply::Restart, "false", "Ids on those that the kernel mounts are the guest's; else the host's, of which it has none."},
    {"security.syscalls.intercept.sched_setscheduler", field<&C::interceptScheduler>, Apply::Restart, "false", "Let its root set real-time priorities and the policies of its users' threads: it may keep the host's processors busy."},
    {"security.syscalls.intercept.setxattr", field<&C::interceptSetxattr>, Apply::Restart, "false", "Let it say trusted.overlay.opaque=y of a folder."},
    {"security.syscalls.intercept.sysinfo",  field<&C::interceptSysinfo>,  Apply::Restart, "false", "sysinfo(2) tells its own memory, processes and time since its start."},
    {"snapshots.expiry",              field<&C::snapshotsExpiry>,     Apply::Live,    "never",      "How long snapshots are kept: 2w, or 1d 12H (M minutes, H hours, d days, w weeks, m months, y years)."},
    {"snapshots.expiry.manual",       field<&C::snapshotsExpiryManual>, Apply::Live,  "snapshots.expiry", "The same for snapshots that a person asks for."},
    {"snapshots.pattern",             field<&C::snapshotsPattern>,    Apply::Live,    "snap%d",     "How they are named: %d is the next free number, {{ creation_date|date:'2006-01-02_15-04' }} the time."},
    {"snapshots.schedule",            field<&C::snapshotsSchedule>,   Apply::Live,    "",           "When they are made: @hourly, @daily, @startup or a line of crontab(5); several with ';', each with name and keep: 'night: 0 3 * * * keep=7; @hourly keep=24'."},
    {"snapshots.schedule.stopped",    field<&C::snapshotsScheduleStopped>, Apply::Live, "false",    "Make them also while it is stopped."},
    {"user.*",                        field<&C::user>,                Apply::Live,    "",           "Free text for people and tools."},
    {"volatile.*",                    field<&C::volatileKeys>,        Apply::Daemon,  "",           "What the daemon remembers: MAC addresses, interface names, last state."},
};
static_assert(std::ranges::is_sorted(kInstanceKeys, {}, &Key<C>::name));

// Keys of LXD 5.0 and Incus 6.0 for containers that this version does not carry out; "*" ends a prefix.
inline constexpr std::string_view kUnsupportedInstanceKeys[] = {
    "agent.nic_config", "boot.debug_edk2",
    "cluster.evacuate",
    "limits.memory.hotplug", "limits.memory.hugepages",
    "linux.kernel_modules.load", "migration.incremental.memory",
    "migration.incremental.memory.goal", "migration.incremental.memory.iterations", "migration.stateful",
    "nvidia.driver.capabilities", "nvidia.require.cuda", "nvidia.require.driver", "nvidia.runtime", "oci.*",
    "raw.apparmor", "raw.lxc", "raw.qemu", "raw.qemu.*", "raw.seccomp",
    "security.agent.metrics", "security.bpffs.*", "security.csm", "security.devlxd.images",
    "security.guestapi.images", "security.iommu",
    "security.secureboot", "security.sev", "security.sev.*", "security.syscalls.intercept.bpf",
    "security.syscalls.intercept.bpf.devices",
    "smbios11.*", "systemd.credential-binary.*", "systemd.credential.*", "ubuntu_pro.guest_attach",
};
static_assert(std::ranges::is_sorted(kUnsupportedInstanceKeys));
// clang-format on

struct RenamedKey {
    std::string_view old;
    std::string_view now;
};
inline constexpr RenamedKey kRenamedInstanceKeys[] = {
    {"security.syscalls.blacklist",         "security.syscalls.deny"        },
    {"security.syscalls.blacklist_compat",  "security.syscalls.deny_compat" },
    {"security.syscalls.blacklist_default", "security.syscalls.deny_default"},
    {"security.syscalls.whitelist",         "security.syscalls.allow"       },
};

} // namespace lxmgr::config
