#include "base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace lxmgr
{

namespace
{

bool isSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'; }

/// Length of the valid UTF-8 sequence at the start of `text` (RFC 3629), 0 where there is none.
std::size_t utf8Length(std::string_view text)
{
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = at(0);
    if (first < 0x80)
        return 1;
    const std::size_t length = first >= 0xC2 && first <= 0xDF ? 2 : (first & 0xF0) == 0xE0 ? 3 : first >= 0xF0 && first <= 0xF4 ? 4 : 0;
    if (length == 0 || text.size() < length)
        return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((at(i) & 0xC0) != 0x80)
            return 0;
    const unsigned char second = at(1);
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90) ||
        (first == 0xF4 && second > 0x8F))
        return 0;
    return length;
}

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

constexpr std::uint64_t kKibi = 1024;
constexpr Unit kUnits[] = {
    {"EiB", kKibi * kKibi * kKibi * kKibi * kKibi * kKibi},
    {"PiB", kKibi * kKibi * kKibi * kKibi * kKibi},
    {"TiB", kKibi * kKibi * kKibi * kKibi},
    {"GiB", kKibi * kKibi * kKibi},
    {"MiB", kKibi * kKibi},
    {"KiB", kKibi},
    {"EB", 1000000000000000000ULL},
    {"PB", 1000000000000000ULL},
    {"TB", 1000000000000ULL},
    {"GB", 1000000000ULL},
    {"MB", 1000000ULL},
    {"kB", 1000ULL},
    {"B", 1ULL},
};

std::size_t editDistance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j)
        row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t above = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
            diagonal = above;
        }
    }
    return row[b.size()];
}

} // namespace

std::vector<std::string> split(std::string_view text, char separator)
{
    std::vector<std::string> parts;
    if (text.empty())
        return parts;
    std::size_t from = 0;
    for (;;) {
        const std::size_t to = text.find(separator, from);
        parts.emplace_back(text.substr(from, to - from));
        if (to == std::string_view::npos)
            return parts;
        from = to + 1;
    }
}

std::vector<std::string> words(std::string_view text)
{
    std::vector<std::string> found;
    std::size_t at = 0;
    while (at < text.size()) {
        while (at < text.size() && isSpace(text[at]))
            ++at;
        const std::size_t from = at;
        while (at < text.size() && !isSpace(text[at]))
            ++at;
        if (at > from)
            found.emplace_back(text.substr(from, at - from));
    }
    return found;
}

std::string join(std::span<const std::string> parts, std::string_view separator)
{
    std::string text;
    for (const std::string &part : parts) {
        if (&part != &parts.front())
            text.append(separator);
        text.append(part);
    }
    return text;
}

