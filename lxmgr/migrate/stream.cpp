#include "migrate/stream.h"

#include "base/text.h"

#include <algorithm>
#include <cerrno>
#include <unistd.h>

namespace lxmgr::migrate
{

namespace
{

constexpr std::size_t kBuffer = 64 << 10;
constexpr std::size_t kLongestName = 255;
constexpr std::size_t kLongestTarget = 4096;
constexpr std::size_t kLongestAttribute = 64 << 10;
constexpr std::size_t kMostAttributes = 256;

constexpr std::uint64_t kUntouched = 1, kSeveral = 2, kAttributes = 4; // flags of an entry

Error failed(int error, const char *what)
{
    if (error == EAGAIN)
        return {Code::Timeout, "the other server has said nothing for too long"};
    if (error == EPIPE || error == ECONNRESET)
        return {Code::Unavailable, "the other server has ended the transfer"};
    return Error::fromErrno(error, what);
}

} // namespace

Status Stream::putBytes(std::string_view bytes)
{
    m_out.append(bytes);
    return m_out.size() >= kBuffer ? flush() : Status();
}

Status Stream::flush()
{
    std::string_view left = m_out;
    while (!left.empty()) {
        const ssize_t done = ::write(m_socket.get(), left.data(), left.size());
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return failed(errno, "write to the other server");
        left.remove_prefix(static_cast<std::size_t>(done));
    }
    m_sentBefore += m_out.size();
    m_out.clear();
    return {};
}

Status Stream::fill()
{
    TRY(flush()); // what is waited for may be the answer to it
    m_in.resize(kBuffer);
    m_at = 0;
    ssize_t got = 0;
    do
        got = ::read(m_socket.get(), m_in.data(), m_in.size());
    while (got < 0 && errno == EINTR);
    const int error = errno;
    m_in.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    m_receivedBefore += m_in.size();
    if (got < 0)
        return failed(error, "read from the other server");
    return got > 0 ? Status() : Status(failed(EPIPE, ""));
}

Result<std::string_view> Stream::bytes(std::size_t most)
{
    if (m_at == m_in.size())
        TRY(fill());
    const std::string_view piece = std::string_view(m_in).substr(m_at, most);
    m_at += piece.size();
    return piece;
}

Status Stream::putNumber(std::uint64_t value)
{
    char bytes[10];
    std::size_t count = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[count++] = static_cast<char>(value | 0x80);
    bytes[count++] = static_cast<char>(value);
    return putBytes({bytes, count});
}

Result<std::uint64_t> Stream::number()
{
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const auto byte = static_cast<unsigned char>(TRY(bytes(1)).front());
        value |= std::uint64_t(byte & 0x7F) << shift;
        if (byte < 0x80)
            return value;
    }
    return Error(Code::Invalid, "the other server sends numbers without an end");
}

Status Stream::putText(std::string_view text)
{
    TRY(putNumber(text.size()));
    return putBytes(text);
}

Result<std::string> Stream::text(std::size_t most)
{
    std::uint64_t left = TRY(number());
    if (left > most)
        return Error(Code::Invalid, "the other server sends a text of " + std::to_string(left) + " bytes where " + std::to_string(most) + " are the most");
    std::string text;
    while (left > 0) {
        const std::string_view piece = TRY(bytes(left));
        text.append(piece);
        left -= piece.size();
    }
    return text;
}

Status checkName(const std::string &name)
{
    const bool good = !name.empty() && name != "." && name != ".." && name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
    return good ? Status() : Status(Error(Code::Invalid, "the other server sends a file called " + quoted(name)));
}

bool goesAlong(std::string_view attribute)
{
    return attribute == "security.capability" || attribute.starts_with("user.") || attribute.starts_with("system.posix_acl_");
}

