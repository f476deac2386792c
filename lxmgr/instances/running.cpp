#include "instances/running.h"

#include "base/text.h"

#include <cerrno>
#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace lxmgr::instances
{

namespace
{

// What an epoll entry is about is told by the lowest bit beside the ticket; ticket 0 is the call to quit.
constexpr std::uint64_t kMonitorBit = 1;

Status watch(const Fd &epoll, int fd, std::uint64_t data)
{
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = data;
    if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) < 0)
        return Error::fromErrno(errno, "epoll_ctl");
    return {};
}

} // namespace

Result<std::unique_ptr<Running>> Running::create(Listener listener)
{
    std::unique_ptr<Running> running(new Running(std::move(listener)));
    running->m_epoll = Fd(::epoll_create1(EPOLL_CLOEXEC));
    running->m_quit = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!running->m_epoll || !running->m_quit)
        return Error::fromErrno(errno, "epoll_create1");
    TRY(watch(running->m_epoll, running->m_quit.get(), 0));
    running->m_thread = std::thread([self = running.get()] { self->loop(); });
    return running;
}

Running::~Running()
{
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(m_quit.get(), &one, sizeof one);
    if (m_thread.joinable())
        m_thread.join();
}

Status Running::follow(const InstanceKey &key, const std::string &socket)
{
    auto events = std::make_unique<spec::MonitorClient>(TRY(spec::MonitorClient::connect(socket)));
    spec::MonitorInfo info = TRY(events->info());
    // Subscribed before the state is read a second time, so that nothing can fall between.
    TRY(events->subscribe());
    spec::MonitorClient asking = TRY(spec::MonitorClient::connect(socket));
    info = TRY(asking.info());
    Followed followed;
    followed.guest = {info.initPid, info.monitorPid, info.startedAt, info.booted, info.state == spec::GuestState::Frozen};
    followed.events = std::move(events);
    followed.monitorPidfd = std::move(info.monitorPidfd);
    const std::lock_guard lock(m_mutex);
    followed.ticket = m_nextTicket++;
    TRY(watch(m_epoll, followed.events->fd(), followed.ticket << 1));
    TRY(watch(m_epoll, followed.monitorPidfd.get(), followed.ticket << 1 | kMonitorBit));
    m_guests.insert_or_assign(key, std::move(followed));
    m_changed.notify_all();
    return {};
}

void Running::forget(const InstanceKey &key)
{
    const std::lock_guard lock(m_mutex);
    m_guests.erase(key);
    m_changed.notify_all();
}

void Running::setFrozen(const InstanceKey &key, bool frozen)
{
    const std::lock_guard lock(m_mutex);
    if (const auto found = m_guests.find(key); found != m_guests.end())
        found->second.guest.frozen = frozen;
}

std::optional<Guest> Running::find(const InstanceKey &key) const
{
    const std::lock_guard lock(m_mutex);
    const auto found = m_guests.find(key);
    if (found == m_guests.end())
        return std::nullopt;
    return found->second.guest;
}

std::map<InstanceKey, Guest> Running::all() const
{
    const std::lock_guard lock(m_mutex);
    std::map<InstanceKey, Guest> guests;
    for (const auto &[key, followed] : m_guests)
        guests.emplace(key, followed.guest);
    return guests;
}

bool Running::waitGone(const InstanceKey &key, std::optional<std::chrono::steady_clock::time_point> deadline,
                       const std::function<bool()> &cancelled)
{
    std::unique_lock lock(m_mutex);
    const auto done = [&] { return !m_guests.contains(key) || (cancelled && cancelled()); };
    if (deadline)
        m_changed.wait_until(lock, *deadline, done);
    else
        m_changed.wait(lock, done);
    return !m_guests.contains(key);
}

bool Running::waitBooted(const InstanceKey &key, std::chrono::steady_clock::time_point deadline, const std::function<bool()> &cancelled)
{
    std::unique_lock lock(m_mutex);
    const auto done = [&] {
        const auto found = m_guests.find(key);
        return found == m_guests.end() || found->second.guest.booted || (cancelled && cancelled());
    };
    m_changed.wait_until(lock, deadline, done);
    const auto found = m_guests.find(key);
    return found != m_guests.end() && found->second.guest.booted;
}

void Running::wakeWaiters()
{
    const std::lock_guard lock(m_mutex);
    m_changed.notify_all();
}

std::map<InstanceKey, Running::Followed>::iterator Running::byTicket(std::uint64_t ticket)
{
    auto at = m_guests.begin();
    while (at != m_guests.end() && at->second.ticket != ticket)
        ++at;
    return at;
}

void Running::apply(Followed &followed, const spec::MonitorEvent &event)
{
    using Kind = spec::MonitorEvent::Kind;
    switch (event.kind) {
    case Kind::Started:
        followed.guest.initPid = event.initPid;
        followed.guest.booted = false;
        followed.guest.frozen = false;
        followed.guest.startedAt = std::chrono::duration_cast<std::chrono::milliseconds>(
                                       std::chrono::system_clock::now().time_since_epoch())
                                       .count();
        break;
    case Kind::Booted:
        followed.guest.booted = true;
        break;
    case Kind::Frozen:
    case Kind::Thawed:
        followed.guest.frozen = event.kind == Kind::Frozen;
        break;
    case Kind::Stopped:
        followed.guest.booted = false;
        break;
    }
    m_changed.notify_all();
}

bool Running::takeEvent(std::uint64_t ticket)
{
    std::unique_lock lock(m_mutex);
    const auto at = byTicket(ticket);
    if (at == m_guests.end() || at->second.ended)
        return false;
    const InstanceKey key = at->first;
    Result<std::optional<spec::MonitorEvent>> event = at->second.events->nextEvent(std::chrono::milliseconds(0));
    if (!event) {
        // The connection broke: the pidfd says whether the monitor did too.
        ::epoll_ctl(m_epoll.get(), EPOLL_CTL_DEL, at->second.events->fd(), nullptr);
        return false;
    }
    if (!*event)
        return false;
    const spec::MonitorEvent &news = **event;
    apply(at->second, news);
    const bool final = news.kind == spec::MonitorEvent::Kind::Stopped && news.reason != spec::MonitorEvent::Reason::Rebooting;
    if (final)
        at->second.ended = true;
    lock.unlock();
    if (final)
        m_listener.ended({key, news, false});
    else
        m_listener.happened(key, news);
    return true;
}

void Running::monitorGone(std::uint64_t ticket)
{
    // What the monitor said last may still wait in its socket, and counts more than its death.
    while (takeEvent(ticket)) {
    }
    std::unique_lock lock(m_mutex);
    const auto at = byTicket(ticket);
    if (at == m_guests.end())
        return;
    ::epoll_ctl(m_epoll.get(), EPOLL_CTL_DEL, at->second.monitorPidfd.get(), nullptr);
    if (at->second.ended)
        return;
    at->second.ended = true;
    GuestEnd end{at->first, {}, true};
    end.last.kind = spec::MonitorEvent::Kind::Stopped;
    end.last.reason = spec::MonitorEvent::Reason::Killed;
    lock.unlock();
    m_listener.ended(end);
}

void Running::loop()
{
    epoll_event ready[16];
    for (;;) {
        const int count = ::epoll_wait(m_epoll.get(), ready, 16, -1);
        for (int i = 0; i < count; ++i) {
            const std::uint64_t data = ready[i].data.u64;
            if (data == 0)
                return;
            if (data & kMonitorBit)
                monitorGone(data >> 1);
            else
                takeEvent(data >> 1);
        }
    }
}

} // namespace lxmgr::instances
