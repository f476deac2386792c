#include "kernel/netlink_message.h"

#include "kernel/sys.h"

#include <cstdlib>
#include <sched.h>
#include <sys/socket.h>

namespace lxmgr::netlink
{

Message::Message(std::uint16_t type, std::uint16_t flags)
{
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = flags;
    appendStruct(header);
}

void Message::append(const void *data, std::size_t size)
{
    m_bytes.append(static_cast<const char *>(data), size);
    m_bytes.resize(NLMSG_ALIGN(m_bytes.size()));
}

void Message::put(std::uint16_t attribute, const void *data, std::size_t size)
{
    const nlattr head{static_cast<std::uint16_t>(NLA_HDRLEN + size), attribute};
    append(&head, sizeof head);
    append(data, size);
}

void Message::putString(std::uint16_t attribute, std::string_view text)
{
    const std::string closed(text);
    put(attribute, closed.c_str(), closed.size() + 1);
}

std::size_t Message::begin(std::uint16_t attribute)
{
    const std::size_t start = m_bytes.size();
    put(attribute | NLA_F_NESTED, nullptr, 0);
    return start;
}

void Message::end(std::size_t start)
{
    const auto length = static_cast<std::uint16_t>(m_bytes.size() - start);
    std::memcpy(m_bytes.data() + start + offsetof(nlattr, nla_len), &length, sizeof length);
}

std::string Message::finished(std::uint32_t sequence) const
{
    std::string bytes = m_bytes;
    const auto length = static_cast<std::uint32_t>(bytes.size());
    std::memcpy(bytes.data() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
    std::memcpy(bytes.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
    return bytes;
}

namespace
{

Result<Fd> openSocket(int protocol)
{
    Fd fd = TRY(sys::callFd("socket", "netlink",
                            [&] { return ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol); }));
    const int on = 1;
    // The refused request need not come back with its errno; the kernel's own words (NLMSGERR_ATTR_MSG) should.
    (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    // A dump can be filtered by interface only under strict checking (Linux 4.20).
    (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
    return fd;
}

/// A socket stays in the namespace it was made in, so the thread has to be there for one call only.
Result<Fd> openSocketIn(int netns, int protocol)
{
    const Fd home = TRY(sys::open("/proc/thread-self/ns/net", O_RDONLY));
    TRY(sys::call("setns", "network namespace", [&] { return ::setns(netns, CLONE_NEWNET); }));
    Result<Fd> fd = openSocket(protocol);
    if (::setns(home.get(), CLONE_NEWNET) != 0)
        ::abort(); // Going on would make and delete links in a guest's namespace.
    return fd;
}

std::string kernelWords(const nlmsghdr &header)
{
    if (!(header.nlmsg_flags & NLM_F_ACK_TLVS))
        return {};
    return Attributes<NLMSGERR_ATTR_MAX>(header, sizeof(nlmsgerr)).text(NLMSGERR_ATTR_MSG);
}

Status answerStatus(const nlmsghdr &header, const std::string &what)
{
    const auto *answer = static_cast<const nlmsgerr *>(NLMSG_DATA(&header));
    if (header.nlmsg_len < NLMSG_LENGTH(sizeof(int)) || answer->error == 0)
        return {};
    Error error = Error::fromErrno(-answer->error, what);
    const std::string words = kernelWords(header);
    return words.empty() ? std::move(error) : std::move(error).hint(words);
}

} // namespace

Result<Socket> Socket::open(int netns, int protocol)
{
    return Socket(TRY(netns < 0 ? openSocket(protocol) : openSocketIn(netns, protocol)));
}

Status Socket::send(const Message &message, const std::string &what)
{
    const std::string bytes = message.finished(++m_sequence);
    TRY(sys::call("send", what, [&] { return ::send(m_fd.get(), bytes.data(), bytes.size(), 0); }));
    return {};
}

Result<std::size_t> Socket::receive(const std::string &what)
{
    m_buffer.resize(64 * 1024); // The kernel fills at most 32 KiB a datagram; a longer one would be cut.
    return static_cast<std::size_t>(
        TRY(sys::call("recv", what, [&] { return ::recv(m_fd.get(), m_buffer.data(), m_buffer.size(), 0); })));
}

Status Socket::request(const Message &message, const std::string &what)
{
    TRY(send(message, what));
    for (;;) {
        int left = static_cast<int>(TRY(receive(what)));
        for (auto *header = reinterpret_cast<nlmsghdr *>(m_buffer.data()); NLMSG_OK(header, left);
             header = NLMSG_NEXT(header, left))
            if (header->nlmsg_seq == m_sequence && header->nlmsg_type == NLMSG_ERROR)
                return answerStatus(*header, what);
    }
}

Status Socket::dump(const Message &message, const std::string &what, const std::function<void(const nlmsghdr &)> &row,
                    const std::function<void()> &restart)
{
    TRY(send(message, what));
    bool changed = false;
    for (;;) {
        int left = static_cast<int>(TRY(receive(what)));
        for (auto *header = reinterpret_cast<nlmsghdr *>(m_buffer.data()); NLMSG_OK(header, left);
             header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_seq != m_sequence)
                continue;
            changed = changed || (header->nlmsg_flags & NLM_F_DUMP_INTR);
            if (header->nlmsg_type == NLMSG_ERROR)
                return answerStatus(*header, what);
            if (header->nlmsg_type == NLMSG_DONE && changed) {
                restart();
                return dump(message, what, row, restart);
            }
            if (header->nlmsg_type == NLMSG_DONE)
                return {};
            row(*header);
        }
    }
}

} // namespace lxmgr::netlink
