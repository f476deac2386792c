// The little of netlink(7) that netlink.cpp needs: build one request, send it, read the answer. libnl-route would do the
// same for 300 kB of resident memory in every monitor, half of what one may use (measured: Pss 149 kB without, 448 kB with).
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <cstring>
#include <functional>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string>
#include <string_view>

namespace lxmgr::netlink
{

/// One request under construction: header, the family's fixed part, attributes (nested ones by begin and end).
class Message
{
public:
    template <class Fixed> Message(std::uint16_t type, std::uint16_t flags, const Fixed &fixed) : Message(type, flags)
    {
        appendStruct(fixed);
    }

    template <class T> void appendStruct(const T &value) { append(&value, sizeof value); }
    void put(std::uint16_t attribute, const void *data, std::size_t size);
    void putString(std::uint16_t attribute, std::string_view text); ///< With the closing NUL.
    void putU32(std::uint16_t attribute, std::uint32_t value) { put(attribute, &value, sizeof value); }
    void putBytes(std::uint16_t attribute, std::string_view bytes) { put(attribute, bytes.data(), bytes.size()); }

    /// Where the nested attribute starts; hand it to end().
    [[nodiscard]] std::size_t begin(std::uint16_t attribute);
    void end(std::size_t start);

    /// The whole message with its length filled in.
    std::string finished(std::uint32_t sequence) const;

private:
    Message(std::uint16_t type, std::uint16_t flags);
    void append(const void *data, std::size_t size);

    std::string m_bytes;
};

/// "aa:bb:…" → six bytes.
std::string macBytes(const std::string &mac);
/// Of a link of the calling thread's namespace. NotFound.
Result<int> indexOf(const std::string &name);

/// A netlink socket of one network namespace.
class Socket
{
public:
    /// `netns` -1: of the calling thread's. Else an fd of the namespace, or a pidfd of a process in it.
    static Result<Socket> open(int netns = -1, int protocol = NETLINK_ROUTE);

    /// Sends and waits for the acknowledgement. `what` names the request and its object in the Error ("create link 'x'").
    Status request(const Message &message, const std::string &what);
    /// Sends and hands each answer to `row`; EINTR-marked dumps (the table changed meanwhile) are run again.
    Status dump(const Message &message, const std::string &what, const std::function<void(const nlmsghdr &)> &row,
                const std::function<void()> &restart);

private:
    explicit Socket(Fd fd) : m_fd(std::move(fd)) {}
    Status send(const Message &message, const std::string &what);
    Result<std::size_t> receive(const std::string &what);

    Fd m_fd;
    std::uint32_t m_sequence = 0;
    std::string m_buffer;
};

/// The attributes of an answer after its fixed part of `fixedSize` bytes, by type; a type above `Most` is passed over.
template <std::size_t Most> class Attributes
{
public:
    Attributes(const nlmsghdr &header, std::size_t fixedSize)
        : Attributes(reinterpret_cast<const char *>(&header) + NLMSG_HDRLEN + NLMSG_ALIGN(fixedSize),
                     header.nlmsg_len - std::min<std::size_t>(header.nlmsg_len, NLMSG_HDRLEN + NLMSG_ALIGN(fixedSize)))
    {
    }
    explicit Attributes(std::string_view nested) : Attributes(nested.data(), nested.size()) {}

    bool has(std::uint16_t type) const { return m_found[type].data() != nullptr; }
    std::string_view bytes(std::uint16_t type) const { return m_found[type]; }
    /// Up to the first NUL.
    std::string text(std::uint16_t type) const
    {
        return std::string(m_found[type].substr(0, m_found[type].find('\0')));
    }
    template <class T> T number(std::uint16_t type) const
    {
        T value{};
        if (m_found[type].size() >= sizeof value)
            std::memcpy(&value, m_found[type].data(), sizeof value);
        return value;
    }

private:
    Attributes(const char *data, std::size_t size)
    {
        while (size >= sizeof(nlattr)) {
            nlattr head;
            std::memcpy(&head, data, sizeof head);
            if (head.nla_len < sizeof head || head.nla_len > size)
                return;
            const std::uint16_t type = head.nla_type & NLA_TYPE_MASK;
            if (type <= Most)
                m_found[type] = {data + NLA_HDRLEN, static_cast<std::size_t>(head.nla_len - NLA_HDRLEN)};
            const std::size_t step = NLA_ALIGN(head.nla_len);
            if (step >= size)
                return;
            data += step;
            size -= step;
        }
    }
    std::string_view m_found[Most + 1];
};

} // namespace lxmgr::netlink
