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
    void post(std::function<void()> work);

private:
    struct Watch {
        std::uint32_t events = 0;
        std::uint64_t generation = 0;
        std::shared_ptr<Callback> callback;
    };
    void dispatch();
    void runPosted();

    Fd m_epoll;
    Fd m_wake;
    std::unique_ptr<QSocketNotifier> m_notifier;
    std::unordered_map<int, Watch> m_watches;
    std::uint64_t m_generation = 0;
    std::mutex m_mutex;
    std::vector<std::function<void()>> m_posted;
};

} // namespace lxmgr::daemon
