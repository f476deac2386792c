// One function per system call, named as the kernel names it; call() is the one place that reads errno.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace lxmgr::sys
{

namespace detail
{
/// The errno that a fault test wants `name` to fail with now, else 0 (LXMGR_FAIL_CALL=NAME[:NTH[:ERRNO]], "*" for any).
int injectedError(std::string_view name);
} // namespace detail

/// Runs `function` until it is not interrupted; -1 becomes an Error "name 'object': reason".
template <class Function> Result<long> call(std::string_view name, std::string_view object, Function &&function)
{
#ifdef LXMGR_FAILPOINTS
    if (const int errnum = detail::injectedError(name))
        return Error::fromErrno(errnum, name, object);
#endif
    long result;
    do
        result = static_cast<long>(function());
    while (result == -1 && errno == EINTR);
    if (result == -1)
        return Error::fromErrno(errno, name, object);
    return result;
}

/// As `call`, for calls that give a new descriptor.
template <class Function> Result<Fd> callFd(std::string_view name, std::string_view object, Function &&function)
{
    return Fd(static_cast<int>(TRY(call(name, object, std::forward<Function>(function)))));
}

/// AT_FDCWD as something to pass where a folder is wanted: for paths of our own on the host only.
const Fd &cwd();

// Files. All descriptors are close-on-exec.
Result<Fd> open(const std::string &path, int flags, mode_t mode = 0);
Result<Fd> openat(const Fd &dir, const std::string &path, int flags, mode_t mode = 0);
/// `resolve`: RESOLVE_* of openat2(2), Linux 5.6. EAGAIN (a rename raced) is tried again a few times.
Result<Fd> openat2(const Fd &dir, const std::string &path, int flags, mode_t mode, std::uint64_t resolve);
Result<struct stat> fstat(const Fd &fd);
Result<struct stat> fstatat(const Fd &dir, const std::string &path, int flags = AT_SYMLINK_NOFOLLOW);
Status mkdirat(const Fd &dir, const std::string &path, mode_t mode);
Status mknodat(const Fd &dir, const std::string &path, mode_t mode, dev_t device);
Status symlinkat(const std::string &target, const Fd &dir, const std::string &path);
Status linkat(const Fd &fromDir, const std::string &from, const Fd &toDir, const std::string &to, int flags = 0);
/// `flags`: RENAME_NOREPLACE, RENAME_EXCHANGE.
Status renameat2(const Fd &fromDir, const std::string &from, const Fd &toDir, const std::string &to,
                 unsigned flags = 0);
Status unlinkat(const Fd &dir, const std::string &path, int flags = 0);
Result<std::string> readlinkat(const Fd &dir, const std::string &path);
Status fchmod(const Fd &fd, mode_t mode);
Status fchmodat(const Fd &dir, const std::string &path, mode_t mode);
/// Does not follow a link at the end; "" is the folder itself.
Status fchownat(const Fd &dir, const std::string &path, uid_t uid, gid_t gid);
Status fchown(const Fd &fd, uid_t uid, gid_t gid);
Status ftruncate(const Fd &fd, off_t length);
Status fsync(const Fd &fd);
Result<Fd> memfd_create(const std::string &name, unsigned flags);
Status dup2(const Fd &from, int to);
/// Linux 5.9.
Status close_range(unsigned first, unsigned last, unsigned flags = 0);

// Mounts as descriptors (Linux 5.2; mount_setattr 5.12).
enum class Recursive { No, Yes };
/// A detached copy of the mount tree at `path`.
Result<Fd> open_tree(const Fd &dir, const std::string &path, Recursive recursive);
/// Attaches the detached mount `from` at `path` below `at` ("" is `at` itself).
Status move_mount(const Fd &from, const Fd &at, const std::string &path);
/// MOUNT_ATTR_* to set and clear on a mount or a whole tree of them; `userns` with MOUNT_ATTR_IDMAP.
Status mount_setattr(const Fd &mount, Recursive recursive, std::uint64_t set, std::uint64_t clear = 0,
                     const Fd *userns = nullptr, std::uint64_t propagation = 0);
Result<Fd> fsopen(const std::string &type);
Status fsconfig_set_string(const Fd &fs, const std::string &key, const std::string &value);
Status fsconfig_set_flag(const Fd &fs, const std::string &key);
Status fsconfig_set_fd(const Fd &fs, const std::string &key, const Fd &value);
Status fsconfig_create(const Fd &fs);
Result<Fd> fsmount(const Fd &fs, unsigned attributes);
Status mount(const std::string &source, const std::string &target, const std::string &type, unsigned long flags,
             const std::string &data = {});
Status umount2(const std::string &target, int flags);
Status pivot_root(const std::string &newRoot, const std::string &putOld);

// Processes and namespaces.
Result<Fd> pidfd_open(pid_t pid);
Status pidfd_send_signal(const Fd &pidfd, int signal);
/// Linux 5.8 for a pidfd and several namespaces at once.
Status setns(const Fd &fd, int namespaces);
Status unshare(int namespaces);
Status prctl(const std::string &what, int option, unsigned long argument = 0, unsigned long argument3 = 0);
Status chdir(const std::string &path);
Status fchdir(const Fd &dir);
Status setsid();
Status setgroups(const std::vector<gid_t> &groups);
Status setresgid(gid_t gid);
Status setresuid(uid_t uid);

} // namespace lxmgr::sys
