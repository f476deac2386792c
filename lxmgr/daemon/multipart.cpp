#include "daemon/multipart.h"

#include "base/text.h"

#include <algorithm>
#include <cerrno>
#include <sys/mman.h>

namespace lxmgr::daemon
{

namespace
{

constexpr std::size_t kMostParts = 8;
constexpr std::size_t kMostHeader = 16 * 1024;

class Mapping
{
public:
    Mapping(const Fd &file, std::uint64_t size)
        : m_size(size), m_data(size == 0 ? MAP_FAILED : ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0))
    {
    }
    Mapping(const Mapping &) = delete;
    Mapping &operator=(const Mapping &) = delete;
    ~Mapping()
    {
        if (m_data != MAP_FAILED)
            ::munmap(m_data, m_size);
    }
    bool ok() const { return m_data != MAP_FAILED; }
    std::string_view text() const { return {static_cast<const char *>(m_data), m_size}; }

private:
    std::uint64_t m_size;
    void *m_data;
};

/// The value of `name="…"` in a Content-Disposition.
std::string parameter(std::string_view header, std::string_view name)
{
    for (const std::string &piece : split(header, ';')) {
        const std::string_view word = trimmed(piece);
        if (!word.starts_with(name) || word.size() <= name.size() || word[name.size()] != '=')
            continue;
        std::string_view value = word.substr(name.size() + 1);
        if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
            value = value.substr(1, value.size() - 2);
        return std::string(value);
    }
    return {};
}

std::size_t find(std::string_view in, std::string_view what, std::size_t from)
{
    if (from > in.size())
        return std::string_view::npos;
    // memmem(3) beats string_view::find on gigabytes.
    const void *at = ::memmem(in.data() + from, in.size() - from, what.data(), what.size());
    return at ? static_cast<std::size_t>(static_cast<const char *>(at) - in.data()) : std::string_view::npos;
}

} // namespace

Result<std::string> formBoundary(std::string_view contentType)
{
    const std::string boundary = parameter(contentType, "boundary");
    const bool good = !boundary.empty() && boundary.size() <= 70 &&
                      std::ranges::all_of(boundary, [](unsigned char c) { return c > 0x20 && c < 0x7F && c != '"' && c != '\\'; });
    if (!good)
        return Error(Code::Invalid, "Content-Type " + quoted(contentType) + " has no usable boundary");
    return boundary;
}

Result<std::vector<FormPart>> parseForm(const Fd &file, std::uint64_t size, const std::string &boundary)
{
    const Mapping mapping(file, size);
    if (!mapping.ok())
        return Error(Code::Invalid, "the form is empty or cannot be read");
    const std::string_view body = mapping.text();
    const std::string first = "--" + boundary, delimiter = "\r\n--" + boundary;
    std::vector<FormPart> parts;
    if (!body.starts_with(first))
        return Error(Code::Invalid, "the form does not begin with its boundary");
    std::size_t at = first.size();
    while (body.substr(at, 2) != "--") {
        const std::size_t headEnd = find(body, "\r\n\r\n", at);
        if (headEnd == std::string_view::npos || headEnd - at > kMostHeader || parts.size() == kMostParts)
            return Error(Code::Invalid, "the form is malformed at byte " + std::to_string(at));
        FormPart part;
        for (const std::string &line : split(body.substr(at, headEnd - at), '\n')) {
            const std::string_view header = trimmed(line);
            if (lower(header.substr(0, 20)) != "content-disposition:")
                continue;
            part.name = parameter(header.substr(20), "name");
            part.filename = parameter(header.substr(20), "filename");
        }
        part.offset = headEnd + 4;
        const std::size_t end = find(body, delimiter, headEnd + 2);
        if (end == std::string_view::npos || end < part.offset)
            return Error(Code::Invalid, "the form is cut short in part " + quoted(part.name));
        part.size = end - part.offset;
        parts.push_back(std::move(part));
        at = end + delimiter.size();
    }
    return parts;
}

} // namespace lxmgr::daemon
