// Who is at work on the files of instances for longer than a request: by SFTP, or with a pipe that one file goes through. Each is
// served by a helper of its own that has entered the guest; the bytes do not come through here.
#pragma once

#include "base/result.h"
#include "daemon/server.h"
#include "instances/manager.h"
#include "spec/files_client.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>

namespace lxmgr::daemon
{

class FileSessions
{
public:
    static constexpr std::size_t kMost = 128;

    explicit FileSessions(Server &server) : m_server(server) {}
    /// Ends all of them. After the server, whose threads use it.
    ~FileSessions();
    FileSessions(const FileSessions &) = delete;
    FileSessions &operator=(const FileSessions &) = delete;

    /// On files of a guest that runs, which end with it; or on a tree that is mounted for them.
    enum class On { Running, Stopped };
    /// Takes the connection over and has `files` serve it.
    Status beginSftp(const instances::InstanceKey &key, On on, spec::FilesClient files, const Request &request, const Responder &responder);
    /// What beginTake() takes of the request's pipe; `done` gets what came of it, once, on any thread. A client that goes ends it.
    struct Taking {
        std::string path;
        int flags = 0;
        std::int64_t mode = -1, uid = -1, gid = -1;
    };
    using Done = std::function<void(Status)>;
    Status take(const instances::InstanceKey &key, On on, spec::FilesClient files, Request &request, const Taking &taking,
                const Responder &responder, Done done);
    /// Has `files` write the file at `path` to the request's pipe from now on.
    Result<spec::FileStat> give(const instances::InstanceKey &key, On on, spec::FilesClient files, Request &request, const std::string &path);
    /// Ends those on the mounted tree of an instance, which is mounted no longer when this returns.
    void endStopped(const instances::InstanceKey &key);
    /// Ends those of the client with this certificate.
    void endOf(const std::string &fingerprint);

private:
    struct Session {
        instances::InstanceKey key;
        On on;
        std::string fingerprint; ///< Of the client's certificate, "" on the unix socket.
        std::shared_ptr<spec::FilesClient> files;
    };
    struct Pending;
    /// Unavailable: there are too many already.
    Result<std::shared_ptr<Pending>> enter(const instances::InstanceKey &key, On on, spec::FilesClient files, const Request &request);
    void serve(const std::shared_ptr<Pending> &pending, const Fd &socket, const std::string &already);
    /// Forgets it at its end, after `ended`, which runs on the pool.
    void follow(const std::shared_ptr<Pending> &pending, std::function<void()> ended = {});
    void forget(std::uint64_t id);

    Server &m_server;
    std::mutex m_mutex;
    std::map<std::uint64_t, Session> m_sessions;
    std::uint64_t m_next = 1;
};

} // namespace lxmgr::daemon
