#include "config/cloud_parts.h"

#include "base/base64.h"
#include "base/text.h"

#include <algorithm>
#include <array>
#include <zlib.h>

namespace lxmgr::config
{

namespace
{

constexpr std::size_t kMostUnpacked = 1U << 20;
constexpr std::size_t kMostParts = 100;
constexpr std::string_view kGzipInBase64 = "H4sI"; // 1f 8b 08: what every gzip begins with
constexpr std::string_view kGzip = "\x1f\x8b";

struct Inflater {
    z_stream stream{};
    bool good = ::inflateInit2(&stream, 15 + 16) == Z_OK; // gzip only
    ~Inflater() { ::inflateEnd(&stream); }
    Inflater() = default;
    Inflater(const Inflater &) = delete;
    Inflater &operator=(const Inflater &) = delete;
};

struct Form {
    std::string_view begins; ///< By which a text without a type is known.
    std::string_view type;   ///< Of a part of a MIME message.
    CloudPart::Kind kind = CloudPart::Kind::Config;
    std::string_view refused; ///< Why it is not applied; "" where it is.
};
using Kind = CloudPart::Kind;

// The longer ones first: "#cloud-config" begins "#cloud-config-archive", too.
constexpr Form kForms[] = {
    {"#cloud-boothook",       "text/cloud-boothook",              Kind::Program, "it would run at every boot, and what lxmgr applies is for the first"},
    {"#cloud-config-archive", "text/cloud-config-archive",        Kind::Config,  "a MIME message holds several parts as well"},
    {"#cloud-config",         "text/cloud-config",                Kind::Config,  ""},
    {"#include",              "text/x-include-url",               Kind::Config,  "lxmgr fetches nothing on behalf of a guest; give the text itself"},
    {"#include-once",         "text/x-include-once-url",          Kind::Config,  "lxmgr fetches nothing on behalf of a guest; give the text itself"},
    {"#part-handler",         "text/part-handler",                Kind::Program, "it is a part of cloud-init, in Python"},
    {"#upstart-job",          "text/upstart-job",                 Kind::Program, "no init of today reads it"},
    {"## template: jinja",    "text/jinja2",                      Kind::Config,  "its variables are those of cloud-init"},
    {"#!",                    "text/x-shellscript",               Kind::Program, ""},
    {"",                      "text/x-shellscript-per-instance",  Kind::Program, ""},
    {"",                      "text/x-shellscript-per-once",      Kind::Program, ""},
    {"",                      "text/x-shellscript-per-boot",      Kind::Program, "it would run at every boot, and what lxmgr applies is for the first"},
};

std::string beginningOf(std::string_view text)
{
    return std::string(text.substr(0, std::min<std::size_t>(text.find('\n'), 40)));
}

/// How a text without a type says what it is.
Result<Kind> kindOf(const std::string &file, std::string_view text)
{
    const auto form = std::ranges::find_if(kForms, [&](const Form &each) { return !each.begins.empty() && text.starts_with(each.begins); });
    if (form != std::end(kForms) && form->refused.empty())
        return form->kind;
    return Error(Code::Unsupported, file + " begins with " + quoted(beginningOf(text)) + (form == std::end(kForms) ? "" : ": " + std::string(form->refused)) +
                                        ": the image has no cloud-init, and without it only '#cloud-config', programs ('#!/bin/sh') and MIME messages of both "
                                        "are applied");
}

// MIME: RFC 2045 and 2046, as much as generators of user data write

struct Header {
    std::string name, value; ///< name: lower case; value: unfolded.
};

class Lines
{
public:
    explicit Lines(std::string_view text) : m_lines(split(text, '\n'))
    {
        for (std::string &line : m_lines)
            if (line.ends_with('\r'))
                line.pop_back();
    }
    bool atEnd() const { return m_at == m_lines.size(); }
    const std::string &peek() const { return m_lines[m_at]; }
    const std::string &take() { return m_lines[m_at++]; }
    std::uint32_t number() const { return static_cast<std::uint32_t>(m_at + 1); } ///< Of the next one, from 1.

private:
    std::vector<std::string> m_lines;
    std::size_t m_at = 0;
};

Error badLine(const std::string &key, std::uint32_t line, const std::string &what)
{
    return {Code::Invalid, key + ":" + std::to_string(line) + ":1: " + what};
}

/// Up to the empty line.
Result<std::vector<Header>> takeHeaders(const std::string &key, Lines &lines)
{
    std::vector<Header> headers;
    while (!lines.atEnd()) {
        const std::uint32_t number = lines.number();
        const std::string &line = lines.take();
        if (line.empty())
            return headers;
        if ((line.front() == ' ' || line.front() == '\t') && !headers.empty()) {
            headers.back().value += " " + std::string(trimmed(line));
            continue;
        }
        const std::size_t colon = line.find(':');
        if (colon == std::string::npos || colon == 0)
            return badLine(key, number, "not a MIME header, 'Name: value' (an empty line ends them)");
        headers.push_back({lower(trimmed(std::string_view(line).substr(0, colon))), std::string(trimmed(std::string_view(line).substr(colon + 1)))});
    }
    return headers;
}

std::string valueOf(const std::vector<Header> &headers, std::string_view name)
{
    const auto header = std::ranges::find(headers, name, &Header::name);
    return header == headers.end() ? "" : header->value;
}

std::string typeOf(const std::vector<Header> &headers)
{
    const std::string value = valueOf(headers, "content-type");
    return lower(trimmed(value.substr(0, value.find(';'))));
}

/// Of "multipart/mixed; boundary="===x=="".
std::string boundaryOf(const std::vector<Header> &headers)
{
    const std::string value = valueOf(headers, "content-type");
    const std::size_t at = lower(value).find("boundary=");
    if (at == std::string::npos)
        return "";
    const std::string rest = value.substr(at + 9);
    if (rest.starts_with('"'))
        return rest.substr(1, rest.find('"', 1) == std::string::npos ? 0 : rest.find('"', 1) - 1);
    return std::string(trimmed(rest.substr(0, rest.find(';'))));
}

int hexDigit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::string fromQuotedPrintable(const std::string &text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '=') {
            out += text[i];
        } else if (i + 1 < text.size() && text[i + 1] == '\n') {
            ++i; // a line that goes on
        } else if (i + 2 < text.size() && hexDigit(text[i + 1]) >= 0 && hexDigit(text[i + 2]) >= 0) {
            out += static_cast<char>(hexDigit(text[i + 1]) * 16 + hexDigit(text[i + 2]));
            i += 2;
        } else {
            out += '='; // RFC 2045 6.7: as it stands
        }
    }
    return out;
}

