#include "client/multipart.h"

#include "base/text.h"

#include <cstring>
#include <memory>
#include <random>

namespace lxmgr::client
{

namespace
{

constexpr std::size_t kLongestHead = 16 * 1024;

std::string newBoundary()
{
    std::random_device random;
    std::string text = "lxmgr";
    for (int i = 0; i < 4; ++i)
        text.append(std::to_string(random()));
    return text;
}

/// One stretch of a form: bytes of ours, or a file of known size.
struct Stretch {
    std::string text;
    Source source;
    std::uint64_t left = 0;
};

/// The value of `name="…"` or `name=…` in a header's parameters.
std::string parameter(std::string_view header, std::string_view name)
{
    const std::string wanted = std::string(name) + "=";
    for (const std::string &part : split(header, ';')) {
        std::string_view text = trimmed(part);
        if (!lower(text).starts_with(wanted))
            continue;
        text.remove_prefix(wanted.size());
        if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
            text = text.substr(1, text.size() - 2);
        return std::string(text);
    }
    return {};
}

} // namespace

Form makeForm(std::vector<FormPart> parts)
{
    const std::string boundary = newBoundary();
    auto stretches = std::make_shared<std::vector<Stretch>>();
    Form form;
    form.contentType = "multipart/form-data; boundary=" + boundary;
    for (FormPart &part : parts) {
        const std::string lead = stretches->empty() ? "" : "\r\n";
        const std::string head = lead + "--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + part.name +
                                 "\"; filename=\"" + part.fileName +
                                 "\"\r\nContent-Type: application/octet-stream\r\n\r\n";
        form.size += head.size() + part.size;
        stretches->push_back({head, {}, head.size()});
        stretches->push_back({{}, std::move(part.source), part.size});
    }
    const std::string end = "\r\n--" + boundary + "--\r\n";
    form.size += end.size();
    stretches->push_back({end, {}, end.size()});
    form.source = [stretches, at = std::size_t{0}](char *buffer, std::size_t size) mutable -> Result<std::size_t> {
        while (at < stretches->size() && (*stretches)[at].left == 0)
            ++at;
        if (at == stretches->size())
            return std::size_t{0};
        Stretch &stretch = (*stretches)[at];
        const std::size_t most = static_cast<std::size_t>(std::min<std::uint64_t>(size, stretch.left));
        std::size_t got = most;
        if (stretch.source)
            got = TRY(stretch.source(buffer, most));
        else
            std::memcpy(buffer, stretch.text.data() + (stretch.text.size() - stretch.left), most);
        if (got == 0)
            return Error(Code::Internal, "the file shrank while it was sent");
        stretch.left -= got;
        return got;
    };
    return form;
}

FormReader::FormReader(std::string_view contentType, Open open)
    : m_open(std::move(open)), m_delimiter("\r\n--" + parameter(contentType, "boundary")), m_buffer("\r\n")
{
    // The line feed in front lets the first boundary look like the others.
}

FormReader::FormReader(std::string_view contentType, Open open, Sink sink, std::uint64_t position)
    : FormReader(contentType, std::move(open))
{
    m_buffer.clear();
    m_fed = position;
    m_state = State::Body;
    m_sink = std::move(sink);
}

Status FormReader::feed(std::string_view piece)
{
    m_buffer.append(piece);
    m_fed += piece.size();
    while (TRY(step())) {
    }
    return {};
}

Status FormReader::finish() const
{
    return m_state == State::Done ? Status()
                                  : Error(Code::Corrupt, "the image ended before its last part was complete");
}

/// Whether anything moved on.
Result<bool> FormReader::step()
{
    if (m_state == State::Done)
        return false;
    if (m_state == State::Head) {
        if (m_buffer.starts_with("--")) {
            m_state = State::Done;
            return false;
        }
        const std::size_t end = m_buffer.find("\r\n\r\n");
        if (end == std::string::npos)
            return m_buffer.size() > kLongestHead
                       ? Result<bool>(Error(Code::Corrupt, "a part of the image has no end to its head"))
                       : false;
        const std::string head = m_buffer.substr(0, end);
        m_buffer.erase(0, end + 4);
        TRY(beginPart(head));
        m_state = State::Body;
        return true;
    }
    const std::size_t found = m_buffer.find(m_delimiter);
    // Without a boundary in sight, everything but what could be its beginning belongs to the part.
    const std::size_t sure =
        found != std::string::npos ? found : m_buffer.size() - std::min(m_buffer.size(), m_delimiter.size());
    if (m_state == State::Body && sure > 0)
        TRY(m_sink(std::string_view(m_buffer).substr(0, sure)));
    if (found == std::string::npos) {
        m_buffer.erase(0, sure);
        return false;
    }
    if (m_buffer.size() < found + m_delimiter.size() + 2) {
        m_buffer.erase(0, found);
        return false;
    }
    m_buffer.erase(0, found + m_delimiter.size());
    m_state = State::Head;
    return true;
}

Status FormReader::beginPart(std::string_view head)
{
    for (const std::string &line : split(head, '\n')) {
        const std::string_view field = trimmed(line);
        if (!lower(field).starts_with("content-disposition:"))
            continue;
        m_sink = TRY(m_open(parameter(field, "name"), parameter(field, "filename")));
        return {};
    }
    return Error(Code::Corrupt, "a part of the image has no name");
}

} // namespace lxmgr::client
