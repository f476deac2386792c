#include "images/sandbox.h"

#include "base/text.h"
#include "kernel/caps.h"
#include "kernel/idmap.h"
#include "kernel/mount.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <memory>
#include <sched.h>
#include <seccomp.h>
#include <span>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lxmgr::images
{

namespace
{

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true; // its shadow memory and its own system calls do not fit in here
#else
constexpr bool kSanitized = false;
#endif

bool startsProgram(SandboxUse use) { return use == SandboxUse::Program || use == SandboxUse::ProgramWriter; }
bool looksAtTrees(SandboxUse use) { return use == SandboxUse::Trees || use == SandboxUse::Packer; }

struct Limit {
    __rlimit_resource resource;
    rlim_t value;
};

/// Enough for xz and zstd with the largest window we take, not for more.
constexpr rlim_t kMemory = 1ULL << 30;

rlim_t openFiles(SandboxUse use)
{
    switch (use) {
    case SandboxUse::Program:
    case SandboxUse::ProgramWriter:
        return 8192; // unsquashfs has hundreds open at once
    case SandboxUse::Trees:
    case SandboxUse::Packer:
    case SandboxUse::Taker:
        return 65'536; // two trees and a few layers, as deep as folders may be
    default:
        return 256;
    }
}

Status setLimits(SandboxUse use, const UnpackLimits &limits)
{
    const Limit rows[] = {
        {RLIMIT_CORE, 0},
        {RLIMIT_NOFILE, openFiles(use)},
        {RLIMIT_CPU, 3600},
        {RLIMIT_FSIZE, limits.perFile.count},
        {RLIMIT_AS, startsProgram(use) ? 4 * kMemory : kMemory}, // unsquashfs has threads and caches
    };
    for (const Limit &row : rows) {
        if (use == SandboxUse::Packer && row.resource != RLIMIT_CORE && row.resource != RLIMIT_NOFILE)
            continue;
        if (use == SandboxUse::ProgramWriter && (row.resource == RLIMIT_FSIZE || row.resource == RLIMIT_CPU))
            continue;
        if (use == SandboxUse::Taker && row.resource == RLIMIT_CPU)
            continue;
        if (kSanitized && row.resource == RLIMIT_AS)
            continue;
        rlimit now{};
        TRY(sys::call("getrlimit", {}, [&] { return ::getrlimit(row.resource, &now); }));
        const rlim_t value = std::min(row.value, now.rlim_max);
        const rlimit wanted{value, value};
        TRY(sys::call("setrlimit", {}, [&] { return ::setrlimit(row.resource, &wanted); }));
    }
    return {};
}

Result<Fd> makeUserNamespace()
{
    const idmap::Range ids{0, kUnpackIdBase, 65536};
    auto made = idmap::makeNamespace(std::span(&ids, 1), std::span(&ids, 1));
    if (!made)
        return std::move(made.error()).as(Code::Unsupported).hint("images are unpacked in a user namespace; is user.max_user_namespaces 0?");
    return made;
}

/// `tree` as a mount of its own on which the namespace's ids count from 0.
Result<Fd> idmapped(const Fd &tree, const Fd &userns)
{
    Fd clone = TRY(sys::callFd("open_tree", {}, [&] {
        return ::syscall(SYS_open_tree, tree.get(), "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    }));
    TRY(sys::mount_setattr(clone, sys::Recursive::No, MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0, &userns));
    return clone;
}

/// `layers` as one tree to read from, with the ids of `userns` where it is given.
Result<Fd> openBase(const std::vector<std::string> &layers, const Fd *userns)
{
    constexpr std::uint64_t kForReading = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    std::vector<Fd> trees;
    for (const std::string &layer : layers) {
        trees.push_back(TRY(sys::open_tree(sys::cwd(), layer, sys::Recursive::No)));
        TRY(sys::mount_setattr(trees.back(), sys::Recursive::No, kForReading | (userns ? MOUNT_ATTR_IDMAP : 0), 0, userns));
    }
    const Fd tree = trees.size() == 1 ? std::move(trees.front()) : TRY(mount::overlay(trees, nullptr, 0, 0, static_cast<unsigned>(kForReading)));
    return sys::openat(tree, ".", O_RDONLY | O_DIRECTORY);
}

bool cannotBeMapped(const Error &error) { return error.errnum == EINVAL || error.errnum == EOPNOTSUPP || error.errnum == ENOSYS; }

Status mapTarget(Sandbox &box, const Fd *target, const std::vector<const Fd *> &readable, const Fd &userns)
{
    for (const Fd *file : readable)
        box.readable.push_back(TRY(idmapped(*file, userns)));
    if (!target)
        return {};
    // O_PATH is all that open_tree(2) gives; reading and writing below needs no more.
    box.target = TRY(idmapped(*target, userns));
    return {};
}

Result<Fd> duplicate(const Fd &fd)
{
    return sys::callFd("fcntl", {}, [&] { return ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0); });
}

Status enterNamespaces(const Fd *userns)
{
    if (userns)
        TRY(sys::setns(*userns, CLONE_NEWUSER));
    return sys::unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS);
}

Status becomeRootInside()
{
    TRY(sys::setgroups({}));
    TRY(sys::setresgid(0));
    return sys::setresuid(0);
}

/// What giving files their owners, modes and capabilities takes, and no more.
constexpr unsigned kCapabilities[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP};

Status keepCapabilities(std::uint64_t keep)
{
    TRY(caps::limitBoundingSet(keep));
    TRY(caps::clearInheritable(keep));
    return sys::prctl("PR_SET_NO_NEW_PRIVS", PR_SET_NO_NEW_PRIVS, 1);
}

Status dropCapabilities(SandboxUse use)
{
    std::uint64_t keep = 0;
    for (const unsigned capability : kCapabilities)
        keep |= use == SandboxUse::Reader || looksAtTrees(use) ? 0 : 1ULL << capability;
    if (looksAtTrees(use))
        keep = 1ULL << CAP_DAC_READ_SEARCH;
    return keepCapabilities(keep);
}

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

constexpr std::uint64_t kReadRights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t kRunRights = kReadRights | LANDLOCK_ACCESS_FS_EXECUTE;
// Character devices are for whiteouts, which are 0:0: all others take a capability that is not there.
constexpr std::uint64_t kWriteRights =
    kReadRights | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
    LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER | LANDLOCK_ACCESS_FS_TRUNCATE;
constexpr std::uint64_t kAllRights = kWriteRights | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_BLOCK;
constexpr std::uint64_t kFileRights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE |
                                      LANDLOCK_ACCESS_FS_TRUNCATE;

Status allow(const Fd &rules, const Fd &at, std::uint64_t rights)
{
    const struct stat info = TRY(sys::fstat(at));
    if (!S_ISDIR(info.st_mode))
        rights &= kFileRights; // the others are EINVAL for a file
    const landlock_path_beneath_attr rule{rights, at.get()};
    TRY(sys::call("landlock_add_rule", {}, [&] {
        return ::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    }));
    return {};
}

/// What a kernel's landlock can forbid; 0: nothing that we could use. Older than Linux 5.19 (ABI 2) it would also forbid
/// hard links between folders, so for who makes any the namespaces and missing ids must do there.
std::uint64_t landlockRights(SandboxUse use)
{
    const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < (looksAtTrees(use) ? 1 : 2))
        return 0;
    std::uint64_t rights = kAllRights;
    if (abi < 3)
        rights &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
    if (abi < 2)
        rights &= ~LANDLOCK_ACCESS_FS_REFER;
    return rights;
}

Result<Fd> landlockRules(std::uint64_t rights)
{
    landlock_ruleset_attr attributes{};
    attributes.handled_access_fs = rights;
    return sys::callFd("landlock_create_ruleset", {},
                       [&] { return ::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0); });
}

Status obey(const Fd &rules)
{
    TRY(sys::call("landlock_restrict_self", {}, [&] { return ::syscall(SYS_landlock_restrict_self, rules.get(), 0); }));
    return {};
}

/// Folders and files of the host that a started program loads itself from.
constexpr const char *kProgramFiles[] = {"/usr", "/lib", "/lib64", "/etc/ld.so.cache"};

/// Nothing outside what is named can be opened, made or removed.
Status shutOutFiles(SandboxUse use, const Sandbox &box, const Fd *target, const std::vector<const Fd *> &readable)
{
    const std::uint64_t known = landlockRights(use);
    if (known == 0)
        return {};
    const Fd rules = TRY(landlockRules(known));
    const std::uint64_t ofFiles = use == SandboxUse::ProgramWriter ? kWriteRights : LANDLOCK_ACCESS_FS_READ_FILE;
    if (target)
        TRY(allow(rules, box.target ? *box.target : *target, kWriteRights & known));
    if (box.base)
        TRY(allow(rules, *box.base, kReadRights & known));
    for (std::size_t i = 0; i < readable.size(); ++i)
        TRY(allow(rules, box.readable.size() > i ? box.readable[i] : *readable[i], ofFiles & known));
    for (const char *path : kProgramFiles) {
        if (!startsProgram(use))
            break;
        if (const auto at = sys::open(path, O_PATH))
            TRY(allow(rules, *at, kRunRights));
    }
    return obey(rules);
}

/// Nothing but `trees` can be opened, and those for reading.
Status shutOutAllBut(const std::vector<const Fd *> &trees)
{
    const std::uint64_t known = landlockRights(SandboxUse::Trees);
    if (known == 0)
        return {};
    const Fd rules = TRY(landlockRules(known));
    for (const Fd *tree : trees)
        TRY(allow(rules, *tree, kReadRights));
    return obey(rules);
}

/// "/" becomes an empty folder, and nothing of the host has a name any more.
Status leaveHostFiles()
{
    const mount::Options options = {{"size", "64k"}, {"mode", "555"}};
    const Fd empty = TRY(mount::create("tmpfs", options, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
    TRY(sys::move_mount(empty, sys::cwd(), "/proc")); // some folder that every system has; hidden in this namespace only
    TRY(sys::chdir("/proc"));
    TRY(sys::pivot_root(".", ".")); // pivot_root(2): the old root is on top of the new one then
    TRY(sys::umount2(".", MNT_DETACH));
    return sys::chdir("/");
}

/// Of an id that owns nothing, with the capabilities kept: those count in the user namespace that this is in.
Status becomeNobody()
{
    TRY(sys::prctl("PR_SET_SECUREBITS", PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
    TRY(sys::setgroups({}));
    TRY(sys::setresgid(kUnpackIdBase));
    return sys::setresuid(kUnpackIdBase);
}

using Filter = std::unique_ptr<void, decltype(&::seccomp_release)>;

/// All that reading an archive and writing a tree takes. Anything else answers ENOSYS, which libraries know how to live with.
constexpr const char *kLibraryCalls[] = {
    "brk",        "clock_gettime", "clock_nanosleep", "close",      "dup",          "exit",         "exit_group",     "faccessat",
    "faccessat2", "fadvise64",     "fallocate",       "fchmod",     "fchmodat",     "fchown",       "fchownat",       "fcntl",
    "fgetxattr",  "flistxattr",    "fremovexattr",    "fsetxattr",  "fstat",        "fstatfs",      "fsync",          "ftruncate",
    "futex",      "getcwd",        "getdents64",      "getegid",    "geteuid",      "getgid",       "getpid",         "getrandom",
    "gettid",     "gettimeofday",  "getuid",          "linkat",     "lseek",        "madvise",      "membarrier",     "mkdirat",
    "mknodat",    "mmap",          "mprotect",        "mremap",     "munmap",       "newfstatat",   "openat",         "openat2",
    "pread64",    "pwrite64",      "read",            "readlinkat", "readv",        "renameat",     "renameat2",      "restart_syscall",
    "rseq",       "rt_sigaction",  "rt_sigprocmask",  "rt_sigreturn", "sched_yield", "set_robust_list", "sigaltstack", "statx",
    "symlinkat",  "sysinfo",       "tgkill",          "time",       "umask",        "uname",        "unlinkat",       "utimensat",
    "write",      "writev",
};

/// All that computing on bytes takes.
constexpr const char *kReaderCalls[] = {
    "brk",    "clock_gettime", "close",    "exit",   "exit_group", "fstat",  "futex",          "getpid",       "getrandom",
    "gettid", "lseek",         "madvise",  "mmap",   "mprotect",   "mremap", "munmap",         "read",         "restart_syscall",
    "rseq",   "rt_sigaction",  "rt_sigprocmask", "rt_sigreturn", "sched_yield", "sigaltstack", "tgkill", "write", "writev",
};

/// All that looking at trees takes, and SQLite on bytes in memory. Mounts forbid writing, whatever openat is told.
constexpr const char *kTreeCalls[] = {
    "brk",       "clock_gettime", "close",      "exit",           "exit_group",     "faccessat2",   "fchdir",      "fcntl",
    "fstat",     "fstatfs",       "futex",      "getdents64",     "getpid",         "getrandom",    "gettid",      "gettimeofday",
    "lgetxattr", "llistxattr",    "lseek",      "madvise",        "mmap",           "mprotect",     "mremap",      "munmap",
    "newfstatat", "openat",       "openat2",    "pread64",        "read",           "readlinkat",   "readv",       "restart_syscall",
    "rseq",      "rt_sigaction",  "rt_sigprocmask", "rt_sigreturn", "sched_yield",  "sigaltstack",  "statx",       "sysinfo",
    "tgkill",    "time",          "write",      "writev",
};

/// What packing takes beside those: attributes of what it has open, and threads.
constexpr const char *kPackerCalls[] = {
    "fadvise64", "fgetxattr", "flistxattr", "sched_getaffinity", "set_robust_list",
};

/// What a program must not be able to call however it was taken over: other processes, other namespaces, new kernel surface.
constexpr const char *kProgramDenied[] = {
    "acct",          "add_key",    "bpf",         "chroot",     "delete_module",  "fanotify_init", "finit_module", "fsconfig",
    "fsmount",       "fsopen",     "fspick",      "init_module", "io_uring_enter", "io_uring_register", "io_uring_setup", "kcmp",
    "kexec_file_load", "kexec_load", "keyctl",    "mount",      "mount_setattr",  "move_mount",    "name_to_handle_at", "open_by_handle_at",
    "open_tree",     "perf_event_open", "personality", "pidfd_getfd", "pidfd_open", "pivot_root",  "process_vm_readv", "process_vm_writev",
    "ptrace",        "quotactl",   "reboot",      "request_key", "setns",         "sethostname",   "socket",       "socketpair",
    "swapoff",       "swapon",     "umount2",     "unshare",    "userfaultfd",    "vhangup",
};

Status shutOutCalls(SandboxUse use)
{
    if (kSanitized)
        return {};
    const bool program = startsProgram(use);
    const Filter filter(::seccomp_init(program ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOSYS)), &::seccomp_release);
    if (!filter)
        return Error(Code::Internal, "no memory for a seccomp filter");
    const auto add = [&](const char *name, std::uint32_t action) {
        const int number = ::seccomp_syscall_resolve_name(name);
        return number == __NR_SCMP_ERROR || number < 0 ? 0 : ::seccomp_rule_add(filter.get(), action, number, 0);
    };
    int failed = 0;
    const auto addAll = [&](std::span<const char *const> names, std::uint32_t action) {
        for (const char *name : names)
            failed = failed == 0 ? add(name, action) : failed;
    };
    if (program)
        addAll(kProgramDenied, SCMP_ACT_ERRNO(EPERM));
    else if (use == SandboxUse::Library || use == SandboxUse::Taker)
        addAll(kLibraryCalls, SCMP_ACT_ALLOW);
    else if (looksAtTrees(use))
        addAll(kTreeCalls, SCMP_ACT_ALLOW);
    else
        addAll(kReaderCalls, SCMP_ACT_ALLOW);
    if (use == SandboxUse::Packer) {
        addAll(kPackerCalls, SCMP_ACT_ALLOW);
        // Threads, not processes. The flags of clone3(2) lie in memory, where a filter cannot see them: it answers ENOSYS,
        // and the C library uses clone(2).
        if (failed == 0)
            failed = ::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    }
    if (failed == 0)
        failed = ::seccomp_load(filter.get());
    return failed == 0 ? Status() : Status(Error::fromErrno(-failed, "seccomp"));
}

} // namespace

namespace
{

Status shutIn(SandboxUse use, const Sandbox &box, const Fd &userns, const Fd *target, const std::vector<const Fd *> &readable)
{
    TRY_IN("sandbox", enterNamespaces(box.ownIds ? &userns : nullptr));
    TRY_IN("sandbox", becomeRootInside());
    TRY_IN("sandbox", dropCapabilities(use));
    // After the ids changed, which clears it. The daemon's thread that started us waits for us, so its end is the daemon's.
    TRY(sys::prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, SIGKILL));
    TRY_IN("sandbox", shutOutFiles(use, box, target, readable));
    TRY_IN("sandbox", shutOutCalls(use)); // last: the filter forbids the rows above
    return {};
}

} // namespace

Result<Sandbox> enterTaker(const Fd &target, const std::vector<std::string> &layers, const UnpackLimits &limits)
{
    constexpr SandboxUse kUse = SandboxUse::Taker;
    Sandbox box;
    TRY(setLimits(kUse, limits));
    const Fd userns = TRY(makeUserNamespace());
    const auto open = [&](const Fd *ids) -> Status {
        box = Sandbox{};
        box.ownIds = ids != nullptr;
        box.target = ids ? TRY(idmapped(target, *ids)) : TRY(duplicate(target));
        if (!layers.empty())
            box.base = TRY(openBase(layers, ids));
        return {};
    };
    if (Status opened = open(&userns); !opened) {
        if (!cannotBeMapped(opened.error()))
            return opened.error();
        TRY(open(nullptr));
    }
    TRY(shutIn(kUse, box, userns, &target, {}));
    return box;
}

Result<Sandbox> enterSandbox(SandboxUse use, const Fd *target, const std::vector<const Fd *> &readable, const UnpackLimits &limits)
{
    Sandbox box;
    TRY(setLimits(use, limits));
    const Fd userns = TRY(makeUserNamespace());
    if (Status mapped = mapTarget(box, target, readable, userns); !mapped) {
        if (!cannotBeMapped(mapped.error()))
            return mapped.error();
        box = Sandbox{};
        box.ownIds = false;
    }
    if (target && !box.target)
        box.target = TRY(duplicate(*target));
    for (std::size_t i = box.readable.size(); i < readable.size(); ++i)
        box.readable.push_back(TRY(duplicate(*readable[i])));
    TRY(shutIn(use, box, userns, target, readable));
    return box;
}

namespace
{

/// With nothing but `trees` to open, owning nothing, with the right to read there whatever a guest has closed.
Status shutInWith(SandboxUse use, const Fd *userns, const std::vector<const Fd *> &trees)
{
    TRY_IN("sandbox", enterNamespaces(userns));
    if (!userns) // another user namespace's mounts are its own anyhow
        TRY_IN("sandbox", sys::mount("none", "/", {}, MS_REC | MS_PRIVATE)); // first, or our mounts reach the host
    TRY_IN("sandbox", leaveHostFiles());
    TRY_IN("sandbox", becomeNobody());
    TRY_IN("sandbox", dropCapabilities(use));
    TRY(sys::prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, SIGKILL)); // after the ids changed, which clears it
    TRY_IN("sandbox", shutOutAllBut(trees));
    TRY_IN("sandbox", shutOutCalls(use)); // last: the filter forbids the rows above
    return {};
}

} // namespace

Status shutInTreeReader(const std::vector<const Fd *> &trees)
{
    TRY(setLimits(SandboxUse::Trees, {}));
    // All ids as they are: owners are compared, and a capability to read counts only for ids that the namespace has.
    const idmap::Range all{0, 0, UINT32_MAX};
    const auto userns = idmap::makeNamespace(std::span(&all, 1), std::span(&all, 1));
    if (!userns)
        return Error(userns.error()).as(Code::Unsupported).hint("trees are looked at in a user namespace; is user.max_user_namespaces 0?");
    return shutInWith(SandboxUse::Trees, &*userns, trees);
}

Status shutInPacker(const std::vector<const Fd *> &trees)
{
    TRY(setLimits(SandboxUse::Packer, {}));
    return shutInWith(SandboxUse::Packer, nullptr, trees);
}

Status shutInProgram(std::uint64_t keep)
{
    TRY_IN("sandbox", keepCapabilities(keep));
    TRY(sys::prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, SIGKILL));
    return shutOutCalls(SandboxUse::Program); // last: the filter forbids the rows above
}

Status shutInReader()
{
    TRY(setLimits(SandboxUse::Reader, {}));
    TRY_IN("sandbox", dropCapabilities(SandboxUse::Reader));
    TRY_IN("sandbox", shutOutFiles(SandboxUse::Reader, {}, nullptr, {}));
    TRY_IN("sandbox", shutOutCalls(SandboxUse::Reader)); // last, as above
    return {};
}

} // namespace lxmgr::images
