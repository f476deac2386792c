// Audit: who changed what, and what came of it: a line of JSON each in <stateDir>/logs/audit.log, which only root reads.
#pragma once

#include "api/operations.h"
#include "base/fd.h"
#include "base/result.h"
#include "daemon/server.h"

#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace lxmgr::daemon
{

/// On whose behalf this thread works, as long as this stands. What is done then is told of him.
class OnBehalfOf
{
public:
    explicit OnBehalfOf(std::shared_ptr<const Peer> peer);
    ~OnBehalfOf();
    OnBehalfOf(const OnBehalfOf &) = delete;
    OnBehalfOf &operator=(const OnBehalfOf &) = delete;

    /// nullptr: nobody, the daemon does it by itself.
    static std::shared_ptr<const Peer> current();

private:
    std::shared_ptr<const Peer> m_before;
};

class Audit
{
public:
    using Trouble = std::function<void(const std::string &trouble)>;
    /// `trouble` hears of every line that cannot be written. Any thread.
    static Result<std::unique_ptr<Audit>> open(const std::string &logDir, Trouble trouble);

    /// A request that may change something, and the status of its answer. Any thread, as the next ones.
    void request(const Peer &peer, const api::Route &route, const std::string &path, const std::string &project, int status);
    /// The end of an operation that somebody started.
    void operation(const api::Operation &operation, const std::string &project, const Peer &peer);
    /// Somebody was told that he may not.
    void refused(const Peer &peer, const std::string &method, const std::string &path, int status);

private:
    Audit(std::string path, Fd file, Trouble trouble) : m_path(std::move(path)), m_trouble(std::move(trouble)), m_file(std::move(file)) {}
    void write(std::string line);

    const std::string m_path;
    const Trouble m_trouble;
    std::mutex m_mutex;
    Fd m_file;
};

} // namespace lxmgr::daemon
