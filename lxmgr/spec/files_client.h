// Files inside a guest, running or stopped, through a helper process that has entered it; host paths never appear.
#pragma once

#include "base/fd.h"
#include "base/paths.h"
#include "base/result.h"
#include "spec/channel.h"
#include "spec/launch.h"
#include "spec/messages.h"

#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace lxmgr::spec
{

/// One helper process, which ends with this object. Calls block; one thread at a time.
/// Errors: NotFound, AlreadyExists, Forbidden and Invalid as the errno says.
class FilesClient
{
public:
    static Result<FilesClient> forRunning(const Paths &paths, const Fd &initPidfd);
    /// Mounts the tree privately with its id map; nothing shows on the host.
    static Result<FilesClient> forStopped(const Paths &paths, const Rootfs &rootfs, const IdMap &idmap);

    struct Opened {
        Fd fd; ///< Regular files and folders only.
        FileStat stat;
        bool created = false;
    };
    /// `flags` as open(2). uid, gid and mode of -1: of a new file 0, 0, 0644; of an existing one unchanged.
    Result<Opened> open(const std::string &path, int flags, std::int64_t mode = -1, std::int64_t uid = -1,
                        std::int64_t gid = -1);
    /// Does not follow a link at the end.
    Result<FileStat> stat(const std::string &path);
    /// Sorted by name.
    Result<std::vector<FileEntry>> list(const std::string &path);
    Status mkdir(const std::string &path, std::int64_t mode = -1, std::int64_t uid = -1, std::int64_t gid = -1,
                 bool parents = false);
    /// A file, link or folder; a folder that is not empty only with `recursive`.
    Status remove(const std::string &path, bool recursive = false);
    Status rename(const std::string &from, const std::string &to);
    Status symlink(const std::string &path, const std::string &target, std::int64_t uid = -1, std::int64_t gid = -1);
    Result<std::string> readlink(const std::string &path);
    /// Owner and mode; -1 is left alone.
    Status change(const std::string &path, std::int64_t mode, std::int64_t uid, std::int64_t gid);
    /// Makes `path` what it is below `source`, a mount() of an earlier state: a file, or a folder with all below it.
    /// NotFound: it is not there.
    Status restore(const std::string &path, const Fd &source);
    /// Removes what a restore() of `path` left in the guest that was cut off.
    Status dropRestore(const std::string &path);
    /// The root file system as a detached mount to read from, without what the guest has mounted in it.
    Result<Fd> mount();

    /// The helper serves SFTP on `socket`, whose first bytes were `already`, until its client, the guest or this object goes,
    /// and ends then. No other call may follow.
    Status serveSftp(const Fd &socket, const std::string &already);
    /// The helper writes to the file what comes from `pipe`, until that ends, and ends then; endTake() has what came of it. Flags and
    /// ids as with open(). No other call may follow.
    Status beginTake(const std::string &path, int flags, std::int64_t mode, std::int64_t uid, std::int64_t gid, const Fd &pipe);
    Status endTake();
    /// The helper writes the file to `pipe` and ends. No other call may follow.
    Result<FileStat> give(const std::string &path, const Fd &pipe);
    /// Readable once it has ended.
    const Fd &helper() const { return m_pidfd; }
    /// Whatever it is doing, which may be to wait for a file system that its guest serves.
    void kill();

    FilesClient(FilesClient &&other) noexcept;
    FilesClient &operator=(FilesClient &&other) noexcept;
    /// Ends the helper and reaps it.
    ~FilesClient();

private:
    FilesClient(Channel channel, pid_t helper, Fd pidfd) : m_channel(std::move(channel)), m_helper(helper), m_pidfd(std::move(pidfd)) {}
    static Result<FilesClient> start(const Paths &paths, MessageType enter, std::string_view body,
                                     const std::vector<int> &fds);
    Result<Packet> ask(MessageType type, const FileRequest &request, const std::vector<int> &fds = {});
    Channel m_channel;
    pid_t m_helper = 0;
    Fd m_pidfd;
};

} // namespace lxmgr::spec
