#include "http/multipart.h"

#include "base/text.h"

#include <cerrno>
#include <unistd.h>

namespace lxmgr::http
{

namespace
{
constexpr std::size_t kMostParts = 16;
constexpr std::size_t kMostFields = 16 << 10;
constexpr std::size_t kPiece = 256 << 10;

Error invalid(std::string_view why) { return {Code::Invalid, "multipart body: " + std::string(why)}; }

/// The value of `name="…"` or `name=…` in a field's parameters.
std::string parameter(std::string_view field, std::string_view name)
{
    for (std::size_t at = field.find(';'); at != std::string_view::npos; at = field.find(';', at + 1)) {
        std::string_view rest = trimmed(field.substr(at + 1));
        if (rest.size() <= name.size() || lower(rest.substr(0, name.size())) != name || rest[name.size()] != '=')
            continue;
        rest.remove_prefix(name.size() + 1);
        if (rest.starts_with('"'))
            return std::string(rest.substr(1, rest.find('"', 1) - 1));
        return std::string(trimmed(rest.substr(0, rest.find(';'))));
    }
    return {};
}
} // namespace

Result<std::string> multipartBoundary(std::string_view contentType)
{
    if (lower(trimmed(contentType.substr(0, contentType.find(';')))) != "multipart/form-data")
        return invalid("the Content-Type is another");
    std::string boundary = parameter(contentType, "boundary");
    if (boundary.empty() || boundary.size() > 70) // RFC 2046 §5.1.1
        return invalid("no usable boundary");
    return boundary;
}

// The very first boundary has no line break in front: the buffer starts with one that is not in the body.
PartFinder::PartFinder(const std::string &boundary) : m_delimiter("\r\n--" + boundary), m_buffer("\r\n"), m_at(-2) {}

Status PartFinder::feed(std::string_view bytes)
{
    m_buffer.append(bytes);
    for (bool more = true; more;)
        TRY(step(more));
    return {};
}

void PartFinder::drop(std::size_t count)
{
    m_buffer.erase(0, count);
    m_at += count;
}

Status PartFinder::step(bool &more)
{
    more = false;
    std::size_t at = 0;
    switch (m_where) {
    case Where::Preamble:
    case Where::Content:
        at = m_buffer.find(m_delimiter);
        if (at == std::string::npos) { // all but what may be the beginning of one is content
            drop(m_buffer.size() - std::min(m_buffer.size(), m_delimiter.size() - 1));
            return {};
        }
        if (m_where == Where::Content)
            m_parts.back().size = m_at + at - m_parts.back().offset;
        drop(at + m_delimiter.size());
        m_where = Where::AfterBoundary;
        break;
    case Where::AfterBoundary:
        at = m_buffer.find("\r\n");
        if (m_buffer.starts_with("--")) {
            m_where = Where::End;
        } else if (at == std::string::npos) {
            if (m_buffer.size() > kMostFields)
                return invalid("a boundary line without end");
            return {};
        } else if (!trimmed(std::string_view(m_buffer).substr(0, at)).empty()) {
            return invalid("text behind a boundary");
        } else {
            drop(at); // the line break stays: fields may be none at all
            m_where = Where::Fields;
        }
        break;
    case Where::Fields:
        at = m_buffer.find("\r\n\r\n");
        if (at == std::string::npos) {
            if (m_buffer.size() > kMostFields)
                return invalid("the header of a part is too long");
            return {};
        }
        TRY(readFields(std::string_view(m_buffer).substr(0, at)));
        drop(at + 4);
        m_parts.back().offset = m_at;
        m_where = Where::Content;
        break;
    case Where::End:
        m_buffer.clear();
        return {};
    }
    more = true;
    return {};
}

Status PartFinder::readFields(std::string_view fields)
{
    if (m_parts.size() >= kMostParts)
        return invalid("too many parts");
    Part part;
    for (const std::string &raw : split(fields, '\n')) {
        const std::string_view line = trimmed(raw);
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos || lower(trimmed(line.substr(0, colon))) != "content-disposition")
            continue;
        part.name = parameter(line, "name");
        part.filename = parameter(line, "filename");
    }
    m_parts.push_back(std::move(part));
    return {};
}

Result<std::vector<Part>> PartFinder::finish()
{
    if (m_where != Where::End)
        return invalid("it ends before its last boundary");
    return std::move(m_parts);
}

Result<std::vector<Part>> findParts(const Fd &file, std::uint64_t size, const std::string &boundary)
{
    PartFinder finder(boundary);
    std::string piece(kPiece, '\0');
    for (std::uint64_t at = 0; at < size;) {
        const std::size_t wanted = std::min<std::uint64_t>(piece.size(), size - at);
        const ssize_t count = ::pread(file.get(), piece.data(), wanted, static_cast<off_t>(at));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return Error::fromErrno(errno, "read", "the uploaded body");
        if (count == 0)
            break;
        TRY(finder.feed(std::string_view(piece).substr(0, static_cast<std::size_t>(count))));
        at += static_cast<std::uint64_t>(count);
    }
    return finder.finish();
}

} // namespace lxmgr::http