std::string_view trimmed(std::string_view text)
{
    while (!text.empty() && isSpace(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && isSpace(text.back()))
        text.remove_suffix(1);
    return text;
}

std::string lower(std::string_view text)
{
    std::string out(text);
    std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return out;
}

std::string upper(std::string_view text)
{
    std::string out(text);
    std::ranges::transform(out, out.begin(), [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
    return out;
}

std::string escaped(std::string_view text)
{
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = utf8Length(text);
        const unsigned char first = static_cast<unsigned char>(text.front());
        // C0, DEL and C1 (U+0080..U+009F, encoded C2 80..C2 9F) all steer terminals.
        const bool control = length == 0 || first < 0x20 || first == 0x7F ||
                             (length == 2 && first == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0);
        const std::size_t take = length == 0 ? 1 : length;
        if (control) {
            for (std::size_t i = 0; i < take; ++i) {
                char hex[8];
                std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned char>(text[i]));
                out.append(hex);
            }
        } else {
            out.append(text.substr(0, take));
        }
        text.remove_prefix(take);
    }
    return out;
}

std::string Quoted::operator()(std::string_view text) const { return "'" + escaped(text) + "'"; }

bool isValidUtf8(std::string_view text)
{
    while (!text.empty()) {
        // Eight ASCII bytes at a time: almost all text is ASCII, and every string of every JSON answer comes by here.
        std::uint64_t word = 0;
        if (text.size() >= sizeof word && (std::memcpy(&word, text.data(), sizeof word), (word & 0x8080808080808080ULL) == 0)) {
            text.remove_prefix(sizeof word);
            continue;
        }
        const std::size_t length = utf8Length(text);
        if (length == 0)
            return false;
        text.remove_prefix(length);
    }
    return true;
}

std::string asUtf8(std::string_view text)
{
    std::string out;
    while (!text.empty()) {
        const std::size_t length = utf8Length(text);
        out += length > 0 ? text.substr(0, length) : "\xEF\xBF\xBD";
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return out;
}

std::uint64_t nameHash(std::string_view text)
{
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return hash;
}

std::string toHex(std::span<const unsigned char> bytes)
{
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string out;
    out.reserve(bytes.size() * 2);
    for (const unsigned char byte : bytes) {
        out.push_back(kDigits[byte >> 4]);
        out.push_back(kDigits[byte & 15]);
    }
    return out;
}

Result<std::uint64_t> parseUnsigned(std::string_view text, std::uint64_t least, std::uint64_t most)
{
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value < least || value > most)
        return Error(Code::Invalid, quoted(text) + " is not a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    return value;
}

Result<std::int64_t> parseSigned(std::string_view text, std::int64_t least, std::int64_t most)
{
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value < least || value > most)
        return Error(Code::Invalid, quoted(text) + " is not a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    return value;
}

Result<bool> parseBool(std::string_view text)
{
    const std::string word = lower(text);
    if (word == "true" || word == "1" || word == "yes" || word == "on")
        return true;
    if (word == "false" || word == "0" || word == "no" || word == "off")
        return false;
    return Error(Code::Invalid, quoted(text) + " is not a boolean (true or false)");
}

Result<Bytes> parseBytes(std::string_view text)
{
    const auto bad = [&] { return Error(Code::Invalid, quoted(text) + " is not a size (for example 512MiB, 2GB or 1048576)"); };
    std::string_view number = text;
    std::uint64_t factor = 1;
    for (const Unit &unit : kUnits) {
        if (text.ends_with(unit.name)) {
            number = text.substr(0, text.size() - unit.name.size());
            factor = unit.factor;
            break;
        }
    }
    const Result<std::uint64_t> count = parseUnsigned(number);
    std::uint64_t product = 0;
    if (!count || __builtin_mul_overflow(*count, factor, &product) || product > INT64_MAX)
        return bad();
    return Bytes{product};
}

std::string formatBytes(Bytes size)
{
    for (std::size_t i = 0; i < 6; ++i)
        if (size.count != 0 && size.count % kUnits[i].factor == 0)
            return std::to_string(size.count / kUnits[i].factor) + std::string(kUnits[i].name);
    return std::to_string(size.count);
}

std::string humanBytes(Bytes size)
{
    for (std::size_t i = 0; i < 6; ++i) {
        if (size.count >= kUnits[i].factor) {
            char text[32];
            std::snprintf(text, sizeof text, "%.2f%s", static_cast<double>(size.count) / static_cast<double>(kUnits[i].factor),
                          std::string(kUnits[i].name).c_str());
            return text;
        }
    }
    return std::to_string(size.count) + "B";
}

std::optional<std::string> nearest(std::string_view text, std::span<const std::string_view> candidates)
{
    std::optional<std::string> best;
    std::size_t least = std::max<std::size_t>(text.size() / 3, 1) + 1;
    for (const std::string_view candidate : candidates) {
        const std::size_t distance = editDistance(text, candidate);
        if (distance < least) {
            least = distance;
            best = std::string(candidate);
        }
    }
    return best;
}

} // namespace lxmgr
