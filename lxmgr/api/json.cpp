#include "api/json.h"

#include "base/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <unordered_set>

namespace lxmgr::api
{

namespace
{
constexpr int kDepth = 64;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD"; // U+FFFD
/// Up to here a loop over the members finds a duplicate key faster than a hash table does.
constexpr std::size_t kFewMembers = 16;

/// Length of the UTF-8 sequence at the front of `text`, 0 if it is none (overlong forms and surrogates included).
std::size_t sequenceLength(std::string_view text)
{
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
    const unsigned first = byte(0);
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first < 0xE0)
        return follows(1) ? 2 : 0;
    if (first >= 0xE0 && first < 0xF0) {
        const bool bad = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) >= 0xA0);
        return follows(1) && follows(2) && !bad ? 3 : 0;
    }
    if (first >= 0xF0 && first < 0xF5) {
        const bool bad = (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) >= 0x90);
        return follows(1) && follows(2) && follows(3) && !bad ? 4 : 0;
    }
    return 0;
}

void appendUtf8(std::string &out, std::uint32_t point)
{
    if (point < 0x80) {
        out += static_cast<char>(point);
    } else if (point < 0x800) {
        out += static_cast<char>(0xC0 | point >> 6);
        out += static_cast<char>(0x80 | (point & 0x3F));
    } else if (point < 0x10000) {
        out += static_cast<char>(0xE0 | point >> 12);
        out += static_cast<char>(0x80 | (point >> 6 & 0x3F));
        out += static_cast<char>(0x80 | (point & 0x3F));
    } else {
        out += static_cast<char>(0xF0 | point >> 18);
        out += static_cast<char>(0x80 | (point >> 12 & 0x3F));
        out += static_cast<char>(0x80 | (point >> 6 & 0x3F));
        out += static_cast<char>(0x80 | (point & 0x3F));
    }
}

bool isDigit(char c) { return c >= '0' && c <= '9'; }

/// How many bytes at the front of `text` are neither quote, backslash, control character nor one of `alsoStop` (high bits).
/// Eight at a time: most of all JSON is strings, and most strings are plain.
std::size_t plainRun(std::string_view text, std::uint64_t alsoStop)
{
    constexpr std::uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
    std::size_t at = 0;
    for (; at + 8 <= text.size(); at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, text.data() + at, 8);
        const std::uint64_t quote = word ^ (kOnes * '"'), slash = word ^ (kOnes * '\\');
        const std::uint64_t stops = ((quote - kOnes) & ~quote) | ((slash - kOnes) & ~slash) | ((word - kOnes * 0x20) & ~word);
        if ((stops & kHigh) || (word & alsoStop))
            break;
    }
    for (; at < text.size(); ++at) {
        const auto byte = static_cast<unsigned char>(text[at]);
        if (byte < 0x20 || byte == '"' || byte == '\\' || (byte >= 0x80 && alsoStop))
            break;
    }
    return at;
}
constexpr std::uint64_t kStopAtHigh = 0x8080808080808080;
} // namespace

// --- writer ---------------------------------------------------------------------------------------------------------

void JsonWriter::separate()
{
    if (m_comma)
        m_out += ',';
    m_comma = true;
}

void JsonWriter::open(char bracket)
{
    separate();
    m_out += bracket;
    m_comma = false;
}

void JsonWriter::close(char bracket)
{
    m_out += bracket;
    m_comma = true;
}

void JsonWriter::key(std::string_view name)
{
    separate();
    quote(name);
    m_out += ':';
    m_comma = false;
}

void JsonWriter::string(std::string_view text)
{
    separate();
    quote(text);
}

void JsonWriter::integer(std::int64_t number)
{
    separate();
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    m_out.append(digits, end);
}

void JsonWriter::unsignedInteger(std::uint64_t number)
{
    separate();
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    m_out.append(digits, end);
}

void JsonWriter::real(double number)
{
    if (!std::isfinite(number))
        return null(); // JSON has no word for it
    separate();
    char digits[40];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    m_out.append(digits, end);
}

void JsonWriter::boolean(bool value)
{
    separate();
    m_out += value ? "true" : "false";
}

void JsonWriter::null()
{
    separate();
    m_out += "null";
}

void JsonWriter::raw(std::string_view json)
{
    separate();
    m_out += json;
}

