#include "runtime/child.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/mount.h"
#include "kernel/path.h"
#include "kernel/process.h"
#include "kernel/sys.h"
#include "runtime/confine.h"
#include "runtime/handshake.h"
#include "runtime/setup.h"
#include "runtime/step.h"
#include "runtime/trees.h"
#include "spec/spawn.h"

#include <csignal>
#include <linux/mount.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace lxmgr::runtime
{

namespace
{

struct Child {
    const spec::LaunchSpec &spec;
    const Ids &ids;
    const cgroup::Layout &layout;
    spec::Channel parent;
    std::vector<Fd> trees;                ///< For spec.mounts, in their order.
    Fd root, dev;                         ///< Detached mounts at first.
    Fd devpts, console, terminal, notify; ///< terminal: the console's other end.
};

using path::Scope;

Error parentGone() { return Error(Code::Unavailable, "the monitor is gone"); }

/// In the host's mount namespace (a copy), as the host root's uid without its rights.
Status dieWithParent(Child &) { return sys::prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, SIGKILL); }

Status joinControlGroups(Child &child) { return cgroup::attach(child.layout, child.spec.cgroup, 0); }

Status receiveTrees(Child &child)
{
    for (;;) {
        auto packet = TRY(child.parent.receive());
        if (!packet)
            return parentGone();
        if (packet->type == wire(Handshake::Mount) && packet->fds.size() == 1) {
            child.trees.push_back(std::move(packet->fds[0]));
            continue;
        }
        if (packet->type != wire(Handshake::Go) || packet->fds.size() != 2)
            return Error(Code::Corrupt, "unexpected message from the monitor");
        child.root = std::move(packet->fds[0]);
        child.dev = std::move(packet->fds[1]);
        return {};
    }
}

Status hideControlGroups(Child &) { return sys::unshare(CLONE_NEWCGROUP); }

Status becomeRoot(Child &child)
{
    TRY(sys::setgroups({}));
    TRY(sys::setresgid(0));
    TRY(sys::setresuid(0));
    return dieWithParent(child); // new ids took it away
}

Status makeMountsPrivate(Child &) { return sys::mount("none", "/", {}, MS_REC | MS_PRIVATE); }

/// Over "/", which every host has; the stack is left by pivot_root.
Status mountRoot(Child &child)
{
    TRY(sys::move_mount(child.root, sys::cwd(), "/"));
    return sys::fchdir(child.root);
}

/// A place below the root that is ours: a link there is refused, as it could lead anywhere (CVE-2025-52565 and kin).
Result<Fd> standardTarget(const Child &child, const std::string &target)
{
    auto folder = path::open(child.root, target, O_PATH | O_DIRECTORY | O_NOFOLLOW, Scope::NoSymlink);
    if (!folder && folder.error().errnum == ENOENT)
        folder = path::makeFolders(child.root, target, 0755, Scope::NoSymlink);
    if (!folder && (folder.error().errnum == ELOOP || folder.error().errnum == ENOTDIR))
        return std::move(folder.error())
            .as(Code::Invalid)
            .hint("/" + target + " must be a folder, the image has something else");
    return folder;
}

Status mountDevices(Child &child) { return sys::move_mount(child.dev, TRY(standardTarget(child, "dev")), ""); }

constexpr unsigned kPlain = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
constexpr unsigned kStrict = kPlain | MOUNT_ATTR_NOEXEC;

struct KernelMount {
    const char *target, *type, *options;
    unsigned attributes;
    const char *controller; ///< Only where the host has this cgroup hierarchy (nullptr: always).
};
constexpr KernelMount kKernelMounts[] = {
    {"proc",          "proc",    "",          kStrict,                     nullptr},
    // Read-only tells systemd that no udev announces devices (its Container Interface): networkd acts at once.
    {"sys",           "sysfs",   "",          kStrict | MOUNT_ATTR_RDONLY, nullptr},
    {"sys/fs/cgroup", "cgroup2", "",          kStrict,                     ""     },
    {"dev/shm",       "tmpfs",   "mode=1777", kPlain,                      nullptr},
    {"dev/mqueue",    "mqueue",  "",          kStrict,                     nullptr},
    {"run",           "tmpfs",   "mode=755",  kPlain,                      nullptr},
};

Status mountKernelTrees(Child &child)
{
    for (const KernelMount &row : kKernelMounts) {
        if (row.controller && !child.layout.has(row.controller))
            continue;
        const Fd tree = TRY(mount::create(row.type, mount::parseOptions(row.options), row.attributes));
        const Fd target = TRY_IN(row.target, standardTarget(child, row.target));
        TRY_IN(row.target, sys::move_mount(tree, target, ""));
    }
    return {};
}

/// Terminals of its own; the console is the first of them, so no terminal of the host's comes inside.
Status makeConsole(Child &child)
{
    child.devpts = TRY(mount::create("devpts", mount::parseOptions("ptmxmode=0666,mode=0620,gid=5,max=1024"),
                                     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
    TRY(sys::move_mount(child.devpts, TRY(standardTarget(child, "dev/pts")), ""));
    child.console = TRY(sys::openat(child.devpts, "ptmx", O_RDWR | O_NOCTTY));
    int unlocked = 0, number = 0;
    TRY(sys::call("ioctl", "TIOCSPTLCK", [&] { return ::ioctl(child.console.get(), TIOCSPTLCK, &unlocked); }));
    TRY(sys::call("ioctl", "TIOCGPTN", [&] { return ::ioctl(child.console.get(), TIOCGPTN, &number); }));
    child.terminal = TRY(sys::callFd("ioctl", "TIOCGPTPEER", [&] {
        return ::ioctl(child.console.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    }));
    const Fd node = TRY(sys::open_tree(child.devpts, std::to_string(number), sys::Recursive::No));
    return sys::move_mount(node, TRY(path::open(child.root, "dev/console", O_PATH, Scope::NoSymlink)), "");
}

/// Where sd_notify(3) of the guest's init goes: says when it has booted.
Status makeNotifySocket(Child &child)
{
    const Fd folder = TRY(standardTarget(child, "run/host"));
    child.notify =
        TRY(sys::callFd("socket", {}, [] { return ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    // Relative to the working directory, which is the new root: its /run is ours and empty, no link can be there.
    std::string("run/host/notify").copy(address.sun_path, sizeof address.sun_path - 1);
    TRY(sys::call("bind", "/run/host/notify", [&] {
        return ::bind(child.notify.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address);
    }));
    return sys::fchmodat(folder, "notify", 0666);
}

Status mountFolders(Child &child)
{
    if (child.trees.size() != child.spec.mounts.size())
        return Error(Code::Corrupt, "unexpected number of mounts from the monitor");
    for (std::size_t i = 0; i < child.trees.size(); ++i) {
        const spec::Mount &mount = child.spec.mounts[i];
        const Fd &tree = child.trees[i];
        const std::string context = "mount at /" + mount.target;
        const bool isFolder = S_ISDIR(TRY(sys::fstat(tree)).st_mode);
        const Fd target = TRY_IN(context, mountTarget(child.root, mount, isFolder));
        TRY_IN(context, sys::move_mount(tree, target, ""));
        TRY_IN(context, settlePropagation(tree, mount));
    }
    return {};
}

/// What a privileged guest's root must not reach through the kernel's own trees (with a user namespace the ids are the
/// wall).
constexpr const char *kMasked[] = {
    "proc/kcore",         "proc/keys",
    "proc/timer_list",    "proc/latency_stats",
    "proc/sched_debug",   "proc/acpi",
    "proc/asound",        "proc/scsi",
    "proc/interrupts",    "sys/firmware",
    "sys/kernel/debug",   "sys/kernel/security",
    "sys/kernel/tracing", "sys/devices/virtual/powercap",
};
constexpr const char *kReadOnly[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
constexpr const char *kWritable[] = {"proc/sys/net"}; ///< Of its own network namespace.

/// A copy of what is there, or nothing where it is not.
Result<Fd> copyOf(const Child &child, const std::string &target)
{
    auto tree = sys::open_tree(child.root, target, sys::Recursive::Yes);
    return !tree && tree.error().errnum == ENOENT ? Result<Fd>(Fd()) : std::move(tree);
}

Status maskKernelTrees(Child &child)
{
    if (!child.ids.privileged())
        return {};
    std::vector<std::pair<Fd, std::string>> writable;
    for (const char *target : kWritable)
        writable.emplace_back(TRY(copyOf(child, target)), target);
    for (const char *target : kReadOnly) {
        const Fd tree = TRY(copyOf(child, target));
        if (!tree)
            continue;
        TRY(sys::mount_setattr(tree, sys::Recursive::Yes, MOUNT_ATTR_RDONLY));
        TRY(sys::move_mount(tree, TRY(path::open(child.root, target, O_PATH, Scope::NoSymlink)), ""));
    }
    for (const auto &[tree, target] : writable)
        if (tree)
            TRY(sys::move_mount(tree, TRY(path::open(child.root, target, O_PATH, Scope::NoSymlink)), ""));
    for (const char *target : kMasked) {
        const auto there = path::open(child.root, target, O_PATH, Scope::NoSymlink);
        if (!there)
            continue;
        // Never "whatever is at /dev/null": an empty tmpfs, or our own node, which we have just made.
        const bool folder = S_ISDIR(TRY(sys::fstat(*there)).st_mode);
        const Fd mask = folder ? TRY(mount::create("tmpfs",
                                                   {
                                                       {"size", "4k"}
        },
                                                   kStrict | MOUNT_ATTR_RDONLY))
                               : TRY(sys::open_tree(child.dev, "null", sys::Recursive::No));
        TRY_IN(target, sys::move_mount(mask, *there, ""));
    }
    return {};
}

Status changeRoot(Child &child)
{
    TRY(sys::fchdir(child.root));
    TRY(sys::pivot_root(".", "."));
    TRY(sys::umount2(".", MNT_DETACH)); // the host's tree, now on top of ours
    return sys::chdir("/");
}

Status setHostName(Child &child)
{
    const std::string &name = child.spec.hostname;
    TRY(sys::call("sethostname", name, [&] { return ::sethostname(name.data(), name.size()); }));
    return {};
}

Status startLoopback(Child &)
{
    const Fd socket = TRY(sys::callFd("socket", {}, [] { return ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); }));
    ifreq request{};
    std::string("lo").copy(request.ifr_name, sizeof request.ifr_name - 1);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    TRY(sys::call("ioctl", "SIOCSIFFLAGS lo", [&] { return ::ioctl(socket.get(), SIOCSIFFLAGS, &request); }));
    return {};
}

Status handOverConsole(Child &child)
{
    return child.parent.send(wire(Handshake::Console), {},
                             {child.console.get(), child.devpts.get(), child.notify.get()});
}

Status waitForNetwork(Child &child)
{
    const auto packet = TRY(child.parent.receive());
    if (!packet)
        return parentGone();
    return packet->type == wire(Handshake::Network) ? Status()
                                                    : Error(Code::Corrupt, "unexpected message from the monitor");
}

/// "net.ipv4.ip_forward" → proc/sys/net/ipv4/ip_forward. A name with slashes has dots as they are
/// ("net/ipv4/conf/eth0.1/…").
std::string sysctlPath(std::string key)
{
    if (key.find('/') == std::string::npos)
        for (char &character : key)
            character = character == '.' ? '/' : character;
    return "sys/" + key;
}

Status setSysctls(Child &child)
{
    if (child.spec.sysctls.empty())
        return {};
    const Fd proc = TRY(path::open(child.root, "proc", O_PATH | O_DIRECTORY, Scope::NoSymlink));
    for (const auto &[key, value] : child.spec.sysctls) {
        const std::string context = "sysctl " + quoted(key);
        const Fd file = TRY_IN(context, path::open(proc, sysctlPath(key), O_WRONLY, Scope::NoSymlink));
        TRY_IN(context, files::writeAll(file, value));
    }
    return {};
}

/// Writing the same again would copy the file up from the image's layer, and have the disk wait for it.
bool hasContent(const Fd &file, const std::string &content)
{
    const auto info = sys::fstat(file);
    if (!info || static_cast<std::size_t>(info->st_size) != content.size())
        return false;
    const auto now = files::readAll(file, content.size() + 1);
    return now && *now == content;
}

/// The file that is there already, or that a link there leads to.
Result<Fd> openExisting(const Child &child, const spec::GuestFile &file)
{
    // O_NONBLOCK: a fifo of the image's must not stop us.
    auto fd = path::open(child.root, file.path, O_RDONLY | O_NONBLOCK | O_NOCTTY, Scope::InRoot);
    if (fd && !S_ISREG(TRY(sys::fstat(*fd)).st_mode))
        return Error(Code::Invalid, "it is not a regular file");
    if (fd && hasContent(*fd, file.content))
        return Fd();
    return path::open(child.root, file.path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, Scope::InRoot, 0644);
}

Status writeFile(const Child &child, const spec::GuestFile &file)
{
    if (!file.onlyWith.empty() && !path::open(child.root, file.onlyWith, O_PATH, Scope::InRoot))
        return {};
    if (const std::size_t slash = file.path.rfind('/'); slash != std::string::npos && slash > 0)
        TRY(path::makeFolders(child.root, file.path.substr(0, slash), 0755, Scope::InRoot));
    auto fd = path::open(child.root, file.path, O_WRONLY | O_CREAT | O_EXCL, Scope::InRoot, 0600);
    const bool created = fd.has_value();
    if (!created && fd.error().errnum == EEXIST) {
        if (file.createOnly)
            return {};
        fd = openExisting(child, file);
    }
    const Fd target = TRY(std::move(fd));
    if (!target)
        return {};
    if (!S_ISREG(TRY(sys::fstat(target)).st_mode))
        return Error(Code::Invalid, "it is not a regular file");
    TRY(sys::ftruncate(target, 0));
    TRY(files::writeAll(target, file.content));
    if (!created)
        return {};
    TRY(sys::fchown(target, file.uid, file.gid));
    return sys::fchmod(target, file.mode & 07777);
}

Status writeFiles(Child &child)
{
    for (const spec::GuestFile &file : child.spec.files)
        TRY_IN("write " + quoted(file.path), writeFile(child, file));
    return {};
}

Status setUp(Child &child) { return setUpGuest(child.root, child.spec.setup); }

Status useConsole(Child &child)
{
    for (int fd = 0; fd < 3; ++fd)
        TRY(sys::dup2(child.terminal, fd));
    return sys::setsid();
}

Status resetProcess(Child &child)
{
    process::resetSignals();
    ::umask(022);
    TRY(setLimits(child.spec.rlimits));
    TRY(dieWithParent(child));
    // It may have died before this call: then nobody would ever kill us.
    char byte;
    if (::recv(child.parent.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        return parentGone();
    return {};
}

Status dropAllButAllowed(Child &child) { return dropCapabilities(child.spec.boundingSet); }

Status interceptSystemCalls(Child &child)
{
    if (child.spec.intercepts.empty())
        return {};
    const Fd listener = TRY(loadIntercepts(child.spec.intercepts));
    return child.parent.send(wire(Handshake::Listener), {}, {listener.get()});
}

Status filterSystemCalls(Child &child) { return loadSeccomp(child.spec.seccomp); }

constexpr Step<Child> kChildSteps[] = {
    {"die with the monitor", &dieWithParent    }, // never a guest without its monitor
    {"join control groups",  &joinControlGroups}, // while uid 0 of the host still owns their files
    {"receive trees",        &receiveTrees     }, // the id maps are written then
    {"hide control groups",  &hideControlGroups}, // after joining: where we are becomes "/"
    {"become root",          &becomeRoot       }, // from here on files are the guest root's
    {"make mounts private",  &makeMountsPrivate}, // first of the mounts, or ours reach the host
    {"mount root",           &mountRoot        },
    {"mount devices",        &mountDevices     },
    {"mount kernel trees",   &mountKernelTrees }, // while the host's proc is seen: a new one needs that (EPERM)
    {"make console",         &makeConsole      },
    {"make notify socket",   &makeNotifySocket },
    {"mount folders",        &mountFolders     }, // after ours, which they may lie in
    {"mask kernel trees",    &maskKernelTrees  },
    {"change root",          &changeRoot       },
    {"set host name",        &setHostName      },
    {"start loopback",       &startLoopback    },
    {"hand over console",    &handOverConsole  },
    {"wait for network",     &waitForNetwork   }, // its sysctls may name interfaces
    {"set sysctls",          &setSysctls       },
    {"write files",          &writeFiles       },
    {"set up",               &setUp            }, // after the image's own files, which name the guest
    {"use console",          &useConsole       },
    {"reset process",        &resetProcess     },
    {"drop capabilities",    &dropAllButAllowed}, // after the last mount(2) and sysctl
    {"intercept calls",      &interceptSystemCalls}, // a filter of its own: what the next one refuses is not asked for
    {"load seccomp",         &filterSystemCalls}, // last: the filter forbids the rows above
};

/// Up to the exec, which is one step more.
Status prepare(Child &child, const Progress &progress)
{
    std::size_t number = 0;
    for (const Step<Child> &step : kChildSteps) {
        progress.begin(number++);
        TRY(runStep("child", step, child));
    }
    progress.begin(number);
    return {};
}

} // namespace

const char *childStepName(std::size_t step)
{
    return step < std::size(kChildSteps) ? kChildSteps[step].name : "run init";
}

int runChild(const spec::LaunchSpec &spec, const Ids &ids, const cgroup::Layout &layout, spec::Channel parent,
             const Progress &progress)
{
    Child child{spec, ids, layout, std::move(parent), {}, {}, {}, {}, {}, {}, {}};
    Status prepared = prepare(child, progress);
    const Error error = prepared ? execute(spec.init, spec.environment) : std::move(prepared.error());
    (void)child.parent.send(wire(Handshake::Failed),
                            spec::encodeFailure(error)); // a parent that is gone needs no words
    return 1;
}

} // namespace lxmgr::runtime