struct RawPart {
    std::vector<Header> headers;
    std::string body;
    std::uint32_t line = 1; ///< Of the body's first, in the whole.
    std::size_t number = 1;
};

/// As `part` is encoded; `isPlain` where its lines are those of the whole.
Result<std::string> decodedBody(const std::string &key, const RawPart &part, bool &isPlain)
{
    const std::string encoding = lower(valueOf(part.headers, "content-transfer-encoding"));
    std::string body = part.body;
    isPlain = encoding.empty() || encoding == "7bit" || encoding == "8bit" || encoding == "binary";
    if (encoding == "base64") {
        auto plain = base64Decode(part.body);
        if (!plain)
            return badLine(key, part.line, "part " + std::to_string(part.number) + " is " + plain.error().message);
        body = std::move(*plain);
    } else if (encoding == "quoted-printable") {
        body = fromQuotedPrintable(part.body);
    } else if (!isPlain) {
        return badLine(key, part.line, "part " + std::to_string(part.number) + ": Content-Transfer-Encoding " + quoted(encoding) +
                                           " is unknown (7bit, 8bit, base64, quoted-printable)");
    }
    if (!body.starts_with(kGzip))
        return body;
    isPlain = false;
    auto unpacked = gunzip(body, kMostUnpacked);
    if (!unpacked)
        return badLine(key, part.line, "part " + std::to_string(part.number) + ": " + unpacked.error().message);
    return unpacked;
}

Status addPart(const std::string &key, const RawPart &raw, std::vector<CloudPart> &parts)
{
    if (parts.size() >= kMostParts)
        return badLine(key, raw.line, "it has more than " + std::to_string(kMostParts) + " parts");
    const std::string type = typeOf(raw.headers);
    const std::string name = key + " (part " + std::to_string(raw.number) + ")";
    if (type.starts_with("multipart/"))
        return Error(Code::Unsupported, name + " is a message of parts itself, which is not applied without the image's own cloud-init");
    bool isPlain = false;
    CloudPart part;
    part.text = TRY(decodedBody(key, raw, isPlain));
    part.file = isPlain ? key : name;
    const auto form = std::ranges::find(kForms, std::string_view(type), &Form::type);
    const bool isNamed = form != std::end(kForms);
    const std::string notApplied = name + " is of type " + quoted(type) + ", which is not applied without the image's own cloud-init";
    if (isNamed && !form->refused.empty())
        return Error(Code::Unsupported, notApplied + ": " + std::string(form->refused));
    const bool isPacked = type.starts_with("application/") && (type.ends_with("gzip") || type == "application/octet-stream");
    if (!isNamed && !type.empty() && type != "text/plain" && type != "text/x-not-multipart" && !isPacked)
        return Error(Code::Unsupported, notApplied + " (text/cloud-config and text/x-shellscript are)");
    part.kind = isNamed ? form->kind : TRY(kindOf(name, part.text));
    if (part.kind == Kind::Config && isPlain)
        part.text.insert(0, raw.line - 1, '\n');
    parts.push_back(std::move(part));
    return {};
}

