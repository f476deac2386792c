#include "spec/channel.h"

#include "base/packet.h"
#include "base/text.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace lxmgr::spec
{

namespace
{

constexpr std::uint32_t kMagic = 0x314d584c; // "LXM1": the protocol's version is in it
constexpr std::uint32_t kInMemory = 1;       // the body is in the first descriptor, a memfd
constexpr std::size_t kMaxInline = 32U << 10;

struct Header {
    std::uint32_t magic = kMagic;
    std::uint32_t type = 0;
    std::uint32_t length = 0;
    std::uint32_t flags = 0;
};

/// A path longer than sun_path is reached through the descriptor of its folder.
Result<Fd> fillAddress(const std::string &path, sockaddr_un &address)
{
    address = {};
    address.sun_family = AF_UNIX;
    std::string text = path;
    Fd folder;
    if (path.size() >= sizeof address.sun_path) {
        const std::size_t slash = path.rfind('/');
        folder = Fd(::open(path.substr(0, slash + 1).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!folder)
            return Error::fromErrno(errno, "open", path.substr(0, slash));
        text = "/proc/self/fd/" + std::to_string(folder.get()) + path.substr(slash);
        if (text.size() >= sizeof address.sun_path)
            return Error(Code::Invalid, "the socket's name " + quoted(path) + " is too long");
    }
    std::memcpy(address.sun_path, text.data(), text.size());
    return folder;
}

Result<Fd> packetSocket()
{
    Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (!socket)
        return Error::fromErrno(errno, "socket");
    return socket;
}

Result<Fd> bodyInMemory(std::string_view body)
{
    Fd memory(::memfd_create("lxmgr-message", MFD_CLOEXEC));
    if (!memory)
        return Error::fromErrno(errno, "memfd_create");
    for (std::size_t done = 0; done < body.size();) {
        const ssize_t length = ::write(memory.get(), body.data() + done, body.size() - done);
        if (length < 0 && errno != EINTR)
            return Error::fromErrno(errno, "write", "message");
        done += length > 0 ? static_cast<std::size_t>(length) : 0;
    }
    return memory;
}

Result<std::string> bodyFromMemory(const Fd &memory, std::size_t size)
{
    std::string body(size, '\0');
    for (std::size_t done = 0; done < size;) {
        const ssize_t length = ::pread(memory.get(), body.data() + done, size - done, static_cast<off_t>(done));
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return Error(Code::Corrupt, "a message is shorter than it says");
        done += static_cast<std::size_t>(length);
    }
    return body;
}

} // namespace

Result<std::pair<Channel, Channel>> Channel::pair()
{
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return Error::fromErrno(errno, "socketpair");
    return std::pair<Channel, Channel>(Channel(Fd(ends[0])), Channel(Fd(ends[1])));
}

Result<Channel> Channel::connect(const std::string &path)
{
    sockaddr_un address{};
    const Fd folder = TRY(fillAddress(path, address));
    Fd socket = TRY(packetSocket());
    int result;
    do
        result = ::connect(socket.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address);
    while (result != 0 && errno == EINTR);
    if (result != 0)
        return Error::fromErrno(errno, "connect", path).as(Code::Unavailable);
    return Channel(std::move(socket));
}

Result<Fd> Channel::listen(const std::string &path)
{
    sockaddr_un address{};
    const Fd folder = TRY(fillAddress(path, address));
    Fd socket = TRY(packetSocket());
    if (::unlink(address.sun_path) != 0 && errno != ENOENT)
        return Error::fromErrno(errno, "unlink", path);
    // The mode of the inode comes from the socket's own: nobody can connect between bind and chmod.
    if (::fchmod(socket.get(), 0600) != 0)
        return Error::fromErrno(errno, "fchmod", path);
    if (::bind(socket.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0)
        return Error::fromErrno(errno, "bind", path);
    if (::listen(socket.get(), 64) != 0)
        return Error::fromErrno(errno, "listen", path);
    return socket;
}

Status Channel::awaitReady(short events) const
{
    using namespace std::chrono;
    if (!m_deadline)
        return {};
    for (;;) {
        const auto left = ceil<milliseconds>(*m_deadline - steady_clock::now()).count();
        pollfd poller{m_socket.get(), events, 0};
        const int ready = ::poll(&poller, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX)));
        if (ready > 0)
            return {};
        if (ready == 0)
            return Error(Code::Timeout, "the other end does not answer", ETIMEDOUT);
        if (errno != EINTR)
            return Error::fromErrno(errno, "poll");
    }
}

Status Channel::send(MessageType type, std::string_view body, const std::vector<int> &fds)
{
    if (body.size() > kMaxBody || fds.size() > kMaxFds)
        return Error(Code::Invalid, "the message is too long");
    Header header;
    header.type = static_cast<std::uint32_t>(type);
    header.length = static_cast<std::uint32_t>(body.size());
    std::vector<int> all = fds;
    Fd memory;
    if (body.size() > kMaxInline) {
        memory = TRY(bodyInMemory(body));
        header.flags = kInMemory;
        all.insert(all.begin(), memory.get());
        body = {};
    }

    iovec parts[2] = {
        {&header,                         sizeof header},
        {const_cast<char *>(body.data()), body.size()  }
    };
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * (kMaxFds + 1))] = {};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = body.empty() ? 1 : 2;
    if (!all.empty()) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * all.size());
        cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * all.size());
        std::memcpy(CMSG_DATA(head), all.data(), sizeof(int) * all.size());
    }
    TRY(awaitReady(POLLOUT));
    ssize_t sent;
    do
        sent = ::sendmsg(m_socket.get(), &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return Error::fromErrno(errno, "sendmsg", messageName(type)).as(Code::Unavailable);
    return {};
}

Result<std::optional<Packet>> Channel::receive()
{
    Header header;
    TRY(awaitReady(POLLIN));
    // The size first, so that an idle monitor keeps no large buffer.
    // ECONNRESET comes once, when the peer went without reading all of ours; what it said before is still in the queue.
    ssize_t length;
    do
        length = ::recv(m_socket.get(), &header, sizeof header, MSG_PEEK | MSG_TRUNC);
    while (length < 0 && (errno == EINTR || errno == ECONNRESET));
    if (length == 0)
        return std::optional<Packet>();
    if (length < 0)
        return Error::fromErrno(errno, "recv").as(Code::Unavailable);
    if (static_cast<std::size_t>(length) < sizeof header || header.magic != kMagic)
        return Error(Code::Corrupt, "not a message of this protocol");

    std::optional<Packet> packet(std::in_place);
    packet->body.resize(static_cast<std::size_t>(length) - sizeof header);
    iovec parts[2] = {
        {&header,             sizeof header      },
        {packet->body.data(), packet->body.size()}
    };
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * (kMaxFds + 1))] = {};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    do
        length = ::recvmsg(m_socket.get(), &message, MSG_CMSG_CLOEXEC);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return Error::fromErrno(errno, "recvmsg").as(Code::Unavailable);
    takeDescriptors(message, packet->fds);
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return Error(Code::Corrupt, "a message was cut off");
    packet->type = static_cast<MessageType>(header.type);
    if (!(header.flags & kInMemory))
        return packet;
    if (packet->fds.empty() || header.length > kMaxBody)
        return Error(Code::Corrupt, "a message has lost its body");
    packet->body = TRY(bodyFromMemory(packet->fds.front(), header.length));
    packet->fds.erase(packet->fds.begin());
    return packet;
}

} // namespace lxmgr::spec
