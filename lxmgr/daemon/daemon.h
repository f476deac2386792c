// Daemon: all services put together, from opening the database to the last reply.
#pragma once

#include "base/paths.h"
#include "base/result.h"

#include <memory>
#include <string>

namespace lxmgr::daemon
{

struct DaemonOptions {
    Paths paths;
    std::string group;    ///< May use the socket beside root; "" for root alone.
    bool defaults = true; ///< Make the default pool, network and profile devices where there are none.
};

class Daemon
{
public:
    /// Locks the state folder, opens what is in it, adopts what runs, and listens. AlreadyExists: another daemon has it.
    static Result<std::unique_ptr<Daemon>> create(const DaemonOptions &options);
    ~Daemon();
    Daemon(const Daemon &) = delete;
    Daemon &operator=(const Daemon &) = delete;

    /// Stops guests first (SIGPWR) or leaves them running (SIGTERM), then ends the event loop. The event loop's thread.
    void quit(bool stopGuests);

private:
    class Impl;
    explicit Daemon(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> m_impl;
};

} // namespace lxmgr::daemon
