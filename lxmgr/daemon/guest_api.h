// The guest API: what a guest may ask of its own instance, over a socket of its own at /dev/lxd/sock and /dev/incus/sock.
//
// Who asks is known by the socket the request came through, which only this guest has in its mounts; nothing that it says counts.
// One thread serves all guests: what they ask is answered from the database at once, and is bounded in every way.
#pragma once

#include "base/fd.h"
#include "instances/manager.h"

#include <map>
#include <memory>
#include <mutex>
#include <thread>

namespace lxmgr::daemon
{

class GuestApi
{
public:
    static Result<std::unique_ptr<GuestApi>> create(instances::Manager &manager, const Paths &paths);
    ~GuestApi();
    GuestApi(const GuestApi &) = delete;
    GuestApi &operator=(const GuestApi &) = delete;

    /// The guest begins, was there before us, has ended, or its keys or devices changed: listens or no longer, and tells what
    /// changed to whoever listens inside. Any thread.
    void serve(const instances::InstanceKey &key);

private:
    struct Guest;
    struct Connection;
    void forget(const instances::InstanceKey &key);
    GuestApi(instances::Manager &manager, const Paths &paths);

    // With m_mutex held:
    Status listen(Guest &guest);
    void hush(Guest &guest);
    void tellChanges(Guest &guest, const config::Expanded &now);
    void publish(Guest &guest, const char *type, const std::string &text);
    void accept(Guest &guest);
    void happened(Connection &connection, std::uint32_t events);
    void feed(Connection &connection);
    void flush(Connection &connection);
    void answer(Connection &connection);
    void close(std::uint64_t id);
    void dropExpired();
    int untilDeadline() const;
    Status watch(int fd, std::uint64_t id);
    void want(int fd, std::uint64_t id, std::uint32_t events);
    void loop();

    instances::Manager &m_manager;
    const Paths &m_paths;
    Fd m_epoll, m_quit;
    std::mutex m_mutex;
    std::map<std::uint64_t, std::unique_ptr<Guest>> m_guests;           ///< By the number of their listening socket.
    std::map<std::uint64_t, std::unique_ptr<Connection>> m_connections; ///< By their own.
    std::uint64_t m_next = 1;
    std::thread m_thread;
};

} // namespace lxmgr::daemon
