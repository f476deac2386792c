// Control: the socket over which the program that started us says what to do, and hears what came of it.
#pragma once

#include "api/tunnel.h"
#include "base/fd.h"
#include "base/result.h"

#include <vector>

namespace lxmgr::tunnel
{

struct Order {
    api::TunnelRequest request;
    std::vector<Fd> fds;
};

class Control
{
public:
    /// `fd` is a connected SOCK_SEQPACKET socket.
    explicit Control(Fd fd) : m_fd(std::move(fd)) {}

    int fd() const { return m_fd.get(); }
    /// The next packet. Unavailable: nobody is there any more.
    Result<Order> receive();
    void reply(const api::TunnelReply &reply, int fd = -1);
    void fail(const Error &error);

private:
    Fd m_fd;
};

} // namespace lxmgr::tunnel
