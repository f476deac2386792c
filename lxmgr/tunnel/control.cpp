#include "tunnel/control.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <sys/socket.h>

namespace lxmgr::tunnel
{

namespace
{
constexpr std::size_t kLongestPacket = 128 << 10;
constexpr std::size_t kMostFds = 8;
} // namespace

Result<Order> Control::receive()
{
    std::string text(kLongestPacket, '\0');
    iovec piece{text.data(), text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))];
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t count = ::recvmsg(m_fd.get(), &message, MSG_CMSG_CLOEXEC);
    if (count <= 0)
        return Error(Code::Unavailable, "the program that started lxmgr-tunnel has ended");
    Order order;
    for (cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part))
        for (std::size_t at = 0; part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS && CMSG_LEN(at + sizeof(int)) <= part->cmsg_len;
             at += sizeof(int)) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + at, sizeof fd);
            order.fds.emplace_back(fd);
        }
    text.resize(static_cast<std::size_t>(count));
    order.request = TRY(api::fromJson<api::TunnelRequest>(text));
    return order;
}

void Control::reply(const api::TunnelReply &reply, int fd)
{
    std::string text = api::toJson(reply);
    iovec piece{text.data(), text.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr *const part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(part), &fd, sizeof fd);
    }
    while (::sendmsg(m_fd.get(), &message, MSG_NOSIGNAL) < 0 && errno == EINTR) // any other failure shows at the next receive()
        continue;
}

void Control::fail(const Error &error) { reply({error.message, std::string(codeInfo(error.code).name), {}, {}, {}}); }

} // namespace lxmgr::tunnel
