// Who is at work on the files of instances by SFTP: each connection is served by a helper that has entered the guest.
#pragma once

#include "base/result.h"
#include "daemon/server.h"
#include "instances/manager.h"
#include "spec/files_client.h"

#include <map>
#include <memory>
#include <mutex>

namespace lxmgr::daemon
{

class SftpSessions
{
public:
    static constexpr std::size_t kMost = 128;

    explicit SftpSessions(Server &server) : m_server(server) {}
    /// Ends all of them. After the server, whose threads use it.
    ~SftpSessions();
    SftpSessions(const SftpSessions &) = delete;
    SftpSessions &operator=(const SftpSessions &) = delete;

    /// On files of a guest that runs, which end with it; or on a tree that is mounted for them.
    enum class On { Running, Stopped };
    /// Takes the connection over and has `files` serve it. Unavailable: there are too many already.
    Status begin(const instances::InstanceKey &key, On on, spec::FilesClient files, const Request &request, const Responder &responder);
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
    void serve(const std::shared_ptr<Pending> &pending, const Fd &socket, const std::string &already);
    void follow(std::uint64_t id, const std::shared_ptr<spec::FilesClient> &files);
    void forget(std::uint64_t id);

    Server &m_server;
    std::mutex m_mutex;
    std::map<std::uint64_t, Session> m_sessions;
    std::uint64_t m_next = 1;
};

} // namespace lxmgr::daemon
