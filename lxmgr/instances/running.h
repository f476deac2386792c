// Running: which guests run right now, as their monitors say, and a thread that follows them.
#pragma once

#include "base/fd.h"
#include "spec/monitor_client.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace lxmgr::instances
{

struct InstanceKey {
    std::string project;
    std::string name;
    auto operator<=>(const InstanceKey &) const = default;
};

/// A guest as of the last word of its monitor.
struct Guest {
    pid_t initPid = 0;
    pid_t monitorPid = 0;
    std::int64_t startedAt = 0; ///< Milliseconds since 1970.
    bool booted = false;
    bool frozen = false;
};

/// The monitor is gone with or without a word about its guest.
struct GuestEnd {
    InstanceKey key;
    spec::MonitorEvent last; ///< Kind Stopped; reason Killed where the monitor itself was lost.
    bool monitorLost = false;
};

class Running
{
public:
    /// Called on the follower's thread: `ended` must hand the work on, not do it.
    struct Listener {
        std::function<void(const GuestEnd &)> ended;
        std::function<void(const InstanceKey &, const spec::MonitorEvent &)> happened; ///< All but the final Stopped.
    };

    static Result<std::unique_ptr<Running>> create(Listener listener);
    ~Running();
    Running(const Running &) = delete;
    Running &operator=(const Running &) = delete;

    /// Follows the guest whose monitor listens at `socket`. Unavailable when none does.
    Status follow(const InstanceKey &key, const std::string &socket);
    /// The guest was dealt with: it is no longer listed, and whoever waits for its end goes on.
    void forget(const InstanceKey &key);
    /// What a freeze or thaw just brought about, ahead of the monitor's own event.
    void setFrozen(const InstanceKey &key, bool frozen);
    std::optional<Guest> find(const InstanceKey &key) const;
    std::map<InstanceKey, Guest> all() const;

    /// Blocks until `key` is no longer listed. False when `deadline` passed or `cancelled` turned true first.
    bool waitGone(const InstanceKey &key, std::optional<std::chrono::steady_clock::time_point> deadline,
                  const std::function<bool()> &cancelled = {});
    /// Blocks until the guest says it has booted. False as above, or when it is gone.
    bool waitBooted(const InstanceKey &key, std::chrono::steady_clock::time_point deadline,
                    const std::function<bool()> &cancelled = {});
    /// Wakes everybody who waits, so that they look at `cancelled` again.
    void wakeWaiters();

private:
    struct Followed {
        Guest guest;
        std::unique_ptr<spec::MonitorClient> events;
        Fd monitorPidfd;
        std::uint64_t ticket = 0;
        bool ended = false;
    };
    explicit Running(Listener listener) : m_listener(std::move(listener)) {}
    void loop();
    bool takeEvent(std::uint64_t ticket); ///< False: there was none.
    void monitorGone(std::uint64_t ticket);
    void apply(Followed &followed, const spec::MonitorEvent &event);
    std::map<InstanceKey, Followed>::iterator byTicket(std::uint64_t ticket);

    Listener m_listener;
    mutable std::mutex m_mutex;
    std::condition_variable m_changed;
    std::map<InstanceKey, Followed> m_guests;
    std::uint64_t m_nextTicket = 1;
    Fd m_epoll;
    Fd m_quit;
    std::thread m_thread;
};

} // namespace lxmgr::instances