void JsonWriter::quote(std::string_view text)
{
    static constexpr char kDigits[] = "0123456789abcdef";
    m_out += '"';
    while (!text.empty()) {
        const std::size_t run = plainRun(text, kStopAtHigh);
        m_out.append(text.substr(0, run));
        text.remove_prefix(run);
        if (text.empty())
            break;
        const char c = text[0];
        std::size_t length = 1;
        if (c == '"' || c == '\\') {
            m_out += '\\';
            m_out += c;
        } else if (c == '\n') {
            m_out += "\\n";
        } else if (c == '\t') {
            m_out += "\\t";
        } else if (c == '\r') {
            m_out += "\\r";
        } else if (static_cast<unsigned char>(c) < 0x20) {
            m_out += "\\u00";
            m_out += kDigits[static_cast<unsigned char>(c) >> 4];
            m_out += kDigits[static_cast<unsigned char>(c) & 15];
        } else if ((length = sequenceLength(text)) > 0) {
            m_out.append(text.substr(0, length));
        } else {
            m_out += kReplacement;
            length = 1;
        }
        text.remove_prefix(length);
    }
    m_out += '"';
}

// --- reader ---------------------------------------------------------------------------------------------------------

JsonReader::JsonReader(std::string_view text) : m_text(text)
{
    if (!isValidUtf8(text))
        fail("the text is not UTF-8");
}

void JsonReader::space()
{
    while (m_at < m_text.size()) {
        const char c = m_text[m_at];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
            return;
        ++m_at;
    }
}

bool JsonReader::fail(std::string_view why)
{
    if (m_error.empty())
        m_error = "byte " + std::to_string(m_at) + ": " + std::string(why);
    return false;
}

Error JsonReader::error() const { return {Code::Invalid, m_error.empty() ? "not the JSON that is expected" : m_error}; }

bool JsonReader::expect(char c)
{
    space();
    if (!ok())
        return false;
    if (m_at >= m_text.size() || m_text[m_at] != c)
        return fail(std::string("'") + c + "' expected");
    ++m_at;
    return true;
}

JsonReader::Type JsonReader::peek()
{
    space();
    if (!ok() || m_at >= m_text.size())
        return Type::Bad;
    const char c = m_text[m_at];
    if (c == '"')
        return Type::String;
    if (c == '{')
        return Type::Object;
    if (c == '[')
        return Type::Array;
    if (c == '-' || isDigit(c))
        return Type::Number;
    if (c == 't' || c == 'f')
        return Type::Bool;
    return c == 'n' ? Type::Null : Type::Bad;
}

bool JsonReader::literal(std::string_view word)
{
    if (m_text.substr(m_at, word.size()) != word)
        return false;
    m_at += word.size();
    return true;
}

bool JsonReader::readNull() { return peek() == Type::Null && (literal("null") || fail("a value expected")); }

bool JsonReader::read(bool &value)
{
    if (peek() != Type::Bool)
        return fail("true or false expected");
    if (literal("true")) {
        value = true;
        return true;
    }
    value = false;
    return literal("false") || fail("true or false expected");
}

bool JsonReader::number(std::string_view &digits)
{
    if (peek() != Type::Number)
        return fail("a number expected");
    const std::size_t start = m_at;
    const auto run = [&] {
        const std::size_t from = m_at;
        while (m_at < m_text.size() && isDigit(m_text[m_at]))
            ++m_at;
        return m_at > from;
    };
    const auto is = [&](std::string_view any) {
        return m_at < m_text.size() && any.find(m_text[m_at]) != std::string_view::npos;
    };
    if (is("-"))
        ++m_at;
    const bool zero = is("0");
    const std::size_t first = m_at;
    if (!run() || (zero && m_at > first + 1))
        return fail("a number expected");
    if (is(".")) {
        ++m_at;
        if (!run())
            return fail("digits expected");
    }
    if (is("eE")) {
        ++m_at;
        if (is("+-"))
            ++m_at;
        if (!run())
            return fail("digits expected");
    }
    digits = m_text.substr(start, m_at - start);
    return true;
}

namespace
{
template <class T> bool wholeNumber(std::string_view digits, T &value)
{
    const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return failure == std::errc() && end == digits.data() + digits.size();
}
} // namespace

bool JsonReader::read(std::int64_t &value)
{
    std::string_view digits;
    return number(digits) && (wholeNumber(digits, value) || fail("a whole number of 64 bits expected"));
}

bool JsonReader::read(std::uint64_t &value)
{
    std::string_view digits;
    return number(digits) && (wholeNumber(digits, value) || fail("a whole number, not negative, of 64 bits expected"));
}

bool JsonReader::read(double &value)
{
    std::string_view digits;
    return number(digits) && (wholeNumber(digits, value) || fail("number out of range"));
}

bool JsonReader::stringSpan(std::string_view &inside, bool &escaped)
{
    if (peek() != Type::String)
        return fail("a string expected");
    escaped = false;
    std::size_t at = m_at + 1;
    for (;; at += 2) {
        at += plainRun(m_text.substr(std::min(at, m_text.size())), 0);
        if (at >= m_text.size() || m_text[at] == '"')
            break;
        if (m_text[at] != '\\')
            return fail("a control character in a string");
        escaped = true;
    }
    if (at >= m_text.size())
        return fail("a string that does not end");
    inside = m_text.substr(m_at + 1, at - m_at - 1);
    m_at = at + 1;
    return true;
}

