// The two streams on which an instance goes from one daemon to another, "control" and "fs": websockets between the hosts, plain
// sockets for who works with them. One daemon, or a client that stands between two, connects to what the other offers.
#pragma once

#include "daemon/context.h"
#include "instances/migration.h"

#include <functional>
#include <memory>

namespace lxmgr::daemon
{

/// Blocking, on a pool thread; its result ends the operation.
using StreamWork = std::function<Status(Task &task, const instances::MigrationChannel &channel)>;

/// An operation of class websocket: once somebody has shown both of its secrets, `work` is done.
std::shared_ptr<Task> offerStreams(Context &context, TaskOptions options, StreamWork work);

/// What another daemon offers.
struct FarStreams {
    std::string url;         ///< Of its operation: https://host:port/1.0/operations/<id>
    std::string certificate; ///< PEM, exactly this one is believed; empty: what certification authorities vouch for.
    StringMap secrets;
};
/// Invalid: the URL or a secret is not as it must be.
Status checkFarStreams(const FarStreams &far);
/// Connects to them, does `work`, and takes care that all that was written reaches the other side. Unavailable: not reached;
/// Forbidden: another certificate, or the wrong secret.
Status withFarStreams(const FarStreams &far, Task &task, const StreamWork &work);

} // namespace lxmgr::daemon
