#include "kernel/sys.h"

#include <cstdlib>
#include <cstring>
#include <grp.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// The new mount calls have no numbers in older headers, but the same ones on every architecture (since 424).
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef MOUNT_ATTR_IDMAP
#define MOUNT_ATTR_IDMAP 0x00100000
#endif

namespace lxmgr::sys
{

#ifdef LXMGR_FAILPOINTS
namespace
{

struct InjectedFault {
    std::string name;
    long countdown = 0;
    int errnum = EIO;
};

/// Parses LXMGR_FAIL_CALL once per process.
InjectedFault readFault()
{
    InjectedFault fault;
    const char *text = std::getenv("LXMGR_FAIL_CALL");
    if (!text)
        return fault;
    const char *colon = std::strchr(text, ':');
    fault.name = colon ? std::string(text, colon) : std::string(text);
    fault.countdown = colon ? std::strtol(colon + 1, nullptr, 10) : 1;
    if (const char *second = colon ? std::strchr(colon + 1, ':') : nullptr)
        fault.errnum = static_cast<int>(std::strtol(second + 1, nullptr, 10));
    return fault;
}

} // namespace

int detail::injectedError(std::string_view name)
{
    static InjectedFault fault = readFault();
    if (fault.countdown <= 0 || (fault.name != "*" && fault.name != name))
        return 0;
    return --fault.countdown == 0 ? fault.errnum : 0;
}
#endif

const Fd &cwd()
{
    static const Fd here(AT_FDCWD); // closing it at exit fails harmlessly: it is no descriptor
    return here;
}

// Files

Result<Fd> open(const std::string &path, int flags, mode_t mode)
{
    return callFd("open", path, [&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
}

Result<Fd> openat(const Fd &dir, const std::string &path, int flags, mode_t mode)
{
    return callFd("openat", path, [&] { return ::openat(dir.get(), path.c_str(), flags | O_CLOEXEC, mode); });
}

Result<Fd> openat2(const Fd &dir, const std::string &path, int flags, mode_t mode, std::uint64_t resolve)
{
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
    how.mode = (flags & (O_CREAT | O_TMPFILE)) ? mode : 0;
    how.resolve = resolve;
    return callFd("openat2", path, [&] {
        long result = -1;
        // A rename or mount anywhere on the system at that moment gives EAGAIN for "..": bounded, or a guest could
        // stall us.
        for (int attempt = 0; attempt < 64; ++attempt) {
            result = ::syscall(SYS_openat2, dir.get(), path.c_str(), &how, sizeof how);
            if (result != -1 || errno != EAGAIN)
                break;
        }
        return result;
    });
}

Result<struct stat> fstat(const Fd &fd)
{
    struct stat info {
    };
    TRY(call("fstat", {}, [&] { return ::fstat(fd.get(), &info); }));
    return info;
}

Result<struct stat> fstatat(const Fd &dir, const std::string &path, int flags)
{
    struct stat info {
    };
    TRY(call("fstatat", path, [&] { return ::fstatat(dir.get(), path.c_str(), &info, flags); }));
    return info;
}

Status mkdirat(const Fd &dir, const std::string &path, mode_t mode)
{
    TRY(call("mkdirat", path, [&] { return ::mkdirat(dir.get(), path.c_str(), mode); }));
    return {};
}

Status mknodat(const Fd &dir, const std::string &path, mode_t mode, dev_t device)
{
    TRY(call("mknodat", path, [&] { return ::mknodat(dir.get(), path.c_str(), mode, device); }));
    return {};
}

Status symlinkat(const std::string &target, const Fd &dir, const std::string &path)
{
    TRY(call("symlinkat", path, [&] { return ::symlinkat(target.c_str(), dir.get(), path.c_str()); }));
    return {};
}

Status linkat(const Fd &fromDir, const std::string &from, const Fd &toDir, const std::string &to, int flags)
{
    TRY(call("linkat", to, [&] { return ::linkat(fromDir.get(), from.c_str(), toDir.get(), to.c_str(), flags); }));
    return {};
}

Status renameat2(const Fd &fromDir, const std::string &from, const Fd &toDir, const std::string &to, unsigned flags)
{
    TRY(call("renameat2", from,
             [&] { return ::renameat2(fromDir.get(), from.c_str(), toDir.get(), to.c_str(), flags); }));
    return {};
}

Status unlinkat(const Fd &dir, const std::string &path, int flags)
{
    TRY(call("unlinkat", path, [&] { return ::unlinkat(dir.get(), path.c_str(), flags); }));
    return {};
}

Result<std::string> readlinkat(const Fd &dir, const std::string &path)
{
    std::string target(4096, '\0');
    const long length = TRY(
        call("readlinkat", path, [&] { return ::readlinkat(dir.get(), path.c_str(), target.data(), target.size()); }));
    target.resize(static_cast<std::size_t>(length));
    return target;
}

Status fchmod(const Fd &fd, mode_t mode)
{
    TRY(call("fchmod", {}, [&] { return ::fchmod(fd.get(), mode); }));
    return {};
}

Status fchmodat(const Fd &dir, const std::string &path, mode_t mode)
{
    TRY(call("fchmodat", path, [&] { return ::fchmodat(dir.get(), path.c_str(), mode, 0); }));
    return {};
}

Status fchownat(const Fd &dir, const std::string &path, uid_t uid, gid_t gid)
{
    TRY(call("fchownat", path,
             [&] { return ::fchownat(dir.get(), path.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH); }));
    return {};
}

Status fchown(const Fd &fd, uid_t uid, gid_t gid)
{
    TRY(call("fchown", {}, [&] { return ::fchown(fd.get(), uid, gid); }));
    return {};
}

Status ftruncate(const Fd &fd, off_t length)
{
    TRY(call("ftruncate", {}, [&] { return ::ftruncate(fd.get(), length); }));
    return {};
}

Status fsync(const Fd &fd)
{
    TRY(call("fsync", {}, [&] { return ::fsync(fd.get()); }));
    return {};
}

Result<Fd> memfd_create(const std::string &name, unsigned flags)
{
    return callFd("memfd_create", name, [&] { return ::memfd_create(name.c_str(), flags | MFD_CLOEXEC); });
}

Status dup2(const Fd &from, int to)
{
    TRY(call("dup2", {}, [&] { return ::dup2(from.get(), to); }));
    return {};
}

Status close_range(unsigned first, unsigned last, unsigned flags)
{
    TRY(call("close_range", {}, [&] { return ::close_range(first, last, static_cast<int>(flags)); }));
    return {};
}

// Mounts. The calls go through syscall(2): glibc 2.36 has wrappers, older ones do not.

Result<Fd> open_tree(const Fd &dir, const std::string &path, Recursive recursive)
{
    const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (path.empty() ? AT_EMPTY_PATH : 0) |
                           (recursive == Recursive::Yes ? AT_RECURSIVE : 0);
    return callFd("open_tree", path, [&] { return ::syscall(SYS_open_tree, dir.get(), path.c_str(), flags); });
}

Status move_mount(const Fd &from, const Fd &at, const std::string &path)
{
    const unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (path.empty() ? MOVE_MOUNT_T_EMPTY_PATH : 0);
    TRY(call("move_mount", path,
             [&] { return ::syscall(SYS_move_mount, from.get(), "", at.get(), path.c_str(), flags); }));
    return {};
}

Status mount_setattr(const Fd &mount, Recursive recursive, std::uint64_t set, std::uint64_t clear, const Fd *userns,
                     std::uint64_t propagation)
{
    struct {
        std::uint64_t set, clear, propagation, userns;
    } attributes{set, clear, propagation, userns ? static_cast<std::uint64_t>(userns->get()) : 0};
    if (userns)
        attributes.set |= MOUNT_ATTR_IDMAP;
    const unsigned flags = AT_EMPTY_PATH | (recursive == Recursive::Yes ? AT_RECURSIVE : 0);
    TRY(call("mount_setattr", {},
             [&] { return ::syscall(SYS_mount_setattr, mount.get(), "", flags, &attributes, sizeof attributes); }));
    return {};
}

Result<Fd> fsopen(const std::string &type)
{
    return callFd("fsopen", type, [&] { return ::syscall(SYS_fsopen, type.c_str(), FSOPEN_CLOEXEC); });
}

namespace
{

/// The file system's own words ("overlay: ...") are in the context's log, one line a read.
std::string fsMessages(const Fd &fs)
{
    char line[512];
    std::string text;
    for (int count = 0; count < 8; ++count) {
        const ssize_t length = ::read(fs.get(), line, sizeof line);
        if (length <= 2)
            break;
        text += text.empty() ? "" : "; ";
        text.append(line + 2, static_cast<std::size_t>(length) - 2); // "e " or "w " in front
        while (!text.empty() && text.back() == '\n')
            text.pop_back();
    }
    return text;
}

Status fsconfig(const Fd &fs, unsigned command, const std::string &key, const void *value, int aux)
{
    auto result = call("fsconfig", key, [&] {
        return ::syscall(SYS_fsconfig, fs.get(), command, key.empty() ? nullptr : key.c_str(), value, aux);
    });
    if (result)
        return {};
    const std::string words = fsMessages(fs);
    return words.empty() ? std::move(result.error()) : std::move(result.error()).hint(words);
}

} // namespace

Status fsconfig_set_string(const Fd &fs, const std::string &key, const std::string &value)
{
    return fsconfig(fs, FSCONFIG_SET_STRING, key, value.c_str(), 0);
}

Status fsconfig_set_flag(const Fd &fs, const std::string &key)
{
    return fsconfig(fs, FSCONFIG_SET_FLAG, key, nullptr, 0);
}

Status fsconfig_set_fd(const Fd &fs, const std::string &key, const Fd &value)
{
    return fsconfig(fs, FSCONFIG_SET_FD, key, nullptr, value.get());
}

Status fsconfig_create(const Fd &fs) { return fsconfig(fs, FSCONFIG_CMD_CREATE, {}, nullptr, 0); }

Result<Fd> fsmount(const Fd &fs, unsigned attributes)
{
    return callFd("fsmount", {}, [&] { return ::syscall(SYS_fsmount, fs.get(), FSMOUNT_CLOEXEC, attributes); });
}

Status mount(const std::string &source, const std::string &target, const std::string &type, unsigned long flags,
             const std::string &data)
{
    TRY(call("mount", target, [&] {
        return ::mount(source.c_str(), target.c_str(), type.empty() ? nullptr : type.c_str(), flags,
                       data.empty() ? nullptr : data.c_str());
    }));
    return {};
}

Status umount2(const std::string &target, int flags)
{
    TRY(call("umount2", target, [&] { return ::umount2(target.c_str(), flags); }));
    return {};
}

Status pivot_root(const std::string &newRoot, const std::string &putOld)
{
    TRY(call("pivot_root", newRoot, [&] { return ::syscall(SYS_pivot_root, newRoot.c_str(), putOld.c_str()); }));
    return {};
}

// Processes

Result<Fd> pidfd_open(pid_t pid)
{
    return callFd("pidfd_open", std::to_string(pid), [&] { return ::syscall(SYS_pidfd_open, pid, 0); });
}

Status pidfd_send_signal(const Fd &pidfd, int signal)
{
    TRY(call("pidfd_send_signal", std::to_string(signal),
             [&] { return ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0); }));
    return {};
}

Status setns(const Fd &fd, int namespaces)
{
    TRY(call("setns", {}, [&] { return ::setns(fd.get(), namespaces); }));
    return {};
}

Status unshare(int namespaces)
{
    TRY(call("unshare", {}, [&] { return ::unshare(namespaces); }));
    return {};
}

Status prctl(const std::string &what, int option, unsigned long argument, unsigned long argument3)
{
    TRY(call("prctl", what, [&] { return ::prctl(option, argument, argument3, 0UL, 0UL); }));
    return {};
}

Status chdir(const std::string &path)
{
    TRY(call("chdir", path, [&] { return ::chdir(path.c_str()); }));
    return {};
}

Status fchdir(const Fd &dir)
{
    TRY(call("fchdir", {}, [&] { return ::fchdir(dir.get()); }));
    return {};
}

Status setsid()
{
    TRY(call("setsid", {}, [] { return ::setsid(); }));
    return {};
}

Status setgroups(const std::vector<gid_t> &groups)
{
    TRY(call("setgroups", {}, [&] { return ::setgroups(groups.size(), groups.data()); }));
    return {};
}

Status setresgid(gid_t gid)
{
    TRY(call("setresgid", std::to_string(gid), [&] { return ::setresgid(gid, gid, gid); }));
    return {};
}

Status setresuid(uid_t uid)
{
    TRY(call("setresuid", std::to_string(uid), [&] { return ::setresuid(uid, uid, uid); }));
    return {};
}

} // namespace lxmgr::sys
