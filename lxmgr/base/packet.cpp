#include "base/packet.h"

#include <cerrno>
#include <cstring>

namespace lxmgr
{

namespace
{
constexpr std::size_t kLongest = 128 << 10;
}

void takeDescriptors(const msghdr &message, std::vector<Fd> &fds)
{
    for (cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(const_cast<msghdr *>(&message), part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            fds.emplace_back(fd);
        }
    }
}

Status sendPacket(const Fd &socket, std::string_view text, const std::vector<int> &fds)
{
    if (text.size() > kLongest || fds.size() > kMostPacketFds)
        return Error(Code::Invalid, "the packet is too long");
    iovec piece{const_cast<char *>(text.data()), text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(kMostPacketFds * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
        cmsghdr *const part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
        std::memcpy(CMSG_DATA(part), fds.data(), fds.size() * sizeof(int));
    }
    ssize_t sent = -1;
    do
        sent = ::sendmsg(socket.get(), &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return Error::fromErrno(errno, "sendmsg").as(Code::Unavailable);
    return {};
}

Result<TextPacket> receivePacket(const Fd &socket)
{
    TextPacket packet;
    packet.text.resize(kLongest);
    iovec piece{packet.text.data(), packet.text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(kMostPacketFds * sizeof(int))];
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t count = -1;
    do
        count = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return Error::fromErrno(errno, "recvmsg").as(Code::Unavailable);
    takeDescriptors(message, packet.fds);
    if (count == 0)
        return Error(Code::Unavailable, "the other end has gone");
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return Error(Code::Corrupt, "a packet was cut off");
    packet.text.resize(static_cast<std::size_t>(count));
    return packet;
}

} // namespace lxmgr
