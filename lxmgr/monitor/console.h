// The guest's console: everything it prints goes to a ring buffer, and to whoever is attached. Never blocks the guest.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "monitor/loop.h"

#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <string_view>

namespace lxmgr::monitor
{

/// The last `capacity` bytes of a stream. Memory is used as it fills.
class Ring
{
public:
    explicit Ring(std::size_t capacity);
    ~Ring();
    Ring(const Ring &) = delete;
    Ring &operator=(const Ring &) = delete;

    void append(std::string_view text);
    /// Position in the stream of the next byte to come, and of the oldest kept.
    std::uint64_t end() const { return m_end; }
    std::uint64_t begin() const { return m_begin; }
    /// A part that lies in one piece, starting at `position`; empty at the end.
    std::string_view at(std::uint64_t position) const;
    std::string all() const;
    void clear() { m_begin = m_end; }

private:
    char *m_data;
    std::size_t m_capacity;
    std::uint64_t m_begin = 0, m_end = 0;
};

class Console
{
public:
    /// `onPrompt` is called when something that asks for a login is printed: the guest is up, whatever its init.
    Console(uv_loop_t &loop, std::size_t capacity, std::function<void()> onPrompt);

    /// The pty of this boot. The ring and those attached stay.
    Status open(Fd master);
    /// Takes what the guest printed last, and lets go of its pty.
    void close();

    /// One end of a stream, to be given to a client.
    Result<Fd> attach();
    Status resize(unsigned width, unsigned height);
    std::string log() const { return m_ring.all(); }
    void clearLog() { m_ring.clear(); }

private:
    struct Client {
        Fd socket;
        Poll poll;
        std::uint64_t position = 0; ///< In the stream: what is next to be sent.
        std::string typed;          ///< Read from the client, not yet taken by the guest.
        bool gone = false;
    };

    void onMaster(int events);
    /// False when there is nothing more for now.
    bool readMaster();
    void reopenTerminal();
    void lookForPrompt(std::string_view text);
    void onClient(Client &client, int events);
    void readTyped(Client &client);
    void typeIn(Client &client);
    void feed(Client &client);
    void feedAll();
    void watch();

    uv_loop_t &m_loop;
    Ring m_ring;
    std::function<void()> m_onPrompt;
    std::string m_tail; ///< The end of what was printed last: a prompt may come in two pieces.
    Fd m_master;
    Fd m_terminal; ///< The guest's end, held open so that reading goes on when no process inside has it.
    Poll m_poll;
    std::list<Client> m_clients;
    unsigned m_hangups = 0; ///< In a row, without a byte between them.
};

} // namespace lxmgr::monitor
