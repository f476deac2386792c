// Heads of HTTP/1.1 messages and how they are written; no I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::http
{

struct Header {
    std::string name;
    std::string value;
};

/// Fields in the order of arrival; names compare without case.
class Headers
{
public:
    Headers() = default;
    Headers(std::initializer_list<Header> list) : m_list(list) {}

    void add(std::string name, std::string value) { m_list.push_back({std::move(name), std::move(value)}); }
    void set(std::string_view name, std::string value);
    const std::string *find(std::string_view name) const;
    /// The first value of `name`, "" if there is none.
    std::string_view value(std::string_view name) const;
    /// The first value of "X-<family>-<name>", Incus before LXD: `family("uid")`.
    const std::string *family(std::string_view name) const;
    /// Whether the comma separated list in `name` has `token` (any case).
    bool hasToken(std::string_view name, std::string_view token) const;

    auto begin() const { return m_list.begin(); }
    auto end() const { return m_list.end(); }
    std::size_t size() const { return m_list.size(); }

private:
    std::vector<Header> m_list;
};

struct RequestHead {
    std::string method;
    std::string target;
    int minorVersion = 1; ///< HTTP/1.<n>
    Headers headers;
    bool keepAlive = true;
    bool chunked = false;
    std::optional<std::uint64_t> contentLength;
    bool expectContinue = false;
    std::string upgrade; ///< What "Connection: upgrade" asks for ("websocket"), lower case; "" for nothing.
};

struct ResponseHead {
    int status = 0;
    std::string reason;
    Headers headers;
    bool keepAlive = true;
    bool chunked = false;
    std::optional<std::uint64_t> contentLength;
};

/// "OK" for 200 and so on.
std::string_view reasonPhrase(int status);

/// A request head ending in the empty line. Names and values must be free of CR, LF and NUL: offenders are left out.
std::string writeRequest(std::string_view method, std::string_view target, const Headers &headers);
/// A response head ending in the empty line; the same care.
std::string writeResponse(int status, const Headers &headers);

/// The line in front of a chunk of `size` bytes; after the chunk comes kChunkEnd, at the very end kLastChunk.
std::string chunkStart(std::size_t size);
inline constexpr std::string_view kChunkEnd = "\r\n";
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

} // namespace lxmgr::http
