#include "daemon/sftp_sessions.h"

#include "base/log.h"

#include <poll.h>
#include <sys/epoll.h>
#include <vector>

namespace lxmgr::daemon
{

namespace
{
constexpr int kKillMillis = 5000; ///< A helper that a broken disk holds is not waited for any longer.
}

/// One that nobody serves yet: should its client go before that, it is forgotten with the last copy of this.
struct SftpSessions::Pending {
    SftpSessions &owner;
    std::uint64_t id;
    std::shared_ptr<spec::FilesClient> files;
    bool served = false;

    ~Pending()
    {
        if (!served)
            owner.forget(id);
    }
};

SftpSessions::~SftpSessions()
{
    for (auto &[id, session] : m_sessions)
        session.files->kill();
}

Status SftpSessions::begin(const instances::InstanceKey &key, On on, spec::FilesClient files, const Request &request, const Responder &responder)
{
    auto shared = std::make_shared<spec::FilesClient>(std::move(files));
    std::shared_ptr<Pending> pending;
    {
        const std::lock_guard lock(m_mutex);
        if (m_sessions.size() >= kMost)
            return Error(Code::Unavailable, std::to_string(kMost) + " SFTP sessions are open (end one first)");
        pending.reset(new Pending{*this, m_next++, shared});
        m_sessions.emplace(pending->id, Session{key, on, request.peer.fingerprint, shared});
    }
    responder.handOver("sftp", [this, pending](Fd socket, std::string already) {
        m_server.runOnPool([this, pending, connection = std::make_shared<Fd>(std::move(socket)), bytes = std::move(already)] {
            serve(pending, *connection, bytes);
        });
    });
    return {};
}

void SftpSessions::serve(const std::shared_ptr<Pending> &pending, const Fd &socket, const std::string &already)
{
    if (const Status begun = pending->files->serveSftp(socket, already); !begun) {
        log::warning("SFTP session: " + begun.error().message + ", ending it");
        return;
    }
    pending->served = true;
    m_server.runOnServerThread([this, id = pending->id, files = pending->files] { follow(id, files); });
}

void SftpSessions::follow(std::uint64_t id, const std::shared_ptr<spec::FilesClient> &files)
{
    const int helper = files->helper().get();
    const Status watched = m_server.poller().watch(helper, EPOLLIN, [this, id, helper](std::uint32_t) {
        m_server.poller().unwatch(helper);
        forget(id);
    });
    if (!watched)
        forget(id);
}

/// Reaping the helper may take it a moment, which no thread of the server's can have.
void SftpSessions::forget(std::uint64_t id)
{
    std::shared_ptr<spec::FilesClient> files;
    {
        const std::lock_guard lock(m_mutex);
        const auto found = m_sessions.find(id);
        if (found == m_sessions.end())
            return;
        files = std::move(found->second.files);
        m_sessions.erase(found);
    }
    files->kill();
    m_server.runOnPool([files] {});
}

void SftpSessions::endOf(const std::string &fingerprint)
{
    const std::lock_guard lock(m_mutex);
    for (const auto &[id, session] : m_sessions)
        if (session.fingerprint == fingerprint)
            session.files->kill(); // its end is seen, and it is forgotten then
}

void SftpSessions::endStopped(const instances::InstanceKey &key)
{
    std::vector<std::shared_ptr<spec::FilesClient>> ending;
    {
        const std::lock_guard lock(m_mutex);
        for (const auto &[id, session] : m_sessions)
            if (session.on == On::Stopped && session.key == key)
                ending.push_back(session.files);
    }
    for (const auto &files : ending)
        files->kill();
    for (const auto &files : ending) {
        pollfd ended{files->helper().get(), POLLIN, 0};
        if (::poll(&ended, 1, kKillMillis) == 0)
            log::warning("SFTP session of instance '" + key.name + "': its helper has not ended, ignoring");
    }
}

} // namespace lxmgr::daemon
