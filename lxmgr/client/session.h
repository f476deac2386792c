// The streams of an exec or console between local descriptors and the daemon's websockets, in one poll(2) loop.
#pragma once

#include "api/operations.h"
#include "client/client.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::client
{

/// Pressing `prefix` then `detach` leaves a console; `prefix` twice sends it once.
struct DetachKeys {
    char prefix = '\x01'; // <ctrl>+a
    char detach = 'q';
};

struct StreamPlan {
    std::string operation; ///< URL
    std::string control;   ///< secret, empty for none
    struct Stream {
        std::string secret;
        int in = -1;  ///< read here and sent
        int out = -1; ///< received and written here
    };
    std::vector<Stream> streams;
    std::optional<DetachKeys> detach;
    /// Readable: a signal arrived; `onSignal` says what to send on the control stream.
    int signalFd = -1;
    std::function<std::string()> onSignal;
};

struct StreamEnd {
    bool detached = false;
    api::Operation operation; ///< Final unless detached.
};

/// {"0":…,"1":…,"control":…} of an operation's metadata.fds.
std::string secretOf(const api::Operation &operation, std::string_view name);

/// Carries bytes until the operation has ended and everything it printed is written.
/// Unavailable when the daemon goes away; the command in the guest may run on.
Result<StreamEnd> runStreams(Client &client, const StreamPlan &plan);

/// Control messages as the wire has them.
std::string resizeMessage(int width, int height);
std::string signalMessage(int signal);

/// Takes the detach keys out of what was typed.
class DetachFilter
{
public:
    explicit DetachFilter(DetachKeys keys) : m_keys(keys) {}
    /// What is to be sent; `detached` once the keys were seen.
    std::string pass(std::string_view typed);
    bool detached() const { return m_detached; }

private:
    DetachKeys m_keys;
    bool m_prefix = false;
    bool m_detached = false;
};

} // namespace lxmgr::client
