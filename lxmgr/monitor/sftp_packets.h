// Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02): their fields read in order, and replies written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <utility>

namespace lxmgr::monitor::sftp
{

enum class Kind : std::uint8_t {
    Init = 1,
    Version = 2,
    Open = 3,
    Close = 4,
    Read = 5,
    Write = 6,
    Lstat = 7,
    Fstat = 8,
    Setstat = 9,
    Fsetstat = 10,
    Opendir = 11,
    Readdir = 12,
    Remove = 13,
    Mkdir = 14,
    Rmdir = 15,
    Realpath = 16,
    Stat = 17,
    Rename = 18,
    Readlink = 19,
    Symlink = 20,
    Status = 101,
    Handle = 102,
    Data = 103,
    Name = 104,
    Attrs = 105,
    Extended = 200,
    ExtendedReply = 201,
};

enum class Outcome : std::uint32_t { Ok = 0, End = 1, NoSuchFile = 2, Denied = 3, Failure = 4, BadMessage = 5, Unsupported = 8 };

/// Reads a packet's fields in order; a field that is not whole makes all that follow empty, and good() false.
class Fields
{
public:
    explicit Fields(std::string_view bytes) : m_rest(bytes) {}

    std::uint32_t number() { return static_cast<std::uint32_t>(integer(4)); }
    std::uint64_t big() { return integer(8); }
    std::uint8_t byte() { return static_cast<std::uint8_t>(integer(1)); }
    std::string_view text()
    {
        const std::uint32_t size = number();
        if (size > m_rest.size()) {
            spoil();
            return {};
        }
        const std::string_view value = m_rest.substr(0, size);
        m_rest.remove_prefix(size);
        return value;
    }
    bool good() const { return m_good; }

private:
    std::uint64_t integer(std::size_t size)
    {
        if (size > m_rest.size()) {
            spoil();
            return 0;
        }
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < size; ++i)
            value = value << 8 | static_cast<unsigned char>(m_rest[i]);
        m_rest.remove_prefix(size);
        return value;
    }
    void spoil()
    {
        m_good = false;
        m_rest = {};
    }
    std::string_view m_rest;
    bool m_good = true;
};

/// Appends one packet to `output`; its length is put in at the end.
class Reply
{
public:
    Reply(std::string &output, Kind kind) : m_output(output), m_start(output.size())
    {
        m_output.append(4, '\0');
        m_output += static_cast<char>(kind);
    }
    ~Reply()
    {
        const std::size_t size = m_output.size() - m_start - 4;
        for (int i = 0; i < 4; ++i)
            m_output[m_start + static_cast<std::size_t>(i)] = static_cast<char>(size >> (24 - 8 * i));
    }
    Reply(const Reply &) = delete;
    Reply &operator=(const Reply &) = delete;

    Reply &number(std::uint32_t value) { return integer(value, 4); }
    Reply &big(std::uint64_t value) { return integer(value, 8); }
    Reply &text(std::string_view value)
    {
        number(static_cast<std::uint32_t>(value.size()));
        m_output += value;
        return *this;
    }

private:
    Reply &integer(std::uint64_t value, int size)
    {
        for (int i = size - 1; i >= 0; --i)
            m_output += static_cast<char>(value >> (8 * i));
        return *this;
    }
    std::string &m_output;
    std::size_t m_start;
};

struct Attributes {
    std::optional<std::uint64_t> size;
    std::int64_t uid = -1, gid = -1, mode = -1;
    std::optional<std::pair<std::uint32_t, std::uint32_t>> times; ///< Accessed, modified.
};
Attributes attributesIn(Fields &fields);
void addAttributes(Reply &reply, const struct stat &info);
/// As "ls -l" shows it, which is all that some clients look at.
std::string longName(const std::string &name, const struct stat &info);

} // namespace lxmgr::monitor::sftp