namespace
{
bool fourHex(std::string_view text, std::uint32_t &number)
{
    if (text.size() < 4)
        return false;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + 4, number, 16);
    return failure == std::errc() && end == text.data() + 4;
}

/// The code point of a \u escape at the front of `text` (behind the "\u"); takes both halves of a pair.
bool takePoint(std::string_view &text, std::uint32_t &point)
{
    if (!fourHex(text, point))
        return false;
    text.remove_prefix(4);
    if (point < 0xD800 || point > 0xDFFF)
        return true;
    std::uint32_t low = 0;
    if (point < 0xDC00 && text.starts_with("\\u") && fourHex(text.substr(2), low) && low >= 0xDC00 && low <= 0xDFFF) {
        point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
        text.remove_prefix(6);
    } else {
        point = 0xFFFD; // half a pair
    }
    return true;
}
} // namespace

bool JsonReader::unescape(std::string_view inside, std::string &value)
{
    static constexpr std::string_view kLetters = "\"\\/bfnrt";
    static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    value.clear();
    while (!inside.empty()) {
        const std::size_t run = std::min(inside.find('\\'), inside.size());
        value.append(inside.substr(0, run));
        inside.remove_prefix(run);
        if (inside.size() < 2)
            break;
        const char letter = inside[1];
        inside.remove_prefix(2);
        if (const std::size_t at = kLetters.find(letter); at != std::string_view::npos) {
            value += kMeanings[at];
            continue;
        }
        std::uint32_t point = 0;
        if (letter != 'u' || !takePoint(inside, point))
            return fail("an unknown escape in a string");
        if (point == 0)
            return fail("a NUL in a string"); // the kernel would read a shorter name than was checked
        appendUtf8(value, point);
    }
    return true;
}

bool JsonReader::read(std::string &value)
{
    std::string_view inside;
    bool escaped = false;
    if (!stringSpan(inside, escaped))
        return false;
    if (escaped)
        return unescape(inside, value);
    value = inside;
    return true;
}

bool JsonReader::nest()
{
    m_first = true;
    return ++m_depth <= kDepth || fail("nested too deeply");
}

bool JsonReader::enterObject()
{
    if (peek() != Type::Object)
        return fail("an object expected");
    ++m_at;
    return nest();
}

bool JsonReader::enterArray()
{
    if (peek() != Type::Array)
        return fail("a list expected");
    ++m_at;
    return nest();
}

bool JsonReader::nextKey(std::string &key)
{
    space();
    if (!ok())
        return false;
    if (m_at < m_text.size() && m_text[m_at] == '}') {
        ++m_at;
        --m_depth;
        m_first = false;
        return false;
    }
    if (!m_first && !expect(','))
        return false;
    m_first = false;
    return read(key) && expect(':');
}

bool JsonReader::nextElement()
{
    space();
    if (!ok())
        return false;
    if (m_at < m_text.size() && m_text[m_at] == ']') {
        ++m_at;
        --m_depth;
        m_first = false;
        return false;
    }
    if (!m_first && !expect(','))
        return false;
    m_first = false;
    space();
    if (m_at >= m_text.size() || m_text[m_at] == ']')
        return fail("a value expected");
    return true;
}

/// To the bracket that closes the one here. What lies between is not looked at closely: either nobody wants it, or
/// whoever does reads it from the text.
bool JsonReader::skipNested()
{
    std::string closing;
    std::string_view span;
    bool escaped = false;
    while (m_at < m_text.size()) {
        const char c = m_text[m_at];
        if (c == '"') {
            if (!stringSpan(span, escaped))
                return false;
            continue;
        }
        ++m_at;
        if (c == '{' || c == '[') {
            closing += c == '{' ? '}' : ']';
            if (m_depth + static_cast<int>(closing.size()) > kDepth)
                return fail("nested too deeply");
        } else if (c == '}' || c == ']') {
            if (closing.back() != c)
                return fail("a bracket that does not fit");
            closing.pop_back();
            if (closing.empty())
                return true;
        }
    }
    return fail("a bracket that is not closed");
}

bool JsonReader::skip(std::string_view *text)
{
    space();
    const std::size_t start = m_at;
    std::string key;
    std::string_view span;
    bool flag = false;
    switch (peek()) {
    case Type::Null:
        readNull();
        break;
    case Type::Bool:
        read(flag);
        break;
    case Type::Number:
        number(span);
        break;
    case Type::String:
        read(key); // for its escapes
        break;
    case Type::Array:
    case Type::Object:
        skipNested();
        break;
    case Type::Bad:
        fail("a value expected");
    }
    if (text)
        *text = m_text.substr(start, m_at - start);
    return ok();
}

