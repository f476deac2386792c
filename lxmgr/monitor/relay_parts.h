// The parts of a relay: listeners, connections (stream to stream), sessions (where one side has datagrams).
#pragma once

#include "monitor/relay.h"

#include <array>
#include <optional>
#include <string_view>

namespace lxmgr::monitor
{

struct Relay::Listener : Watched {
    Relay &relay;
    Fd socket;
    sockets::Place target;
    sockets::Address address; ///< Of the target.

    Listener(Relay &owner, Route route, sockets::Address to)
        : relay(owner), socket(std::move(route.listener)), target(std::move(route.target)), address(to)
    {
    }
    void ready(std::uint32_t) override;
};

/// Two streams. Each direction ends by itself: what one side still says after the other fell silent is passed on.
class Relay::Connection : public Guest
{
public:
    Connection(Relay &relay, Listener &listener, Fd client);
    /// To the target. EAGAIN: it is to be tried again in a moment.
    Status connect();
    void onReady();
    void close();
    /// Both ends learn that it was not the other one who ended it.
    void reset();
    const Listener &listener() const { return m_listener; }

    Connections::iterator place;
    Clock::time_point patience; ///< For a target whose queue is full.
    bool queued = false;        ///< In m_again.

private:
    enum class Moved { All, More, Broken };
    struct End : Watched {
        Connection &connection;
        Fd socket;
        std::optional<Pipe> pipe; ///< For what it says.
        std::size_t held = 0;     ///< Bytes in it.
        bool readable = false, writable = false;
        bool finished = false; ///< It says no more,
        bool silent = false;   ///< and the other one knows.

        explicit End(Connection &owner) : connection(owner) {}
        void ready(std::uint32_t events) override;
    };
    Status finishConnect();
    Moved pump();
    Moved move(End &from, End &to);
    Moved drain(End &from, End &to);
    Moved fill(End &from);

    Relay &m_relay;
    Listener &m_listener;
    End m_client, m_server;
    bool m_connected = false;
};

/// One end of a session: a stream, a socket for the datagrams of this session, or a peer of a listener's.
struct Relay::Side : Watched {
    Session &session;
    Fd socket; ///< None of a peer.
    bool stream = false;
    bool connecting = false;
    std::string pending; ///< What a stream had no room for.
    sockaddr_storage peer{};
    socklen_t peerLength = 0;
    std::string local; ///< The cmsg that says which address the peer wrote to.

    explicit Side(Session &owner) : session(owner) {}
    void ready(std::uint32_t events) override;
};

class Relay::Session : public Guest
{
public:
    Session(Relay &relay, Listener &listener);
    Status connect();
    void takeClient(Fd stream);
    void takePeer(const msghdr &message);
    void fromClient(std::string_view data) { deliver(server, data); }
    void onReady(Side &side, std::uint32_t events);
    void close();

    Sessions::iterator place;
    std::string key; ///< In m_byPeer; "" of a stream's.
    Side client, server;
    Clock::time_point used;

private:
    void touch();
    void deliver(Side &to, std::string_view data);
    bool send(Side &to, std::string_view data);
    bool sendStream(Side &to, std::string_view data);
    void sendToPeer(std::string_view data);
    bool flush(Side &side);
    bool receive(Side &side);
    void watch(Side &side, int operation);

    Relay &m_relay;
    Listener &m_listener;
};

} // namespace lxmgr::monitor
