// Relay: what arrives at listeners goes on to a target and the answers come back. One thread, one epoll; streams are moved by
// splice(2), so that their bytes never come here; nothing grows without bound.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "kernel/sockets.h"

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <unordered_map>
#include <vector>

namespace lxmgr::monitor
{

/// A pipe between two sockets. Those that are empty wait in a pool for the next who needs one.
struct Pipe {
    Fd in, out; ///< Written to, read from.
};

class Relay
{
public:
    struct Limits {
        std::size_t connections = 4096; ///< Beyond, they wait in the listener's queue.
        std::size_t sessions = 1024;    ///< Of datagrams; beyond, the one that was silent for longest ends.
        std::chrono::milliseconds silence{60'000}; ///< Then a session ends.
    };
    struct Route {
        Fd listener;
        sockets::Place target;
    };
    struct Plan {
        std::string title; ///< For the log.
        sockets::Place::Kind listen = sockets::Place::Kind::Tcp;
        std::vector<Route> routes;
        bool proxyProtocol = false;
        Limits limits;
    };

    /// `control`: its end of stream ends run().
    static Result<std::unique_ptr<Relay>> create(int control, Plan plan);
    ~Relay();
    Status run();

private:
    /// What an epoll event leads to.
    struct Watched {
        virtual ~Watched() = default;
        virtual void ready(std::uint32_t events) = 0;
    };
    /// What comes and goes: an event of the round in which it ended may still be on its way to it.
    struct Guest {
        virtual ~Guest() = default;
        bool ended = false;
    };
    struct Listener;
    class Connection;
    struct Side;
    class Session;
    using Clock = std::chrono::steady_clock;
    using Connections = std::list<std::unique_ptr<Connection>>;
    using Sessions = std::list<std::unique_ptr<Session>>;

    explicit Relay(Plan plan);

    void watch(int fd, Watched *watched, std::uint32_t events, int operation);
    int timeout() const;
    void work();
    void acceptFrom(Listener &listener);
    void startConnection(Listener &listener, Fd client);
    void startSession(Listener &listener, Fd client);
    void receiveFrom(Listener &listener);
    Session *sessionOf(Listener &listener, const msghdr &message);
    void add(std::unique_ptr<Session> session);
    void expire();
    void tryWaiting();
    void pauseListeners(bool pause);
    void end(Connection &connection);
    void end(Session &session);
    /// Said once, until one succeeds.
    void connectFailed(const Listener &listener, const Error &error);
    Result<Pipe> takePipe();
    void givePipe(Pipe pipe);

    Plan m_plan;
    Fd m_epoll;
    std::vector<std::unique_ptr<Listener>> m_listeners;
    Connections m_connections;
    Sessions m_sessions; ///< The one that was silent for longest first.
    std::unordered_map<std::string, Session *> m_byPeer;
    std::vector<std::unique_ptr<Guest>> m_dead;
    std::vector<Connection *> m_again; ///< Have more to move.
    std::list<Connection *> m_waiting; ///< For room in the queue of a unix listener.
    std::vector<Pipe> m_pipes;
    std::vector<char> m_buffer; ///< One datagram.
    Clock::time_point m_resumeAt{};
    bool m_paused = false;
    bool m_failing = false;
};

} // namespace lxmgr::monitor
