// The proxies of one guest: what they listen on is held here, so that neither a reboot nor the death of what forwards loses
// a connection that waits; each has a process of its own that forwards (mode "proxy").
#pragma once

#include "kernel/process.h"
#include "monitor/loop.h"
#include "runtime/listeners.h"
#include "spec/channel.h"
#include "spec/launch.h"

#include <list>
#include <memory>
#include <sys/types.h>
#include <vector>

namespace lxmgr::monitor
{

class Proxies
{
public:
    /// Both are the monitor's, and as they are when something is done.
    Proxies(uv_loop_t &loop, const spec::LaunchSpec &spec, const runtime::Guest &guest) : m_loop(loop), m_spec(spec), m_guest(guest) {}

    /// Before the guest is born: all are known, and those on the host listen. After an error none is.
    Status open(const std::vector<spec::Proxy> &proxies);
    /// Once it is: those inside listen, and all forward. What fails of a guest that boots again is logged, not an error.
    Status begin(bool first);
    /// The guest says that it is up: a socket file that it mounted something over, or cleaned away, is made again.
    void onBooted();
    /// The guest is gone, its init reaped; those on the host go on listening for the next boot.
    void onGuestEnded();
    void closeAll();
    /// Of a running guest; after an error it has those it had.
    Status change(const std::vector<spec::Proxy> &close, const std::vector<spec::Proxy> &open);
    /// Whether the child that ended was one of these; it is started again.
    bool reap(pid_t pid, int status);

private:
    struct Item {
        spec::Proxy proxy;
        runtime::Listeners listeners;
        process::Child child;
        spec::Channel channel; ///< Its end ends the child.
        std::int64_t startedAt = 0;
        Ticker again;
    };
    using Items = std::list<std::unique_ptr<Item>>;

    Status listen(Item &item);
    Status forward(Item &item);
    Status serve(Item &item);
    void stop(Item &item);
    void close(Item &item);
    void restart(Item &item);
    Status add(const spec::Proxy &proxy);
    void remove(const spec::Proxy &proxy);

    uv_loop_t &m_loop;
    const spec::LaunchSpec &m_spec;
    const runtime::Guest &m_guest;
    Items m_items;
};

} // namespace lxmgr::monitor