Status putEntry(Stream &stream, const Entry &entry)
{
    TRY(stream.putNumber(static_cast<std::uint64_t>(entry.kind)));
    if (entry.kind == Kind::Leave || entry.kind == Kind::BatchEnd || entry.kind == Kind::TreeEnd)
        return {};
    TRY(stream.putText(entry.name));
    const std::uint64_t flags = (entry.untouched ? kUntouched : 0) | (entry.several ? kSeveral : 0) | (entry.attributes.empty() ? 0 : kAttributes);
    const auto seconds = static_cast<std::uint64_t>(entry.modified.tv_sec);
    for (const std::uint64_t number : {flags, std::uint64_t(entry.mode), std::uint64_t(entry.uid), std::uint64_t(entry.gid),
                                       (seconds << 1) ^ (entry.modified.tv_sec < 0 ? ~std::uint64_t(0) : 0), std::uint64_t(entry.modified.tv_nsec)})
        TRY(stream.putNumber(number));
    if (entry.kind == Kind::File)
        TRY(stream.putNumber(entry.size));
    if (entry.kind == Kind::Link)
        TRY(stream.putText(entry.target));
    if (entry.kind == Kind::Node) {
        TRY(stream.putNumber(entry.major));
        TRY(stream.putNumber(entry.minor));
    }
    if (entry.several)
        TRY(stream.putNumber(entry.several));
    if (entry.attributes.empty())
        return {};
    TRY(stream.putNumber(entry.attributes.size()));
    for (const auto &[name, value] : entry.attributes) {
        TRY(stream.putText(name));
        TRY(stream.putText(value));
    }
    return {};
}

namespace
{

Result<std::uint32_t> small(Stream &stream, const char *what)
{
    const std::uint64_t value = TRY(stream.number());
    if (value > UINT32_MAX)
        return Error(Code::Invalid, std::string("the other server sends ") + what + " " + std::to_string(value));
    return static_cast<std::uint32_t>(value);
}

bool fits(const Entry &entry)
{
    switch (entry.kind) {
    case Kind::Enter:
        return S_ISDIR(entry.mode);
    case Kind::File:
        return S_ISREG(entry.mode);
    case Kind::Link:
        return S_ISLNK(entry.mode);
    default:
        return S_ISFIFO(entry.mode) || S_ISSOCK(entry.mode) || S_ISCHR(entry.mode) || S_ISBLK(entry.mode);
    }
}

Status takeAttributes(Stream &stream, Entry &entry)
{
    const std::uint64_t count = TRY(stream.number());
    if (count > kMostAttributes)
        return Error(Code::Invalid, "the other server sends " + std::to_string(count) + " attributes of one file");
    for (std::uint64_t i = 0; i < count; ++i) {
        std::string name = TRY(stream.text(kLongestName));
        std::string value = TRY(stream.text(kLongestAttribute));
        if (!goesAlong(name) || name.find('\0') != std::string::npos)
            return Error(Code::Invalid, "the other server sends the attribute " + quoted(name));
        entry.attributes.emplace(std::move(name), std::move(value));
    }
    return {};
}

} // namespace

Result<Entry> takeEntry(Stream &stream)
{
    Entry entry;
    const std::uint64_t kind = TRY(stream.number());
    if (kind < static_cast<std::uint64_t>(Kind::Enter) || kind > static_cast<std::uint64_t>(Kind::TreeEnd))
        return Error(Code::Invalid, "the other server sends an entry of kind " + std::to_string(kind));
    entry.kind = static_cast<Kind>(kind);
    if (entry.kind == Kind::Leave || entry.kind == Kind::BatchEnd || entry.kind == Kind::TreeEnd)
        return entry;
    entry.name = TRY(stream.text(kLongestName));
    const std::uint64_t flags = TRY(stream.number());
    entry.untouched = flags & kUntouched;
    entry.mode = TRY(small(stream, "the mode"));
    entry.uid = TRY(small(stream, "the owner"));
    entry.gid = TRY(small(stream, "the group"));
    const std::uint64_t seconds = TRY(stream.number());
    entry.modified.tv_sec = static_cast<time_t>((seconds >> 1) ^ (~(seconds & 1) + 1));
    entry.modified.tv_nsec = TRY(small(stream, "the nanoseconds"));
    if (entry.kind == Kind::File)
        entry.size = TRY(stream.number());
    if (entry.kind == Kind::Link)
        entry.target = TRY(stream.text(kLongestTarget));
    if (entry.kind == Kind::Node) {
        entry.major = TRY(small(stream, "the device"));
        entry.minor = TRY(small(stream, "the device"));
    }
    if (flags & kSeveral)
        entry.several = TRY(stream.number());
    if (flags & kAttributes)
        TRY(takeAttributes(stream, entry));
    if (!fits(entry) || entry.modified.tv_nsec > 999'999'999 || entry.size > (std::uint64_t(1) << 62))
        return Error(Code::Invalid, "the other server sends an entry that nothing can be: " + quoted(entry.name));
    return entry;
}

} // namespace lxmgr::migrate
