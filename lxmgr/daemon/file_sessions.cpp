#include "daemon/file_sessions.h"

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
struct FileSessions::Pending {
    FileSessions &owner;
    std::uint64_t id;
    std::shared_ptr<spec::FilesClient> files;
    bool served = false;

    ~Pending()
    {
        if (!served)
            owner.forget(id);
    }
};

FileSessions::~FileSessions()
{
    for (auto &[id, session] : m_sessions)
        session.files->kill();
}

Result<std::shared_ptr<FileSessions::Pending>> FileSessions::enter(const instances::InstanceKey &key, On on, spec::FilesClient files,
                                                                   const Request &request)
{
    auto shared = std::make_shared<spec::FilesClient>(std::move(files));
    const std::lock_guard lock(m_mutex);
    if (m_sessions.size() >= kMost)
        return Error(Code::Unavailable, std::to_string(kMost) + " transfers of files and SFTP sessions are under way (wait for one to end)");
    std::shared_ptr<Pending> pending(new Pending{*this, m_next++, shared});
    m_sessions.emplace(pending->id, Session{key, on, request.peer.fingerprint, shared});
    return pending;
}

Status FileSessions::beginSftp(const instances::InstanceKey &key, On on, spec::FilesClient files, const Request &request, const Responder &responder)
{
    auto pending = TRY(enter(key, on, std::move(files), request));
    responder.handOver("sftp", [this, pending](Fd socket, std::string already) {
        m_server.runOnPool([this, pending, connection = std::make_shared<Fd>(std::move(socket)), bytes = std::move(already)] {
            serve(pending, *connection, bytes);
        });
    });
    return {};
}

Status FileSessions::take(const instances::InstanceKey &key, On on, spec::FilesClient files, Request &request, const Taking &taking,
                          const Responder &responder, Done done)
{
    const auto pending = TRY(enter(key, on, std::move(files), request));
    const Fd pipe = std::move(request.fds.front());
    TRY(pending->files->beginTake(taking.path, taking.flags, taking.mode, taking.uid, taking.gid, pipe));
    responder.onGone([files = pending->files] { files->kill(); });
    follow(pending, [files = pending->files, done = std::move(done)] { done(files->endTake()); });
    return {};
}

Result<spec::FileStat> FileSessions::give(const instances::InstanceKey &key, On on, spec::FilesClient files, Request &request, const std::string &path)
{
    const auto pending = TRY(enter(key, on, std::move(files), request));
    const Fd pipe = std::move(request.fds.front());
    const spec::FileStat stat = TRY(pending->files->give(path, pipe));
    follow(pending);
    return stat;
}

void FileSessions::serve(const std::shared_ptr<Pending> &pending, const Fd &socket, const std::string &already)
{
    if (const Status begun = pending->files->serveSftp(socket, already); !begun)
        return log::warning("SFTP session: " + begun.error().message + ", ending it");
    follow(pending);
}

void FileSessions::follow(const std::shared_ptr<Pending> &pending, std::function<void()> ended)
{
    pending->served = true;
    m_server.runOnServerThread([this, pending, ended = std::move(ended)] {
        const int helper = pending->files->helper().get();
        const auto end = [this, id = pending->id, ended] {
            if (ended)
                m_server.runOnPool(ended);
            forget(id);
        };
        const Status watched = m_server.poller().watch(helper, EPOLLIN, [this, helper, end](std::uint32_t) {
            const auto last = end; // the watch holds it
            m_server.poller().unwatch(helper);
            last();
        });
        if (!watched) {
            pending->files->kill();
            end();
        }
    });
}

/// Reaping the helper may take it a moment, which no thread of the server's can have.
void FileSessions::forget(std::uint64_t id)
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

void FileSessions::endOf(const std::string &fingerprint)
{
    const std::lock_guard lock(m_mutex);
    for (const auto &[id, session] : m_sessions)
        if (session.fingerprint == fingerprint)
            session.files->kill(); // its end is seen, and it is forgotten then
}

void FileSessions::endStopped(const instances::InstanceKey &key)
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
