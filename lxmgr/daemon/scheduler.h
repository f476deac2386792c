// Scheduler: wakes the manager when a snapshot falls due or expires. A timer on the wall clock that follows when the clock
// is set; none while there is nothing to wait for.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "daemon/server.h"
#include "instances/manager.h"

#include <atomic>
#include <ctime>

namespace lxmgr::daemon
{

/// Goes after the server, whose pool and poller work for it.
class Scheduler
{
public:
    /// On the server's thread.
    static Result<std::unique_ptr<Scheduler>> create(Server &server, instances::Manager &manager);
    Scheduler(const Scheduler &) = delete;
    Scheduler &operator=(const Scheduler &) = delete;

    /// Schedules or snapshots are others than before: looks anew for when to wake. Any thread.
    void changed();

private:
    Scheduler(Server &server, instances::Manager &manager, Fd timer) : m_server(server), m_manager(manager), m_timer(std::move(timer)) {}
    void fired();
    void work(); ///< On the pool, never twice at a time.
    Status arm(std::optional<std::time_t> at);

    Server &m_server;
    instances::Manager &m_manager;
    Fd m_timer;
    std::time_t m_done = 0; ///< All that fell due until then has been seen to.
    std::atomic<unsigned> m_wanted{0};
};

} // namespace lxmgr::daemon
