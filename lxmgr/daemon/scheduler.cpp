#include "daemon/scheduler.h"

#include "base/log.h"
#include "daemon/poller.h"

#include <algorithm>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace lxmgr::daemon
{

namespace
{
constexpr std::time_t kRetrySeconds = 60;
}

Result<std::unique_ptr<Scheduler>> Scheduler::create(Server &server, BelievedClock &clock, Schedule schedule)
{
    Fd timer(::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!timer)
        return Error::fromErrno(errno, "timerfd_create", "CLOCK_REALTIME");
    std::unique_ptr<Scheduler> scheduler(new Scheduler(server, clock, std::move(schedule), std::move(timer)));
    scheduler->m_done = clock.look().now;
    TRY(server.poller().watch(scheduler->m_timer.get(), EPOLLIN, [self = scheduler.get()](std::uint32_t) { self->fired(); }));
    scheduler->changed();
    return scheduler;
}

/// Due, or the clock was set (read(2) then gives ECANCELED): either way it is time to look.
void Scheduler::fired()
{
    std::uint64_t times = 0;
    [[maybe_unused]] const ssize_t ignored = ::read(m_timer.get(), &times, sizeof times);
    changed();
}

void Scheduler::changed()
{
    if (m_wanted++ == 0)
        m_server.runOnPool([this] { work(); });
}

void Scheduler::work()
{
    for (unsigned seen = m_wanted; seen > 0;) {
        const BelievedClock::Told told = m_clock.look();
        const std::time_t now = told.now;
        auto next = m_schedule.next(m_done);
        if (next && *next <= now) {
            m_schedule.run(m_done, now);
            next = m_schedule.next(now);
        }
        m_done = now; // after a clock that was set back, too: nothing is made twice for that
        if (next && *next <= now)
            next = now + kRetrySeconds; // it could not be done
        if (next)
            *next += told.ahead;
        if (told.lookAgain)
            next = std::min(next.value_or(*told.lookAgain), *told.lookAgain);
        if (Status armed = arm(next); !armed)
            log::error(m_schedule.name + ": " + armed.error().message);
        // Whoever asked meanwhile has it looked at again.
        seen = m_wanted -= seen;
    }
}

Status Scheduler::arm(std::optional<std::time_t> at)
{
    itimerspec when{};
    when.it_value.tv_sec = at.value_or(0); // 0 disarms
    if (::timerfd_settime(m_timer.get(), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, nullptr) < 0 && errno != ECANCELED)
        return Error::fromErrno(errno, "timerfd_settime", "");
    return {};
}

} // namespace lxmgr::daemon
