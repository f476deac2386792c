#include "http/target.h"

#include "base/text.h"

namespace lxmgr::http
{

namespace
{
int hexDigit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

Error invalid(std::string_view why, std::string_view text)
{
    return {Code::Invalid, std::string(why) + " in " + quoted(text.substr(0, 200))};
}

Result<std::vector<std::string>> parsePath(std::string_view path)
{
    std::vector<std::string> segments;
    path.remove_prefix(1);
    if (path.ends_with('/'))
        path.remove_suffix(1);
    if (path.empty())
        return segments;
    for (const std::string &raw : split(path, '/')) {
        std::string segment = TRY(percentDecode(raw));
        if (segment.empty() || segment == "." || segment == "..")
            return invalid("an empty, '.' or '..' segment", path);
        segments.push_back(std::move(segment));
    }
    return segments;
}
} // namespace

const std::string *Query::find(std::string_view name) const
{
    for (const auto &[key, value] : m_list)
        if (key == name)
            return &value;
    return nullptr;
}

std::string_view Query::value(std::string_view name) const
{
    const std::string *found = find(name);
    return found ? std::string_view(*found) : std::string_view();
}

bool Query::flag(std::string_view name) const
{
    const std::string *found = find(name);
    return found && parseBool(*found).value_or(false);
}

Result<Target> parseTarget(std::string_view target)
{
    if (!target.starts_with('/'))
        return Error(Code::Invalid, "the request target must be an absolute path");
    target = target.substr(0, target.find('#'));
    const std::size_t mark = target.find('?');
    Target result;
    result.segments = TRY(parsePath(target.substr(0, mark)));
    if (mark != std::string_view::npos)
        result.query = TRY(parseQuery(target.substr(mark + 1)));
    return result;
}

std::string percentEncode(std::string_view text)
{
    static constexpr char kDigits[] = "0123456789ABCDEF";
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                           c == '_' || c == '.' || c == '~';
        if (plain) {
            out += c;
        } else {
            out += '%';
            out += kDigits[byte >> 4];
            out += kDigits[byte & 15];
        }
    }
    return out;
}

Result<std::string> percentDecode(std::string_view text, Plus plus)
{
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '+' && plus == Plus::Space) {
            c = ' ';
        } else if (c == '%') {
            const int high = i + 2 < text.size() ? hexDigit(text[i + 1]) : -1;
            const int low = i + 2 < text.size() ? hexDigit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return invalid("a broken percent escape", text);
            c = static_cast<char>(high * 16 + low);
            i += 2;
        }
        if (c == '\0')
            return invalid("a NUL", text);
        out += c;
    }
    return out;
}

Result<Query> parseQuery(std::string_view text)
{
    Query query;
    for (const std::string &part : split(text, '&')) {
        if (part.empty())
            continue;
        const std::size_t equals = part.find('=');
        const std::string_view view = part;
        query.add(TRY(percentDecode(view.substr(0, equals), Plus::Space)),
                  equals == std::string::npos ? std::string()
                                              : TRY(percentDecode(view.substr(equals + 1), Plus::Space)));
    }
    return query;
}

} // namespace lxmgr::http