bool JsonReader::end()
{
    space();
    return ok() && (m_at == m_text.size() || fail("nothing more expected"));
}

// --- value ----------------------------------------------------------------------------------------------------------

const Json *Json::find(std::string_view key) const
{
    if (const Object *object = asObject())
        for (const Member &member : *object)
            if (member.first == key)
                return &member.second;
    return nullptr;
}

std::string Json::text(std::string_view key) const
{
    const Json *member = find(key);
    const std::string *string = member ? member->asString() : nullptr;
    return string ? *string : std::string();
}

std::int64_t Json::integer(std::string_view key, std::int64_t otherwise) const
{
    const Json *member = find(key);
    const std::int64_t *number = member ? member->asInteger() : nullptr;
    return number ? *number : otherwise;
}

Json &Json::operator[](std::string_view key)
{
    if (!isObject())
        m_value = Object{};
    Object &object = *asObject();
    for (Member &member : object)
        if (member.first == key)
            return member.second;
    return object.emplace_back(std::string(key), Json()).second;
}

void Json::remove(std::string_view key)
{
    if (Object *object = asObject())
        std::erase_if(*object, [&](const Member &member) { return member.first == key; });
}

void Json::append(Json value)
{
    if (!isArray())
        m_value = Array{};
    asArray()->push_back(std::move(value));
}

std::string Json::dump() const
{
    std::string out;
    JsonWriter writer(out);
    writeJson(writer, *this);
    return out;
}

Result<Json> Json::parse(std::string_view text)
{
    JsonReader reader(text);
    Json value;
    if (!readJson(reader, value) || !reader.end())
        return reader.error();
    return value;
}

void writeJson(JsonWriter &writer, const Json &value)
{
    if (const bool *flag = value.asBool()) {
        writer.boolean(*flag);
    } else if (const std::int64_t *number = value.asInteger()) {
        writer.integer(*number);
    } else if (const double *real = value.asReal()) {
        writer.real(*real);
    } else if (const std::string *string = value.asString()) {
        writer.string(*string);
    } else if (const Json::Array *array = value.asArray()) {
        writer.beginArray();
        for (const Json &element : *array)
            writeJson(writer, element);
        writer.endArray();
    } else if (const Json::Object *object = value.asObject()) {
        writer.beginObject();
        for (const Json::Member &member : *object) {
            writer.key(member.first);
            writeJson(writer, member.second);
        }
        writer.endObject();
    } else {
        writer.null();
    }
}

namespace
{
bool readNumber(JsonReader &reader, Json &value)
{
    std::string_view digits;
    if (!reader.skip(&digits))
        return false;
    std::int64_t whole = 0;
    double real = 0;
    if (wholeNumber(digits, whole))
        value = whole;
    else if (wholeNumber(digits, real))
        value = real;
    else
        return reader.fail("number out of range");
    return true;
}

bool readObject(JsonReader &reader, Json &value)
{
    Json::Object object;
    std::unordered_set<std::string> many;
    std::string key;
    for (reader.enterObject(); reader.nextKey(key);) {
        bool twice = false;
        if (object.size() < kFewMembers) {
            twice = std::ranges::any_of(object, [&](const Json::Member &member) { return member.first == key; });
        } else {
            if (many.empty())
                for (const Json::Member &member : object)
                    many.insert(member.first);
            twice = !many.insert(key).second;
        }
        if (twice)
            return reader.fail("member " + quoted(key) + " is given twice");
        if (!readJson(reader, object.emplace_back(key, Json()).second))
            return false;
    }
    value = std::move(object);
    return reader.ok();
}

bool readArray(JsonReader &reader, Json &value)
{
    Json::Array array;
    for (reader.enterArray(); reader.nextElement();)
        if (!readJson(reader, array.emplace_back()))
            return false;
    value = std::move(array);
    return reader.ok();
}
} // namespace

bool readJson(JsonReader &reader, Json &value)
{
    bool flag = false;
    std::string string;
    switch (reader.peek()) {
    case JsonReader::Type::Null:
        value = Json();
        return reader.readNull();
    case JsonReader::Type::Bool:
        if (!reader.read(flag))
            return false;
        value = flag;
        return true;
    case JsonReader::Type::Number:
        return readNumber(reader, value);
    case JsonReader::Type::String:
        if (!reader.read(string))
            return false;
        value = std::move(string);
        return true;
    case JsonReader::Type::Array:
        return readArray(reader, value);
    case JsonReader::Type::Object:
        return readObject(reader, value);
    case JsonReader::Type::Bad:
        break;
    }
    return reader.fail("a value expected");
}

} // namespace lxmgr::api
