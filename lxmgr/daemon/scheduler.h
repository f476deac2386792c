// Scheduler: wakes who has something to do at a time: snapshots that fall due or expire, images that may have become newer. A timer on
// the wall clock that follows when the clock is set; none while there is nothing to wait for. What is due, the BelievedClock says.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "daemon/believed_clock.h"
#include "daemon/server.h"

#include <atomic>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace lxmgr::daemon
{

struct Schedule {
    std::string name; ///< For the log.
    /// When there is something to do, after all until `done` is seen to.
    std::function<std::optional<std::time_t>(std::time_t done)> next;
    std::function<void(std::time_t since, std::time_t now)> run;
};

/// Goes after the server, whose pool and poller work for it, and the clock.
class Scheduler
{
public:
    /// On the server's thread.
    static Result<std::unique_ptr<Scheduler>> create(Server &server, BelievedClock &clock, Schedule schedule);
    Scheduler(const Scheduler &) = delete;
    Scheduler &operator=(const Scheduler &) = delete;

    /// There may be something to do at another time than before: looks anew for when to wake. Any thread.
    void changed();

private:
    Scheduler(Server &server, BelievedClock &clock, Schedule schedule, Fd timer)
        : m_server(server), m_clock(clock), m_schedule(std::move(schedule)), m_timer(std::move(timer))
    {
    }
    void fired();
    void work(); ///< On the pool, never twice at a time.
    Status arm(std::optional<std::time_t> at);

    Server &m_server;
    BelievedClock &m_clock;
    const Schedule m_schedule;
    Fd m_timer;
    std::time_t m_done = 0; ///< All that fell due until then has been seen to.
    std::atomic<unsigned> m_wanted{0};
};

} // namespace lxmgr::daemon
