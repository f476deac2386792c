#include "client/passed_streams.h"

#include "api/operations.h"
#include "base/packet.h"

#include <cerrno>
#include <poll.h>
#include <sys/socket.h>

namespace lxmgr::client
{

Result<PassedStreams> PassedStreams::make(int in, int out, int err)
{
    PassedStreams streams;
    streams.m_in.pipe = TRY(LocalPipe::make(LocalPipe::Near::Writes));
    streams.m_out.pipe = TRY(LocalPipe::make(LocalPipe::Near::Reads));
    streams.m_err.pipe = TRY(LocalPipe::make(LocalPipe::Near::Reads));
    if (in >= 0)
        streams.m_in.relay.emplace(in, streams.m_in.pipe.near.get());
    streams.m_out.relay.emplace(streams.m_out.pipe.near.get(), out);
    streams.m_err.relay.emplace(streams.m_err.pipe.near.get(), err);
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return Error::fromErrno(errno, "socketpair");
    streams.m_control = Fd(ends[0]);
    streams.m_farControl = Fd(ends[1]);
    return streams;
}

std::vector<int> PassedStreams::descriptors() const
{
    return {m_in.pipe.far.get(), m_out.pipe.far.get(), m_err.pipe.far.get(), m_farControl.get()};
}

/// Ours of what the daemon has now: a pipe ends when the last one who holds it lets go.
void PassedStreams::handedOver()
{
    m_farControl.reset();
    for (Stream *stream : {&m_in, &m_out, &m_err})
        stream->pipe.far.reset();
    closeEnded();
}

/// The command is to see that its input has ended, or that nobody reads what it prints.
void PassedStreams::closeEnded()
{
    for (Stream *stream : {&m_in, &m_out, &m_err}) {
        if (stream->relay && !stream->relay->ended())
            continue;
        stream->relay.reset();
        stream->pipe.near.reset();
    }
}

Result<api::Operation> PassedStreams::run(Client &client, const std::string &operation, const Signals &signals)
{
    const WithoutSigpipe quiet; // a command that reads no more, or a reader of ours that has gone: the command's status is what counts
    handedOver();
    Connection waiting = TRY(client.beginWait(operation));
    const auto wanted = [](const Stream &stream) { return stream.relay ? stream.relay->wanted() : pollfd{-1, 0, 0}; };
    for (;;) {
        pollfd polls[] = {{waiting.fd().get(), POLLIN, 0}, {signals.fd, POLLIN, 0}, wanted(m_in), wanted(m_out), wanted(m_err)};
        if (::poll(polls, std::size(polls), -1) < 0) {
            if (errno == EINTR)
                continue;
            return Error::fromErrno(errno, "poll");
        }
        if (polls[1].revents != 0)
            if (const std::string message = signals.next(); !message.empty())
                (void)sendPacket(m_control, message); // a command that has just ended takes none
        Stream *streams[] = {&m_in, &m_out, &m_err};
        for (std::size_t i = 0; i < std::size(streams); ++i) {
            const Status served = streams[i]->relay ? streams[i]->relay->serve(polls[2 + i].revents) : Status();
            if (!served && streams[i] != &m_in)
                return served.error();
            if (!served)
                m_in.relay.reset(); // a folder, a terminal that has hung up: what cannot be read has ended
        }
        closeEnded();
        if (polls[0].revents == 0)
            continue;
        api::Operation ended = TRY(Client::endWait(waiting));
        // What a process in the background still prints is not the command's.
        for (Stream *stream : {&m_out, &m_err})
            if (stream->relay)
                TRY(stream->relay->drain());
        return ended;
    }
}

} // namespace lxmgr::client
