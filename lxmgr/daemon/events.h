// Events: the stream of operations, lifecycle and log lines to whoever listens; each is encoded once for all of them.
#pragma once

#include "api/operations.h"
#include "base/log.h"
#include "daemon/server.h"

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace lxmgr::daemon
{

class Events
{
public:
    enum Type : unsigned { OperationType = 1, LifecycleType = 2, LoggingType = 4 };
    /// "operation,lifecycle"; "" means all. Invalid for another word.
    static Result<unsigned> parseTypes(std::string_view list);

    struct Wanted {
        unsigned types = 0;
        std::set<std::string, std::less<>> projects; ///< None: all of them.
        bool host = true; ///< What concerns the host too: certificates, networks, pools, the server's configuration.
    };
    /// The server's thread.
    void subscribe(std::shared_ptr<WebSocket> socket, Wanted wanted);

    // Any thread.
    void operation(const api::Operation &operation, const std::string &project);
    void lifecycle(const api::Lifecycle &lifecycle, const std::string &project);
    /// Of what belongs to no project.
    void hostLifecycle(const api::Lifecycle &lifecycle);
    void logging(log::Level level, const std::string &line);

private:
    struct Listener {
        std::shared_ptr<WebSocket> socket;
        Wanted wanted;
    };
    enum class About { Project, Host };
    bool wanted(unsigned type);
    void publish(unsigned type, About about, const std::string &project, const std::string &text);
    void publishLifecycle(const api::Lifecycle &lifecycle, About about, const std::string &project);

    std::mutex m_mutex;
    std::vector<Listener> m_listeners;
};

} // namespace lxmgr::daemon
