#include "http/message.h"

#include "base/text.h"

#include <algorithm>
#include <cstdio>
#include <strings.h>

namespace lxmgr::http
{

namespace
{
bool sameName(std::string_view a, std::string_view b)
{
    return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

/// What could end a line early would let a value become a field, or a body.
bool isSafe(std::string_view text)
{
    return std::ranges::none_of(text, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

void writeFields(std::string &out, const Headers &headers)
{
    for (const Header &header : headers) {
        if (header.name.empty() || !isSafe(header.name) || !isSafe(header.value))
            continue;
        out.append(header.name).append(": ").append(header.value).append("\r\n");
    }
    out.append("\r\n");
}

struct Reason {
    int status;
    std::string_view phrase;
};
constexpr Reason kReasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {412, "Precondition Failed"},
    {413, "Payload Too Large"},
    {414, "URI Too Long"},
    {416, "Range Not Satisfiable"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};
} // namespace

void Headers::set(std::string_view name, std::string value)
{
    for (Header &header : m_list) {
        if (sameName(header.name, name)) {
            header.value = std::move(value);
            return;
        }
    }
    m_list.push_back({std::string(name), std::move(value)});
}

const std::string *Headers::find(std::string_view name) const
{
    for (const Header &header : m_list)
        if (sameName(header.name, name))
            return &header.value;
    return nullptr;
}

std::string_view Headers::value(std::string_view name) const
{
    const std::string *found = find(name);
    return found ? std::string_view(*found) : std::string_view();
}

const std::string *Headers::family(std::string_view name) const
{
    if (const std::string *incus = find(std::string("X-Incus-").append(name)))
        return incus;
    return find(std::string("X-LXD-").append(name));
}

bool Headers::hasToken(std::string_view name, std::string_view token) const
{
    for (const Header &header : m_list) {
        if (!sameName(header.name, name))
            continue;
        for (const std::string &part : split(header.value, ','))
            if (sameName(trimmed(part), token))
                return true;
    }
    return false;
}

std::string_view reasonPhrase(int status)
{
    for (const Reason &reason : kReasons)
        if (reason.status == status)
            return reason.phrase;
    return "Unknown";
}

std::string writeRequest(std::string_view method, std::string_view target, const Headers &headers)
{
    std::string out;
    if (isSafe(method) && isSafe(target))
        out.append(method).append(" ").append(target).append(" HTTP/1.1\r\n");
    writeFields(out, headers);
    return out;
}

std::string writeResponse(int status, const Headers &headers)
{
    std::string out = "HTTP/1.1 " + std::to_string(status) + " ";
    out.append(reasonPhrase(status)).append("\r\n");
    writeFields(out, headers);
    return out;
}

std::string chunkStart(std::size_t size)
{
    char line[24];
    const int length = std::snprintf(line, sizeof line, "%zx\r\n", size);
    return {line, static_cast<std::size_t>(length)};
}

} // namespace lxmgr::http
