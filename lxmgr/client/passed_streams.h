// The streams of a command on this host as pipes that go to the daemon with the request: its bytes do not go through the daemon.
//
// The guest gets pipes of ours and nothing else: never a terminal, file or pipe that the caller has. So what it starts in the
// background holds up nobody who reads from us, and reads nothing that was meant for the caller's next command.
#pragma once

#include "api/operations.h"
#include "client/client.h"
#include "client/relay.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace lxmgr::client
{

class PassedStreams
{
public:
    /// `in` of -1: the command finds its input at its end.
    static Result<PassedStreams> make(int in, int out, int err);

    /// What goes with the request: standard input, output, error, and a SOCK_SEQPACKET socket for control messages, whose hang-up
    /// kills the command.
    std::vector<int> descriptors() const;

    struct Signals {
        int fd = -1; ///< Readable: one has come; `next` is the control message for it.
        std::function<std::string()> next;
    };
    /// After the request was answered: carries bytes until the operation has ended and everything it printed is written.
    /// Unavailable when the daemon goes away; the command in the guest may run on.
    Result<api::Operation> run(Client &client, const std::string &operation, const Signals &signals);

private:
    PassedStreams() = default;
    void handedOver();
    void closeEnded();

    struct Stream {
        LocalPipe pipe;
        std::optional<Relay> relay; ///< nullopt: nothing to carry, or all of it is.
    };
    Stream m_in, m_out, m_err;
    Fd m_control, m_farControl;
};

} // namespace lxmgr::client
