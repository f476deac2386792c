#include "spec/files_client.h"

#include "spec/codec.h"
#include "spec/spawn.h"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace lxmgr::spec
{

namespace
{

Result<Packet> replyOf(Channel &channel)
{
    auto packet = TRY(channel.receive());
    if (!packet)
        return Error(Code::Unavailable, "the helper for files ended unexpectedly");
    if (packet->type == MessageType::Failed)
        return failureOf(*packet);
    return std::move(*packet);
}

FileRequest openRequest(const std::string &path, int flags, std::int64_t mode, std::int64_t uid, std::int64_t gid)
{
    FileRequest request;
    request.path = path;
    request.flags = flags;
    request.mode = mode;
    request.uid = uid;
    request.gid = gid;
    return request;
}

void waitFor(pid_t pid)
{
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
}

} // namespace

Result<FilesClient> FilesClient::start(const Paths &paths, MessageType enter, std::string_view body,
                                       const std::vector<int> &fds)
{
    Spawned spawned = TRY(spawnMonitor(paths.monitor, "files", "files"));
    FilesClient client(std::move(spawned.channel), spawned.pid, std::move(spawned.pidfd)); // reaps it when something fails
    TRY(client.m_channel.send(enter, body, fds));
    TRY(replyOf(client.m_channel));
    return client;
}

Result<FilesClient> FilesClient::forRunning(const Paths &paths, const Fd &initPidfd)
{
    return start(paths, MessageType::EnterRunning, {}, {initPidfd.get()});
}

Result<FilesClient> FilesClient::forStopped(const Paths &paths, const Rootfs &rootfs, const IdMap &idmap)
{
    return start(paths, MessageType::EnterStopped, encode(StoppedBody{rootfs, idmap}), {});
}

FilesClient::FilesClient(FilesClient &&other) noexcept
    : m_channel(std::move(other.m_channel)), m_helper(std::exchange(other.m_helper, 0)), m_pidfd(std::move(other.m_pidfd))
{
}

FilesClient &FilesClient::operator=(FilesClient &&other) noexcept
{
    std::swap(m_channel, other.m_channel);
    std::swap(m_helper, other.m_helper);
    std::swap(m_pidfd, other.m_pidfd);
    return *this;
}

FilesClient::~FilesClient()
{
    m_channel = Channel(); // it ends when the stream does
    if (m_helper > 0)
        waitFor(m_helper);
}

Result<Packet> FilesClient::ask(MessageType type, const FileRequest &request, const std::vector<int> &fds)
{
    TRY(m_channel.send(type, encode(request), fds));
    return replyOf(m_channel);
}

Status FilesClient::serveSftp(const Fd &socket, const std::string &already)
{
    FileRequest request;
    request.other = already;
    TRY(ask(MessageType::FileSftp, request, {socket.get()}));
    return {};
}

void FilesClient::kill() { (void)::syscall(SYS_pidfd_send_signal, m_pidfd.get(), SIGKILL, nullptr, 0); } // it may have ended

Status FilesClient::beginTake(const std::string &path, int flags, std::int64_t mode, std::int64_t uid, std::int64_t gid, const Fd &pipe)
{
    return m_channel.send(MessageType::FileTake, encode(openRequest(path, flags, mode, uid, gid)), {pipe.get()});
}

Status FilesClient::endTake()
{
    TRY(replyOf(m_channel));
    return {};
}

Result<FileStat> FilesClient::give(const std::string &path, const Fd &pipe)
{
    const Packet reply = TRY(ask(MessageType::FileGive, openRequest(path, O_RDONLY, -1, -1, -1), {pipe.get()}));
    return TRY(decode<FileReplyBody>(reply.body)).stat;
}

Result<FilesClient::Opened> FilesClient::open(const std::string &path, int flags, std::int64_t mode, std::int64_t uid,
                                              std::int64_t gid)
{
    Packet reply = TRY(ask(MessageType::FileOpen, openRequest(path, flags, mode, uid, gid)));
    const auto body = TRY(decode<FileReplyBody>(reply.body));
    if (reply.fds.size() != 1)
        return Error(Code::Corrupt, "the helper sent no file");
    return Opened{std::move(reply.fds[0]), body.stat, body.created};
}

Result<Fd> FilesClient::mount()
{
    Packet reply = TRY(ask(MessageType::FileMount, FileRequest()));
    if (reply.fds.size() != 1)
        return Error(Code::Corrupt, "the helper sent no mount");
    return std::move(reply.fds[0]);
}

Status FilesClient::restore(const std::string &path, const Fd &source)
{
    FileRequest request;
    request.path = path;
    TRY(ask(MessageType::FileRestore, request, {source.get()}));
    return {};
}

Status FilesClient::dropRestore(const std::string &path)
{
    FileRequest request;
    request.path = path;
    TRY(ask(MessageType::FileDropRestore, request));
    return {};
}

Result<FileStat> FilesClient::stat(const std::string &path)
{
    FileRequest request;
    request.path = path;
    request.noFollow = true;
    return TRY(decode<FileReplyBody>(TRY(ask(MessageType::FileStat, request)).body)).stat;
}

Result<std::vector<FileEntry>> FilesClient::list(const std::string &path)
{
    FileRequest request;
    request.path = path;
    return TRY(decode<FileReplyBody>(TRY(ask(MessageType::FileList, request)).body)).entries;
}

Status FilesClient::mkdir(const std::string &path, std::int64_t mode, std::int64_t uid, std::int64_t gid, bool parents)
{
    FileRequest request;
    request.path = path;
    request.mode = mode;
    request.uid = uid;
    request.gid = gid;
    request.recursive = parents;
    TRY(ask(MessageType::FileMakeDir, request));
    return {};
}

Status FilesClient::remove(const std::string &path, bool recursive)
{
    FileRequest request;
    request.path = path;
    request.recursive = recursive;
    TRY(ask(MessageType::FileRemove, request));
    return {};
}

Status FilesClient::rename(const std::string &from, const std::string &to)
{
    FileRequest request;
    request.path = from;
    request.other = to;
    TRY(ask(MessageType::FileRename, request));
    return {};
}

Status FilesClient::symlink(const std::string &path, const std::string &target, std::int64_t uid, std::int64_t gid)
{
    FileRequest request;
    request.path = path;
    request.other = target;
    request.uid = uid;
    request.gid = gid;
    TRY(ask(MessageType::FileSymlink, request));
    return {};
}

Result<std::string> FilesClient::readlink(const std::string &path)
{
    FileRequest request;
    request.path = path;
    return TRY(decode<FileReplyBody>(TRY(ask(MessageType::FileReadLink, request)).body)).target;
}

Status FilesClient::change(const std::string &path, std::int64_t mode, std::int64_t uid, std::int64_t gid)
{
    FileRequest request;
    request.path = path;
    request.mode = mode;
    request.uid = uid;
    request.gid = gid;
    TRY(ask(MessageType::FileChange, request));
    return {};
}

} // namespace lxmgr::spec
