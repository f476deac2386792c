#include "daemon/poller.h"

#include "base/log.h"

#include <QSocketNotifier>

#include <cerrno>
#include <sys/epoll.h>
#include <sys/eventfd.h>

namespace lxmgr::daemon
{

Mailbox::Mailbox() : m_wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void Mailbox::post(std::function<void()> work)
{
    const std::lock_guard lock(m_mutex);
    if (m_closed)
        return;
    m_posted.push_back(std::move(work));
    if (m_posted.size() > 1)
        return;
    const std::uint64_t one = 1;
    (void)!::write(m_wake.get(), &one, sizeof one); // full means already awake
}

void Mailbox::run()
{
    std::uint64_t count = 0;
    (void)!::read(m_wake.get(), &count, sizeof count); // only to take the readiness back
    std::vector<std::function<void()>> posted;
    {
        const std::lock_guard lock(m_mutex);
        posted.swap(m_posted);
    }
    for (const std::function<void()> &work : posted)
        work();
}

void Mailbox::close()
{
    std::vector<std::function<void()>> posted;
    const std::lock_guard lock(m_mutex);
    m_closed = true;
    posted.swap(m_posted); // what it holds may post again, so it goes after the lock
}

Poller::Poller() : m_epoll(::epoll_create1(EPOLL_CLOEXEC)), m_mailbox(std::make_shared<Mailbox>())
{
    if (!m_epoll || !m_mailbox->m_wake)
        log::error("cannot make an epoll set: " + std::string(std::strerror(errno)));
    m_notifier = std::make_unique<QSocketNotifier>(m_epoll.get(), QSocketNotifier::Read);
    QObject::connect(m_notifier.get(), &QSocketNotifier::activated, m_notifier.get(), [this] { dispatch(); });
    const Status watching = watch(m_mailbox->m_wake.get(), EPOLLIN, [this](std::uint32_t) { m_mailbox->run(); });
    if (!watching)
        log::error(watching.error().message);
}

Poller::~Poller() { m_mailbox->close(); }

Status Poller::watch(int fd, std::uint32_t events, Callback callback)
{
    Watch watch{0, ++m_generation, std::make_shared<Callback>(std::move(callback))};
    m_watches[fd] = std::move(watch);
    if (events) {
        epoll_event event{};
        event.events = events;
        event.data.fd = fd;
        if (::epoll_ctl(m_epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
            const int failure = errno;
            m_watches.erase(fd);
            return Error::fromErrno(failure, "epoll_ctl");
        }
        m_watches[fd].events = events;
    }
    return {};
}

void Poller::setEvents(int fd, std::uint32_t events)
{
    const auto at = m_watches.find(fd);
    if (at == m_watches.end() || at->second.events == events)
        return;
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    // A descriptor in the set reports EPOLLHUP whether asked or not, so "nothing" means out of the set.
    const int operation = events == 0 ? EPOLL_CTL_DEL : at->second.events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (::epoll_ctl(m_epoll.get(), operation, fd, &event) != 0)
        log::error("epoll_ctl: " + std::string(std::strerror(errno)));
    at->second.events = events;
}

void Poller::unwatch(int fd)
{
    setEvents(fd, 0);
    m_watches.erase(fd);
}

void Poller::dispatch()
{
    epoll_event events[64];
    const int count = ::epoll_wait(m_epoll.get(), events, 64, 0);
    const std::uint64_t newest = m_generation;
    for (int i = 0; i < count; ++i) {
        const auto at = m_watches.find(events[i].data.fd);
        // A callback before this one may have closed the descriptor, and its number may be another's by now.
        if (at == m_watches.end() || at->second.generation > newest || at->second.events == 0)
            continue;
        const std::shared_ptr<Callback> callback = at->second.callback;
        (*callback)(events[i].events);
    }
}

} // namespace lxmgr::daemon
