#include "images/report.h"

#include "base/text.h"
#include "kernel/files.h"

#include <cstring>

namespace lxmgr::images
{

namespace
{

struct Header {
    std::uint32_t kind;
    std::uint32_t length;
};

} // namespace

void sendReport(const Fd &pipe, ReportKind kind, const std::string &text)
{
    const Header header{static_cast<std::uint32_t>(kind), static_cast<std::uint32_t>(std::min<std::size_t>(text.size(), kLongestReport))};
    std::string frame(reinterpret_cast<const char *>(&header), sizeof header);
    frame.append(text, 0, header.length);
    (void)files::writeAll(pipe, frame); // see the header
}

void sendError(const Fd &pipe, const Error &error)
{
    sendReport(pipe, ReportKind::Failed,
               std::string(codeInfo(error.code).name) + "\n" + std::to_string(error.errnum) + "\n" + error.message);
}

Error parseError(const std::string &text)
{
    const auto first = text.find('\n');
    const auto second = first == std::string::npos ? first : text.find('\n', first + 1);
    if (second == std::string::npos)
        return {Code::Corrupt, "the helper's error cannot be read"};
    Error error(Code::Internal, escaped(text.substr(second + 1)));
    for (const CodeInfo &info : kCodes)
        if (info.name == text.substr(0, first))
            error.code = info.code;
    if (const auto errnum = parseUnsigned(text.substr(first + 1, second - first - 1), 0, 4095))
        error.errnum = static_cast<int>(*errnum);
    return error;
}

Status ReportReader::feed(const char *data, std::size_t size, const Take &take)
{
    m_buffer.append(data, size);
    for (;;) {
        Header header{};
        if (m_buffer.size() < sizeof header)
            return {};
        std::memcpy(&header, m_buffer.data(), sizeof header);
        const bool known = header.kind >= 1 && header.kind <= static_cast<std::uint32_t>(ReportKind::Done);
        if (!known || header.length > kLongestReport)
            return Error(Code::Corrupt, "the helper's messages cannot be read");
        if (m_buffer.size() < sizeof header + header.length)
            return {};
        take(static_cast<ReportKind>(header.kind), m_buffer.substr(sizeof header, header.length));
        m_buffer.erase(0, sizeof header + header.length);
    }
}

} // namespace lxmgr::images
