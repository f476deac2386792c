// Mode "files": enters a running guest, or the mounted tree of a stopped one, as its root, and works on files there. It
// has none of the host's rights then, and every path is resolved below the guest's root.
#include "base/log.h"
#include "base/text.h"
#include "kernel/idmap.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "monitor/guest_files.h"
#include "monitor/modes.h"
#include "monitor/put_back.h"
#include "monitor/sftp.h"
#include "monitor/transfer.h"
#include "runtime/ids.h"
#include "runtime/trees.h"
#include "spec/codec.h"
#include "spec/spawn.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace lxmgr::monitor
{

namespace
{

using path::Scope;
using spec::FileReplyBody;
using spec::FileRequest;
using spec::MessageType;

Status becomeGuestRoot()
{
    TRY(sys::setgroups({}));
    TRY(sys::setresgid(0));
    return sys::setresuid(0);
}

Result<Fd> enterRunning(spec::Packet &packet)
{
    if (packet.fds.size() != 1)
        return Error(Code::Corrupt, "no guest was named");
    Status entered = sys::setns(packet.fds[0], CLONE_NEWUSER | CLONE_NEWNS);
    // setns(2): EINVAL for the user namespace one is in already, which is a privileged guest's.
    if (!entered && entered.error().errnum == EINVAL)
        entered = sys::setns(packet.fds[0], CLONE_NEWNS);
    if (!entered && entered.error().errnum == ESRCH)
        return std::move(entered.error()).as(Code::WrongState).in("the guest has just stopped");
    TRY(std::move(entered));
    TRY(becomeGuestRoot());
    return sys::open("/", O_PATH | O_DIRECTORY); // the guest's: setns(2) changed the root with the mount namespace
}

/// The tree stays detached: it shows up nowhere on the host.
Result<Fd> enterStopped(spec::Packet &packet)
{
    const auto body = TRY(spec::decode<spec::StoppedBody>(packet.body));
    const runtime::Ids ids = runtime::Ids::of(body.idmap);
    static runtime::Leftovers leftovers; // closed by the kernel when this process ends
    if (ids.privileged())
        return runtime::makeRoot(body.rootfs, ids, Fd(), leftovers);
    const Fd userns = TRY(idmap::makeNamespace(ids.uids, ids.gids));
    Fd root = TRY(runtime::makeRoot(body.rootfs, ids, userns, leftovers));
    TRY(sys::setns(userns, CLONE_NEWUSER));
    TRY(becomeGuestRoot());
    return root;
}

struct Guest {
    Fd root;
    bool detached = false;
    Fd init; ///< Of a running one: its pidfd.
};

Result<Guest> enter(spec::Channel &daemon)
{
    auto packet = TRY(daemon.receive());
    if (packet && packet->type == MessageType::EnterRunning) {
        Fd root = TRY(enterRunning(*packet));
        return Guest{std::move(root), false, std::move(packet->fds[0])};
    }
    if (packet && packet->type == MessageType::EnterStopped)
        return Guest{TRY(enterStopped(*packet)), true, {}};
    return Error(Code::Corrupt, "no guest was named");
}

spec::FileStat describe(const struct stat &info)
{
    spec::FileStat result;
    result.type = S_ISREG(info.st_mode)   ? spec::FileStat::Type::File
                  : S_ISDIR(info.st_mode) ? spec::FileStat::Type::Directory
                  : S_ISLNK(info.st_mode) ? spec::FileStat::Type::Symlink
                                          : spec::FileStat::Type::Other;
    result.mode = info.st_mode & 07777;
    result.uid = info.st_uid;
    result.gid = info.st_gid;
    result.size = static_cast<std::uint64_t>(info.st_size);
    result.modified = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
    return result;
}

struct Served {
    FileReplyBody body;
    Fd fd;
    const std::vector<Fd> &given; ///< What came with the request.
    bool detached;                ///< The root is a mount of its own, with nothing mounted below.
    const spec::Channel &daemon;
};

Status open(const Fd &root, const FileRequest &request, Served &served)
{
    OpenedFile opened = TRY(openFile(root, request));
    served.fd = std::move(opened.fd);
    served.body.created = opened.created;
    served.body.stat = describe(TRY(sys::fstat(served.fd)));
    return {};
}

Status statFile(const Fd &root, const FileRequest &request, Served &served)
{
    const Fd there = TRY(path::open(root, request.path, O_PATH | (request.noFollow ? O_NOFOLLOW : 0), Scope::InRoot));
    served.body.stat = describe(TRY(sys::fstat(there)));
    return {};
}

Status listFolder(const Fd &root, const FileRequest &request, Served &served)
{
    const Fd folder = TRY(path::open(root, request.path, O_RDONLY | O_DIRECTORY | kAlways, Scope::InRoot));
    std::vector<std::string> names = TRY(path::list(folder));
    std::sort(names.begin(), names.end());
    for (std::string &name : names)
        if (const auto info = sys::fstatat(folder, name)) // one removed meanwhile is not listed
            served.body.entries.push_back({std::move(name), describe(*info)});
    return {};
}

Status makeFolder(const Fd &root, const FileRequest &request, Served &)
{
    const path::Owner owner{static_cast<uid_t>(std::max<std::int64_t>(request.uid, 0)),
                            static_cast<gid_t>(std::max<std::int64_t>(request.gid, 0))};
    const std::size_t slash = request.path.find_last_not_of('/') == std::string::npos
                                  ? std::string::npos
                                  : request.path.rfind('/', request.path.find_last_not_of('/'));
    if (request.recursive && slash != std::string::npos && slash > 0)
        TRY(path::makeFolders(root, request.path.substr(0, slash), 0755, Scope::InRoot, owner));
    const path::Parent parent = TRY(path::openParent(root, request.path, Scope::InRoot));
    Status made = sys::mkdirat(parent.folder, parent.name, 0700);
    if (!made && made.error().errnum == EEXIST && request.recursive)
        return {};
    TRY(std::move(made));
    const Fd folder = TRY(path::open(parent.folder, parent.name, O_RDONLY | O_DIRECTORY, Scope::NoSymlink));
    return applyTo(folder, request.mode >= 0 ? request.mode : 0755, owner.uid, owner.gid);
}

Status removeFile(const Fd &root, const FileRequest &request, Served &)
{
    const path::Parent parent = TRY(path::openParent(root, request.path, Scope::InRoot));
    const bool folder = S_ISDIR(TRY(sys::fstatat(parent.folder, parent.name)).st_mode);
    if (folder && request.recursive)
        return path::removeTree(parent.folder, parent.name);
    return sys::unlinkat(parent.folder, parent.name, folder ? AT_REMOVEDIR : 0);
}

Status renameFile(const Fd &root, const FileRequest &request, Served &)
{
    const path::Parent from = TRY(path::openParent(root, request.path, Scope::InRoot));
    const path::Parent to = TRY(path::openParent(root, request.other, Scope::InRoot));
    return sys::renameat2(from.folder, from.name, to.folder, to.name);
}

Status makeLink(const Fd &root, const FileRequest &request, Served &)
{
    const path::Parent parent = TRY(path::openParent(root, request.path, Scope::InRoot));
    TRY(sys::symlinkat(request.other, parent.folder, parent.name));
    return sys::fchownat(parent.folder, parent.name, static_cast<uid_t>(std::max<std::int64_t>(request.uid, 0)),
                         static_cast<gid_t>(std::max<std::int64_t>(request.gid, 0)));
}

Status readLink(const Fd &root, const FileRequest &request, Served &served)
{
    const path::Parent parent = TRY(path::openParent(root, request.path, Scope::InRoot));
    served.body.target = TRY(sys::readlinkat(parent.folder, parent.name));
    return {};
}

Status changeFile(const Fd &root, const FileRequest &request, Served &)
{
    TRY(refuseSpecial(root, request.path, request.flags));
    const Fd fd = TRY(path::open(root, request.path, O_RDONLY | kAlways, Scope::InRoot));
    return applyTo(fd, request.mode, request.uid, request.gid);
}

/// The root file system without what the guest has mounted in it.
Result<Fd> rootAlone(const Fd &root, const Served &served)
{
    return served.detached ? sys::openat(root, ".", O_PATH | O_DIRECTORY) : sys::open_tree(root, "", sys::Recursive::No);
}

Status mountRoot(const Fd &root, const FileRequest &, Served &served)
{
    served.fd = TRY(rootAlone(root, served));
    if (struct statvfs info {}; served.detached) { // its flags are not for us to change any more
        TRY(sys::call("fstatvfs", {}, [&] { return ::fstatvfs(served.fd.get(), &info); }));
        return info.f_flag & ST_RDONLY ? Status() : Status(Error(Code::Unsupported, "the tree was not mounted for reading"));
    }
    return sys::mount_setattr(served.fd, sys::Recursive::No,
                              MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/// A daemon that has gone waits for nothing any more.
bool hungUp(const spec::Channel &daemon)
{
    pollfd waiting{daemon.fd(), POLLRDHUP, 0};
    return ::poll(&waiting, 1, 0) > 0;
}

Status restoreFile(const Fd &root, const FileRequest &request, Served &served)
{
    if (served.given.size() != 1)
        return Error(Code::Corrupt, "no earlier state was named");
    return putBack(TRY(rootAlone(root, served)), served.given.front(), request.path, [&] { return hungUp(served.daemon); });
}

Status dropRestore(const Fd &root, const FileRequest &request, Served &served)
{
    return dropHalfPutBack(TRY(rootAlone(root, served)), request.path);
}

struct Row {
    MessageType type;
    Status (*serve)(const Fd &root, const FileRequest &request, Served &served);
};
constexpr Row kRows[] = {
    {MessageType::FileOpen,        &open       },
    {MessageType::FileStat,        &statFile   },
    {MessageType::FileList,        &listFolder },
    {MessageType::FileMakeDir,     &makeFolder },
    {MessageType::FileRemove,      &removeFile },
    {MessageType::FileRename,      &renameFile },
    {MessageType::FileSymlink,     &makeLink   },
    {MessageType::FileReadLink,    &readLink   },
    {MessageType::FileChange,      &changeFile },
    {MessageType::FileMount,       &mountRoot  },
    {MessageType::FileRestore,     &restoreFile},
    {MessageType::FileDropRestore, &dropRestore},
};

/// What an errno means for a file that a user named.
Error userError(Error error, const std::string &path)
{
    constexpr struct {
        int errnum;
        Code code;
    } kMeanings[] = {
        {ENOENT,       Code::NotFound     },
        {EEXIST,       Code::AlreadyExists},
        {EACCES,       Code::Forbidden    },
        {EPERM,        Code::Forbidden    },
        {ENOTDIR,      Code::Invalid      },
        {EISDIR,       Code::Invalid      },
        {ELOOP,        Code::Invalid      },
        {ENOTEMPTY,    Code::WrongState   },
        {EROFS,        Code::WrongState   },
        {ENAMETOOLONG, Code::Invalid      },
        {EINVAL,       Code::Invalid      },
        {EXDEV,        Code::Invalid      },
        {EBUSY,        Code::WrongState   },
    };
    for (const auto &meaning : kMeanings)
        if (meaning.errnum == error.errnum && error.code == Code::Internal)
            error.code = meaning.code;
    return std::move(error).in(quoted(path));
}

Status serve(spec::Channel &daemon, const Guest &guest, const spec::Packet &packet)
{
    const auto request = TRY(spec::decode<FileRequest>(packet.body));
    for (const Row &row : kRows) {
        if (row.type != packet.type)
            continue;
        Served served{{}, {}, packet.fds, guest.detached, daemon};
        if (Status status = row.serve(guest.root, request, served); !status)
            return userError(std::move(status.error()), request.path);
        return daemon.send(MessageType::FileReply, spec::encode(served.body),
                           served.fd ? std::vector<int>{served.fd.get()} : std::vector<int>{});
    }
    return Error(Code::Unsupported, "unknown message");
}

/// From here on a client is served, not the daemon, until either goes, or the guest ends: nobody of us may keep it mounted.
Status becomeSftpServer(spec::Channel &daemon, const Guest &guest, spec::Packet &packet)
{
    const auto request = TRY(spec::decode<FileRequest>(packet.body));
    if (packet.fds.size() != 1)
        return Error(Code::Corrupt, "no connection came along");
    TRY(daemon.send(MessageType::FileReply, spec::encode(FileReplyBody())));
    return serveSftp(guest.root, packet.fds[0], request.other, {daemon.fd(), guest.init.get()});
}

/// The bytes of one file, from or to a pipe; then this process is done.
Status transfer(spec::Channel &daemon, const Guest &guest, const spec::Packet &packet)
{
    const auto request = TRY(spec::decode<FileRequest>(packet.body));
    const bool taking = packet.type == MessageType::FileTake;
    const std::vector<int> until{daemon.fd(), guest.init.get()};
    FileReplyBody reply;
    const auto work = [&]() -> Status {
        if (packet.fds.size() != 1)
            return Error(Code::Corrupt, "no pipe came along");
        FileRequest opening = request;
        opening.flags &= ~O_APPEND; // splice(2) does not append
        OpenedFile opened = TRY(openFile(guest.root, opening));
        const struct stat info = TRY(sys::fstat(opened.fd));
        if (!S_ISREG(info.st_mode))
            return Error(Code::Invalid, "it is a folder", EISDIR);
        reply.created = opened.created;
        reply.stat = describe(info);
        if (taking)
            return takeBytes(packet.fds[0], opened.fd, request.flags & O_APPEND ? Place::End : Place::Start, until);
        TRY(daemon.send(MessageType::FileReply, spec::encode(reply)));
        (void)giveBytes(opened.fd, reply.stat.size, packet.fds[0], until); // whoever reads sees that it is less than was said
        return {};
    };
    if (Status status = work(); !status)
        return daemon.send(MessageType::Failed, spec::encodeFailure(userError(std::move(status.error()), request.path)));
    return taking ? daemon.send(MessageType::FileReply, spec::encode(reply)) : Status();
}

Status serveAll(spec::Channel &daemon, const Guest &guest)
{
    for (;;) {
        auto packet = TRY(daemon.receive());
        if (!packet)
            return {};
        if (packet->type == MessageType::FileSftp)
            return becomeSftpServer(daemon, guest, *packet);
        if (packet->type == MessageType::FileTake || packet->type == MessageType::FileGive)
            return transfer(daemon, guest, *packet);
        if (Status served = serve(daemon, guest, *packet); !served)
            TRY(daemon.send(MessageType::Failed, spec::encodeFailure(served.error())));
    }
}

} // namespace

int files(std::span<char *const>)
{
    spec::Channel daemon{Fd(3)};
    ::umask(0);
    (void)::signal(SIGPIPE, SIG_IGN);
    (void)sys::prctl("PR_SET_DUMPABLE", PR_SET_DUMPABLE, 0); // cannot fail: 0 is always allowed
    auto guest = enter(daemon);
    const Status told =
        guest ? daemon.send(MessageType::Done) : daemon.send(MessageType::Failed, spec::encodeFailure(guest.error()));
    if (!guest || !told)
        return 1;
    return serveAll(daemon, *guest) ? 0 : 1;
}

} // namespace lxmgr::monitor
