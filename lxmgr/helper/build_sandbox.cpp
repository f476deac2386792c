#include "helper/build_sandbox.h"

#include "base/text.h"
#include "images/apk.h"
#include "images/sandbox.h"
#include "kernel/files.h"
#include "kernel/idmap.h"
#include "kernel/mount.h"
#include "kernel/path.h"
#include "kernel/process.h"
#include "kernel/program.h"
#include "kernel/sys.h"

#include <csignal>
#include <cstddef>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace lxmgr::helper
{

using namespace images;

namespace
{

// --- reports

void say(const BuildReport &report)
{
    const std::string line = formatReport(report);
    // A daemon that does not listen any more also closes our standard input, which ends everything.
    (void)!::write(STDOUT_FILENO, line.data(), line.size());
}

void sayFailed(const Error &error)
{
    BuildReport report;
    report.kind = BuildReport::Kind::Failed;
    report.code = error.code;
    report.errnum = error.errnum;
    report.text = error.message;
    say(report);
}

// --- the confined view of the host: host root, own mount namespace

constexpr const char *kViewRoot = "/tmp"; // exists everywhere; covered in our own mount namespace only

struct HostPath {
    const char *path;
    bool folder;
};

// What package tools read on the host. Nothing else of the host's files can be seen by a build.
constexpr HostPath kShownFromHost[] = {
    {"/usr",                 true },
    {"/etc/alternatives",    true },
    {"/etc/ca-certificates", true },
    {"/etc/gai.conf",        false},
    {"/etc/group",           false},
    {"/etc/host.conf",       false},
    {"/etc/hosts",           false},
    {"/etc/ld.so.cache",     false},
    {"/etc/localtime",       false},
    {"/etc/nsswitch.conf",   false},
    {"/etc/passwd",          false},
    {"/etc/perl",            true },
    {"/etc/protocols",       false},
    {"/etc/services",        false},
    {"/etc/ssl/certs",       true },
    {"/etc/ssl/openssl.cnf", false},
};

// Links on a host with one /usr, folders on older ones.
constexpr const char *kUsrParts[] = {"bin", "lib", "lib32", "lib64", "libx32", "sbin"};

constexpr const char *kDevices[] = {"full", "null", "random", "tty", "urandom", "zero"};

constexpr std::uint64_t kReadOnly = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

/// A tree of the host's, detached, still to be attached somewhere.
struct Opened {
    Fd tree;
    std::string target;
    bool folder;
};

class View
{
public:
    Status open(const BuildJob &job);
    Status attach(const BuildJob &job);

private:
    Status openHost();
    Status openOwn(const std::string &path, const std::string &target);
    Status attachOne(const Opened &opened);
    Status writeOwn(const std::string &path, const std::string &content);

    std::vector<Opened> m_trees;
    std::vector<std::pair<std::string, std::string>> m_links;
    Fd m_userns;

public:
    const Fd &userns() const { return m_userns; }
    Fd root;
};

Status View::openHost()
{
    const auto take = [&](const std::string &path, bool folder) -> Status {
        auto tree = sys::open_tree(sys::cwd(), path, folder ? sys::Recursive::Yes : sys::Recursive::No);
        if (!tree)
            return tree.error().errnum == ENOENT ? Status() : Status(std::move(tree.error()));
        TRY(sys::mount_setattr(*tree, sys::Recursive::Yes, kReadOnly, 0, nullptr, MS_PRIVATE));
        m_trees.push_back({std::move(*tree), path, folder});
        return {};
    };
    for (const HostPath &shown : kShownFromHost)
        TRY(take(shown.path, shown.folder));
    for (const char *part : kUsrParts) {
        auto target = sys::readlinkat(sys::cwd(), std::string("/") + part);
        if (target)
            m_links.emplace_back(part, *target);
        else
            TRY(take(std::string("/") + part, true));
    }
    for (const char *device : kDevices) {
        const std::string path = std::string("/dev/") + device;
        Fd node = TRY(sys::open_tree(sys::cwd(), path, sys::Recursive::No));
        TRY(sys::mount_setattr(node, sys::Recursive::No, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0, nullptr,
                               MS_PRIVATE));
        m_trees.push_back({std::move(node), path, false});
    }
    return {};
}

/// A folder of ours that the build writes to: id-mapped, so that what its root makes is owned by 0 on disk.
Status View::openOwn(const std::string &path, const std::string &target)
{
    Fd tree = TRY(sys::open_tree(sys::cwd(), path, sys::Recursive::No));
    auto mapped =
        sys::mount_setattr(tree, sys::Recursive::No, MOUNT_ATTR_IDMAP | MOUNT_ATTR_NODEV, 0, &m_userns, MS_PRIVATE);
    if (!mapped)
        return std::move(mapped.error())
            .as(Code::Unsupported)
            .hint("the file system of " + path + " has no id-mapped mounts");
    m_trees.push_back({std::move(tree), target, true});
    return {};
}

Status View::open(const BuildJob &job)
{
    const idmap::Range ids{0, job.idBase, 65536};
    m_userns = TRY(idmap::makeNamespace({&ids, 1}, {&ids, 1}));
    TRY(openHost());
    if (!job.rootfs.empty())
        TRY(openOwn(job.rootfs, "/target"));
    for (std::size_t i = 0; i < job.caches.size(); ++i)
        TRY(openOwn(job.caches[i].folder, "/cache/" + std::to_string(i)));
    return {};
}

Status View::attachOne(const Opened &opened)
{
    if (opened.folder) {
        TRY(path::makeFolders(root, opened.target, 0755, path::Scope::NoSymlink));
    } else {
        const std::size_t slash = opened.target.rfind('/');
        if (slash > 0)
            TRY(path::makeFolders(root, opened.target.substr(0, slash), 0755, path::Scope::NoSymlink));
        TRY(path::open(root, opened.target, O_WRONLY | O_CREAT | O_CLOEXEC, path::Scope::NoSymlink, 0644));
    }
    return sys::move_mount(opened.tree, root, opened.target.substr(1));
}

Status View::attach(const BuildJob &job)
{
    root = TRY(mount::create("tmpfs",
                             {
                                 {"mode", "0755"},
                                 {"size", "64m" }
    },
                             MOUNT_ATTR_NOSUID));
    TRY(sys::move_mount(root, sys::cwd(), kViewRoot));
    for (const Opened &opened : m_trees)
        TRY(attachOne(opened));
    for (const auto &[name, target] : m_links)
        TRY(sys::symlinkat(target, root, name));
    for (const char *folder : {"build", "dev/pts", "dev/shm", "proc", "root", "run", "sys", "tmp", "var/tmp"})
        TRY(path::makeFolders(root, folder, 0755, path::Scope::NoSymlink));
    for (const auto &[name, target] : std::vector<std::pair<std::string, std::string>>{
             {"dev/fd",     "/proc/self/fd"  },
             {"dev/stdin",  "/proc/self/fd/0"},
             {"dev/stdout", "/proc/self/fd/1"},
             {"dev/stderr", "/proc/self/fd/2"},
             {"dev/ptmx",   "pts/ptmx"       }
    })
        TRY(sys::symlinkat(target, root, name));
    for (const auto &[name, content] : job.files)
        TRY(writeOwn("build/" + name, content));
    TRY(writeOwn("etc/resolv.conf", job.resolvConf));
    return writeOwn("etc/hostname", "localhost\n");
}

Status View::writeOwn(const std::string &path, const std::string &content)
{
    const std::size_t slash = path.rfind('/');
    const Fd folder = TRY(path::makeFolders(root, path.substr(0, slash), 0755, path::Scope::NoSymlink));
    Fd file = TRY(sys::openat(folder, path.substr(slash + 1), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
    return files::writeAll(file, content);
}

// --- inside: PID 1 of the build

Status mountAt(const std::string &type, const std::string &target, unsigned long flags, const std::string &data = {})
{
    return sys::mount(type, target, type, flags, data);
}

/// The small root becomes "/". What was mounted by the more privileged namespace is locked: only a new bind of it can
/// be entered.
Status enterView()
{
    TRY(sys::mount(kViewRoot, kViewRoot, "", MS_BIND | MS_REC));
    TRY(sys::chdir(kViewRoot));
    TRY(mountAt("proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC));
    TRY(mountAt("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
    for (const char *folder : {"dev/shm", "tmp", "run", "var/tmp"})
        TRY(mountAt("tmpfs", folder, MS_NOSUID | MS_NODEV, "mode=1777"));
    TRY(sys::pivot_root(".", "."));
    TRY(sys::umount2(".", MNT_DETACH));
    return sys::chdir("/");
}

/// fsync and its kin answer at once: a build that a power cut ends is thrown away, and the storage driver writes the
/// finished tree to disk before it counts. File attributes (chattr +i) need a capability of the host's; their being
/// unset harms nothing here.
Status loadNoSync()
{
    constexpr std::uint32_t kSetFlags = FS_IOC_SETFLAGS;
#define LXMGR_NR(call)                                                                                                 \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0)
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
#if defined(__x86_64__)
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
#elif defined(__aarch64__)
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_AARCH64, 1, 0),
#else
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 0),
#endif
        BPF_STMT(BPF_RET | BPF_K,
                 SECCOMP_RET_ALLOW), // other architectures have other numbers; the deny list sees to them
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        LXMGR_NR(fsync),
        LXMGR_NR(fdatasync),
        LXMGR_NR(sync),
        LXMGR_NR(syncfs),
        LXMGR_NR(sync_file_range),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kSetFlags, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
#undef LXMGR_NR
    const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
    TRY(sys::call("seccomp", "no sync", [&] { return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program); }));
    return {};
}

Status loadSeccomp(const std::string &bytes)
{
    if (bytes.empty())
        return {};
    std::string copy = bytes;
    const sock_fprog program{static_cast<unsigned short>(copy.size() / sizeof(sock_filter)),
                             reinterpret_cast<sock_filter *>(copy.data())};
    TRY(sys::call("seccomp", "deny list",
                  [&] { return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program); }));
    return {};
}

// None of them works outside the first user namespace; dropped so that no future kernel surprises.
constexpr int kDroppedCapabilities[] = {CAP_MAC_ADMIN, CAP_MAC_OVERRIDE, CAP_SYS_MODULE,   CAP_SYS_RAWIO,
                                        CAP_SYS_TIME,  CAP_WAKE_ALARM,   CAP_BLOCK_SUSPEND};

Status confine(const BuildJob &job)
{
    for (const int capability : kDroppedCapabilities)
        TRY(sys::prctl("drop capability", PR_CAPBSET_DROP, static_cast<unsigned long>(capability)));
    TRY(loadSeccomp(job.seccomp));
    return loadNoSync();
}

class Steps
{
public:
    explicit Steps(const BuildJob &job) : m_job(job) {}
    Status run();

private:
    Status one(std::size_t index, const BuildStep &step);
    Status command(std::size_t index, const BuildStep &step);
    Status folder(const BuildStep &step);
    Status write(const BuildStep &step, const std::string &content);
    Status link(const BuildStep &step);
    Status remove(const BuildStep &step);
    Status removeIfSame(const BuildStep &step);
    Status showCaches();
    Status enter();
    Status leave();
    const Fd &base(const BuildStep &step) const { return step.outside ? m_view : m_target; }

    const BuildJob &m_job;
    Fd m_view, m_target;
};

[[noreturn]] void execStep(const BuildStep &step, int output)
{
    if (const auto nothing = sys::open("/dev/null", O_RDONLY))
        ::dup2(nothing->get(), STDIN_FILENO);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::close_range(3, ~0U, 0);
    ::setsid();
    ::umask(022);
    if (step.mostFile > 0) { // past it write(2) fails with EFBIG, which programs report, unlike SIGXFSZ
        const rlimit most{step.mostFile, step.mostFile};
        ::setrlimit(RLIMIT_FSIZE, &most);
        ::signal(SIGXFSZ, SIG_IGN);
    }
    if (!step.outside && (::chdir("/target") != 0 || ::chroot(".") != 0 || ::chdir("/") != 0))
        ::_exit(126);
    std::vector<char *> argv, environment;
    for (const std::string &word : step.argv)
        argv.push_back(const_cast<char *>(word.c_str()));
    for (const std::string &entry : step.environment)
        environment.push_back(const_cast<char *>(entry.c_str()));
    argv.push_back(nullptr);
    environment.push_back(nullptr);
    ::execve(argv[0], argv.data(), environment.data());
    const std::string words = std::string("cannot run ") + argv[0] + ": " + std::strerror(errno) + "\n";
    (void)!::write(STDERR_FILENO, words.data(), words.size());
    ::_exit(127);
}

ApkKeys keysOf(const BuildJob &job)
{
    constexpr std::string_view kFolder = "keys/";
    ApkKeys keys;
    for (const auto &[name, content] : job.files)
        if (name.starts_with(kFolder))
            keys[name.substr(kFolder.size())] = content;
    return keys;
}

/// Reads what an archive sent and nobody has checked yet, so what could be taken over by it can do nothing (rule 5 of
/// untrusted formats): all files are open before.
Status readApk(const BuildStep &step, const BuildJob &job)
{
    const bool index = step.kind == BuildStep::Kind::ApkIndex;
    const std::string bytes = TRY(files::read(step.path, index ? kMostApkIndex : kMostApk));
    const ApkKeys keys = keysOf(job);
    Fd output(STDOUT_FILENO);
    if (!index)
        output = TRY(sys::openat(sys::cwd(), step.argv.at(1), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0755));
    TRY(shutInReader());
    if (index)
        return files::writeAll(output, formatApkEntry(TRY(findInApkIndex(bytes, keys, step.content))) + "\n");
    const ApkEntry entry = TRY(parseApkEntry(step.content));
    return files::writeAll(output, TRY(fileOfApk(bytes, keys, entry, step.argv.at(0))));
}

[[noreturn]] void runReader(const BuildStep &step, const BuildJob &job, int output)
{
    if (const auto nothing = sys::open("/dev/null", O_RDONLY))
        ::dup2(nothing->get(), STDIN_FILENO);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    ::close_range(3, ~0U, 0);
    ::umask(022);
    const Status done = readApk(step, job);
    if (!done) {
        const std::string words = "E: " + escaped(done.error().message) + "\n";
        (void)!::write(STDERR_FILENO, words.data(), words.size());
    }
    ::_exit(done ? 0 : 1);
}

/// Forwards the lines of `output` until every process that holds it is gone or `child` has ended and no more comes.
class Lines
{
public:
    /// False at the end.
    bool read(int fd)
    {
        char buffer[4096];
        const ssize_t count = ::read(fd, buffer, sizeof buffer);
        if (count <= 0) {
            if (!m_rest.empty())
                flush(m_rest);
            m_rest.clear();
            return false;
        }
        m_rest.append(buffer, static_cast<std::size_t>(count));
        std::size_t from = 0;
        for (std::size_t end; (end = m_rest.find_first_of("\n\r", from)) != std::string::npos; from = end + 1)
            flush(m_rest.substr(from, end - from));
        m_rest.erase(0, from);
        if (m_rest.size() > 4096)
            flush(std::exchange(m_rest, {}));
        return true;
    }

private:
    static void flush(const std::string &text)
    {
        if (text.empty())
            return;
        BuildReport report;
        report.text = text.substr(0, 4096);
        say(report);
    }
    std::string m_rest;
};

/// Ends whatever the step left running and reaps it: we are PID 1, so -1 is everybody else in here.
void endStrays()
{
    ::kill(-1, SIGKILL);
    while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
    }
}

Status Steps::command(std::size_t index, const BuildStep &step)
{
    auto [readEnd, writeEnd] = TRY(program::Pipe::create());
    const pid_t child = static_cast<pid_t>(TRY(sys::call("fork", "", [] { return ::fork(); })));
    if (child == 0 && step.kind == BuildStep::Kind::Run)
        execStep(step, writeEnd.get());
    if (child == 0)
        runReader(step, m_job, writeEnd.get());
    writeEnd.reset();
    const Fd pidfd = TRY(sys::pidfd_open(child));
    Lines lines;
    int status = 0;
    for (bool ended = false, open = true; !ended;) {
        pollfd polled[2] = {
            {open ? readEnd.get() : -1, POLLIN, 0},
            {pidfd.get(),               POLLIN, 0}
        };
        TRY(sys::call("poll", "", [&] { return ::poll(polled, 2, -1); }));
        if (polled[0].revents)
            open = lines.read(readEnd.get());
        else if (polled[1].revents) // only when nothing is left to read, so that the last words are not lost
            ended = ::waitpid(child, &status, WNOHANG) == child;
    }
    endStrays();
    while (lines.read(readEnd.get())) {
    }
    BuildReport report;
    report.kind = BuildReport::Kind::Ended;
    report.step = index;
    report.status = process::exitCode(status);
    say(report);
    if (report.status != 0 && !step.mayFail)
        return Error(Code::Internal, (step.title.empty() ? step.argv[0] : step.title) + ": ended with status " +
                                         std::to_string(report.status));
    return {};
}

Status Steps::folder(const BuildStep &step)
{
    auto known = path::open(base(step), step.path, O_PATH | O_DIRECTORY, path::Scope::InRoot);
    if (known)
        return {};
    Fd made = TRY(path::makeFolders(base(step), step.path, 0755, path::Scope::InRoot));
    TRY(sys::fchownat(made, "", step.uid, step.gid));
    return sys::fchmodat(made, ".", step.mode);
}

Status Steps::write(const BuildStep &step, const std::string &content)
{
    const std::size_t slash = step.path.rfind('/');
    if (slash != std::string::npos && slash > 0)
        TRY(path::makeFolders(base(step), step.path.substr(0, slash), 0755, path::Scope::InRoot));
    path::Parent parent = TRY(path::openParent(base(step), step.path, path::Scope::InRoot));
    TRY(path::removeTree(parent.folder, parent.name));
    Fd file = TRY(sys::openat(parent.folder, parent.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    TRY(files::writeAll(file, content));
    TRY(sys::fchown(file, step.uid, step.gid));
    return sys::fchmod(file, step.mode);
}

Status Steps::link(const BuildStep &step)
{
    const std::size_t slash = step.path.rfind('/');
    if (slash != std::string::npos && slash > 0)
        TRY(path::makeFolders(base(step), step.path.substr(0, slash), 0755, path::Scope::InRoot));
    path::Parent parent = TRY(path::openParent(base(step), step.path, path::Scope::InRoot));
    TRY(path::removeTree(parent.folder, parent.name));
    return sys::symlinkat(step.content, parent.folder, parent.name);
}

Status Steps::remove(const BuildStep &step)
{
    auto parent = path::openParent(base(step), step.path, path::Scope::InRoot);
    if (!parent)
        return parent.error().errnum == ENOENT ? Status() : Status(std::move(parent.error()));
    return path::removeTree(parent->folder, parent->name);
}

Status Steps::removeIfSame(const BuildStep &step)
{
    auto file = path::open(base(step), step.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, path::Scope::InRoot);
    if (!file)
        return {};
    auto content = files::readAll(*file, 1 << 20);
    return content && *content == step.content ? remove(step) : Status();
}

std::string inTarget(const std::string &path) { return "/target/" + path; }

Status Steps::showCaches()
{
    for (std::size_t i = 0; i < m_job.caches.size(); ++i) {
        BuildStep step;
        step.path = m_job.caches[i].target;
        step.mode = 0755;
        TRY(folder(step));
        TRY(sys::mount("/cache/" + std::to_string(i), inTarget(step.path), "", MS_BIND));
    }
    return {};
}

struct InsideMount {
    const char *source, *target;
    bool tmpfs;
};

constexpr InsideMount kInsideMounts[] = {
    {"/proc", "proc", false},
    {"/dev",  "dev",  false},
    {"",      "run",  true },
    {"",      "tmp",  true },
};

/// Steps before this one made the tree, so its folders are the archive's; a link in place of one is refused by
/// openat2(2).
Status Steps::enter()
{
    for (const InsideMount &row : kInsideMounts) {
        TRY(path::makeFolders(m_target, row.target, 0755, path::Scope::NoSymlink));
        TRY(path::open(m_target, row.target, O_PATH | O_DIRECTORY, path::Scope::NoSymlink));
        if (row.tmpfs)
            TRY(mountAt("tmpfs", inTarget(row.target), MS_NOSUID | MS_NODEV,
                        std::string(row.target) == "tmp" ? "mode=1777" : "mode=0755"));
        else
            TRY(sys::mount(row.source, inTarget(row.target), "", MS_BIND | MS_REC));
    }
    // The name server's place when systemd-resolved was installed and /etc/resolv.conf points at it already.
    BuildStep step;
    step.path = "run/systemd/resolve/stub-resolv.conf";
    return write(step, m_job.resolvConf);
}

Status Steps::leave()
{
    for (const InsideMount &row : kInsideMounts) // scripts may have taken one away themselves
        (void)sys::umount2(inTarget(row.target), MNT_DETACH);
    for (const BuildCache &cache : m_job.caches)
        (void)sys::umount2(inTarget(cache.target), MNT_DETACH);
    return {};
}

Status Steps::one(std::size_t index, const BuildStep &step)
{
    switch (step.kind) {
    case BuildStep::Kind::Run:
    case BuildStep::Kind::ApkIndex:
    case BuildStep::Kind::ApkProgram:
        return command(index, step);
    case BuildStep::Kind::Folder:
        return folder(step);
    case BuildStep::Kind::Write:
        return write(step, step.content);
    case BuildStep::Kind::Copy:
        return write(step, TRY(files::read(step.content)));
    case BuildStep::Kind::Link:
        return link(step);
    case BuildStep::Kind::Remove:
        return remove(step);
    case BuildStep::Kind::Keep:
        return removeIfSame(step);
    case BuildStep::Kind::Enter:
        return enter();
    case BuildStep::Kind::Leave:
        return leave();
    }
    return {};
}

Status Steps::run()
{
    m_view = TRY(sys::open("/", O_PATH | O_DIRECTORY));
    if (!m_job.rootfs.empty())
        m_target = TRY(sys::open("/target", O_PATH | O_DIRECTORY));
    TRY(showCaches());
    for (std::size_t i = 0; i < m_job.steps.size(); ++i) {
        const BuildStep &step = m_job.steps[i];
        if (!step.title.empty()) {
            BuildReport report;
            report.kind = BuildReport::Kind::Title;
            report.text = step.title;
            say(report);
        }
        TRY_IN(step.path.empty() ? "build" : "build " + step.path, one(i, step));
    }
    return leave();
}

[[noreturn]] void runAsInit(const BuildJob &job)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const auto all = [&]() -> Status {
        TRY_IN("enter the build's root", enterView());
        TRY_IN("confine the build", confine(job));
        return Steps(job).run();
    };
    const Status done = all();
    if (!done) {
        sayFailed(done.error());
        ::_exit(1);
    }
    BuildReport report;
    report.kind = BuildReport::Kind::Done;
    say(report);
    ::_exit(0);
}

// --- outside

constexpr int kNamespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

/// Host root until the setns(2) below; its own mount namespace goes with the process.
Status enterNamespaces(const BuildJob &job)
{
    View view;
    TRY(sys::unshare(CLONE_NEWNS));
    TRY(sys::mount("", "/", "", MS_REC | MS_PRIVATE)); // first, or our mounts reach the host
    TRY(view.open(job));
    TRY(view.attach(job));
    // The root's own files must belong to somebody inside: what host root made above is nobody's there, and only read.
    TRY(sys::call("chown", kViewRoot,
                  [&] { return ::fchownat(view.root.get(), "", job.idBase, job.idBase, AT_EMPTY_PATH); }));
    for (const char *folder : {"build", "root", "etc"})
        TRY(sys::fchownat(view.root, folder, job.idBase, job.idBase));
    TRY(sys::setgroups({}));
    TRY(sys::setns(view.userns(), CLONE_NEWUSER));
    TRY(sys::setresgid(0));
    TRY(sys::setresuid(0));
    TRY(sys::unshare(kNamespaces));
    return {};
}

/// Waits for the end of the build, and ends it when our standard input closes.
int follow(pid_t init)
{
    const auto pidfd = sys::pidfd_open(init);
    int status = 0;
    while (pidfd) {
        pollfd polled[2] = {
            {STDIN_FILENO, POLLIN, 0},
            {pidfd->get(), POLLIN, 0}
        };
        if (::poll(polled, 2, -1) < 0 && errno != EINTR)
            break;
        if (polled[1].revents)
            break;
        if (polled[0].revents)
            process::killChild(init); // PID 1 of its namespace: everything in there goes with it
    }
    while (::waitpid(init, &status, 0) < 0 && errno == EINTR) {
    }
    return process::exitCode(status);
}

} // namespace

int runBuildJob(const BuildJob &job)
{
    ::signal(SIGPIPE, SIG_IGN);
    ::setsid();
    ::umask(022);
    if (const Status entered = enterNamespaces(job); !entered) {
        sayFailed(Error(entered.error()).in("confine the build"));
        return 1;
    }
    const auto init = sys::call("fork", "", [] { return ::fork(); });
    if (!init) {
        sayFailed(init.error());
        return 1;
    }
    if (*init == 0)
        runAsInit(job);
    return follow(static_cast<pid_t>(*init));
}

} // namespace lxmgr::helper
