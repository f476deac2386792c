// One epoll set inside Qt's event loop: a thousand connections cost the loop one descriptor, idle ones nothing.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

class QSocketNotifier;

namespace lxmgr::daemon
{

/// Work for the poller's thread, from any thread. Outlives the poller: what comes after its end is dropped.
class Mailbox
{
public:
    Mailbox();
    void post(std::function<void()> work);

private:
    friend class Poller;
    void run();
    void close();

    Fd m_wake;
    std::mutex m_mutex;
    std::vector<std::function<void()>> m_posted;
    bool m_closed = false;
};

/// Everything but post() belongs to the thread that made it.
class Poller
{
public:
    /// epoll_ctl(2) events that came.
    using Callback = std::function<void(std::uint32_t events)>;

    Poller();
    ~Poller();
    Poller(const Poller &) = delete;
    Poller &operator=(const Poller &) = delete;

    /// Watches `fd` (level-triggered) until unwatch(); 0 events keeps the callback and watches nothing, not even a hang-up.
    Status watch(int fd, std::uint32_t events, Callback callback);
    void setEvents(int fd, std::uint32_t events);
    /// Must come before the descriptor is closed.
    void unwatch(int fd);

    /// Runs `work` in the poller's thread soon. Any thread.
    void post(std::function<void()> work) { m_mailbox->post(std::move(work)); }
    std::shared_ptr<Mailbox> mailbox() const { return m_mailbox; }

private:
    struct Watch {
        std::uint32_t events = 0;
        std::uint64_t generation = 0;
        std::shared_ptr<Callback> callback;
    };
    void dispatch();

    Fd m_epoll;
    std::shared_ptr<Mailbox> m_mailbox;
    std::unique_ptr<QSocketNotifier> m_notifier;
    std::unordered_map<int, Watch> m_watches;
    std::uint64_t m_generation = 0;
};

} // namespace lxmgr::daemon