/// From its first boundary to its last; what is before and behind is for people (RFC 2046, 5.1.1).
Result<std::vector<CloudPart>> partsBetween(const std::string &key, const std::string &boundary, Lines &lines)
{
    const std::string next = "--" + boundary, last = next + "--";
    std::vector<CloudPart> parts;
    bool closed = false;
    while (!lines.atEnd() && trimmed(lines.peek()) != next)
        lines.take();
    for (std::size_t number = 1; !lines.atEnd() && !closed; ++number) {
        lines.take();
        RawPart part;
        part.number = number;
        part.headers = TRY(takeHeaders(key, lines));
        part.line = lines.number();
        while (!lines.atEnd() && trimmed(lines.peek()) != next && trimmed(lines.peek()) != last)
            part.body += lines.take() + "\n";
        if (lines.atEnd())
            return badLine(key, part.line, "part " + std::to_string(number) + " has no end: there is no line " + quoted(last));
        closed = trimmed(lines.peek()) == last;
        TRY(addPart(key, part, parts));
    }
    if (!closed)
        return badLine(key, lines.number(), "it has no part: there is no line " + quoted(next));
    return parts;
}

Result<std::vector<CloudPart>> mimeParts(const std::string &key, std::string_view text)
{
    Lines lines(text);
    RawPart whole;
    whole.headers = TRY(takeHeaders(key, lines));
    const std::string boundary = boundaryOf(whole.headers);
    if (typeOf(whole.headers).starts_with("multipart/")) {
        if (boundary.empty() || boundary.size() > 70)
            return badLine(key, 1, "a MIME message of parts whose Content-Type has no boundary=\"…\"");
        return partsBetween(key, boundary, lines);
    }
    whole.line = lines.number();
    while (!lines.atEnd())
        whole.body += lines.take() + "\n";
    std::vector<CloudPart> parts;
    TRY(addPart(key, whole, parts));
    return parts;
}

bool isMime(std::string_view text)
{
    const std::string first = lower(text.substr(0, text.find(':')));
    return first == "content-type" || first == "mime-version";
}

} // namespace

Result<std::string> gunzip(std::string_view packed, std::size_t most)
{
    Inflater inflater;
    z_stream &stream = inflater.stream;
    stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(packed.data())); // zlib does not write there
    stream.avail_in = static_cast<uInt>(packed.size());
    std::string out;
    std::array<char, 64 * 1024> buffer{};
    int status = inflater.good ? Z_OK : Z_MEM_ERROR;
    while (status == Z_OK) {
        stream.next_out = reinterpret_cast<Bytef *>(buffer.data());
        stream.avail_out = buffer.size();
        status = ::inflate(&stream, Z_NO_FLUSH);
        out.append(buffer.data(), buffer.size() - stream.avail_out);
        if (out.size() > most)
            return Error(Code::Invalid, "more than " + formatBytes(Bytes{most}) + " once unpacked");
    }
    if (status != Z_STREAM_END)
        return Error(Code::Invalid, "no gzip");
    return out;
}

std::string cloudBytes(const std::string &value)
{
    if (!value.starts_with(kGzipInBase64))
        return value;
    const auto packed = base64Decode(value);
    return packed ? *packed : value;
}

Result<std::vector<CloudPart>> cloudParts(const std::string &key, std::string_view text)
{
    if (trimmed(text).empty())
        return std::vector<CloudPart>();
    std::string file = key, unpacked;
    if (text.starts_with(kGzipInBase64)) {
        const auto packed = base64Decode(text);
        if (!packed)
            return badLine(key, 1, "it begins like gzip in base64, but is " + packed.error().message);
        unpacked = TRY_IN(key, gunzip(*packed, kMostUnpacked));
        text = unpacked;
        file += " (unpacked)";
    }
    if (isMime(text))
        return mimeParts(file, text);
    return std::vector{CloudPart{TRY(kindOf(file, text)), file, std::string(text)}};
}

} // namespace lxmgr::config
