#include "daemon/listener.h"

#include "base/text.h"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace lxmgr::daemon
{

namespace
{
constexpr int kFirstHandedOver = 3; // sd_listen_fds(3)
constexpr int kBacklog = 512;

/// sun_path holds 108 bytes; by way of the folder's descriptor any path is short enough.
Result<sockaddr_un> addressIn(const Fd &folder, const std::string &name)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = "/proc/self/fd/" + std::to_string(folder.get()) + "/" + name;
    if (path.size() >= sizeof address.sun_path)
        return Error(Code::Invalid, "the socket's name " + quoted(name) + " is too long");
    path.copy(address.sun_path, path.size());
    return address;
}

Result<Fd> makeSocket()
{
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket)
        return Error::fromErrno(errno, "socket");
    return socket;
}

/// Whether somebody listens there. A socket whose daemon died refuses the connection.
Result<bool> isAnswered(const sockaddr_un &address)
{
    const Fd probe = TRY(makeSocket());
    if (::connect(probe.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0)
        return true;
    return errno == EAGAIN; // its backlog is full: alive
}

Result<Fd> handedOver()
{
    const char *pid = std::getenv("LISTEN_PID");
    const char *count = std::getenv("LISTEN_FDS");
    const bool forUs = pid && count && std::to_string(::getpid()) == pid && std::atoi(count) > 0;
    ::unsetenv("LISTEN_PID"); // not for programs that we start
    ::unsetenv("LISTEN_FDS");
    ::unsetenv("LISTEN_FDNAMES");
    if (!forUs)
        return Fd();
    if (std::atoi(count) > 1)
        return Error(Code::Unsupported, "the service manager passed more than one socket");
    Fd socket(kFirstHandedOver);
    if (::fcntl(socket.get(), F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(socket.get(), F_SETFL, O_NONBLOCK | O_RDWR) != 0)
        return Error::fromErrno(errno, "fcntl", "the socket of the service manager");
    return socket;
}

Result<Fd> openFolder(const std::string &path, std::string &name)
{
    const std::size_t slash = path.rfind('/');
    const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    name = slash == std::string::npos ? path : path.substr(slash + 1);
    Fd folder(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder)
        return Error::fromErrno(errno, "open", parent);
    return folder;
}

/// Binds under a name of our own, sets who may connect, then renames: the socket is never there with other rights.
Result<Listening> bindIn(const Fd &folder, const std::string &name, unsigned mode, gid_t group)
{
    const std::string temporary = name + "." + std::to_string(::getpid());
    const sockaddr_un address = TRY(addressIn(folder, temporary));
    Listening listening{TRY(makeSocket()), true, 0};
    (void)::unlinkat(folder.get(), temporary.c_str(), 0); // of an earlier process with our pid, if any
    if (::bind(listening.socket.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0)
        return Error::fromErrno(errno, "bind", name);
    struct stat info {};
    const bool ready = (group == static_cast<gid_t>(-1) || ::fchownat(folder.get(), temporary.c_str(), -1, group, 0) == 0) &&
                       ::fchmodat(folder.get(), temporary.c_str(), mode, 0) == 0 &&
                       ::listen(listening.socket.get(), kBacklog) == 0 &&
                       ::fstatat(folder.get(), temporary.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
                       ::renameat(folder.get(), temporary.c_str(), folder.get(), name.c_str()) == 0;
    if (!ready) {
        const int failure = errno;
        (void)::unlinkat(folder.get(), temporary.c_str(), 0); // the first failure is the one to tell
        return Error::fromErrno(failure, "listen", name);
    }
    listening.inode = info.st_ino;
    return listening;
}
} // namespace

Result<Listening> openListener(const std::string &path, unsigned mode, gid_t group)
{
    if (Fd socket = TRY(handedOver()))
        return Listening{std::move(socket), false, 0};
    std::string name;
    const Fd folder = TRY(openFolder(path, name));
    if (TRY(isAnswered(TRY(addressIn(folder, name)))))
        return Error(Code::AlreadyExists, "another lxmgrd answers on " + quoted(path));
    return TRY_IN(path, bindIn(folder, name, mode, group));
}

void removeListener(const Listening &listening, const std::string &path)
{
    struct stat info {};
    if (listening.own && ::lstat(path.c_str(), &info) == 0 && info.st_ino == listening.inode)
        (void)::unlink(path.c_str()); // the daemon ends: a file that stays is replaced by the next one
}

} // namespace lxmgr::daemon
