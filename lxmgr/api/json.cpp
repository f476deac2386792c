#include "api/json.h"

#include "base/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>
#include <rapidjson/writer.h>
#include <unordered_set>

namespace lxmgr::api
{

namespace
{

/// How many bytes from the start on stand for themselves in a JSON string: ASCII but for control characters, quotes and
/// backslashes. Almost all strings are such from end to end; eight bytes are looked at in one go (zero bytes of a word:
/// (word - 0x01…) & ~word & 0x80…).
std::size_t plainPrefix(std::string_view text)
{
    constexpr std::uint64_t kOnes = 0x0101010101010101, kHigh = 0x8080808080808080;
    const auto hasZero = [](std::uint64_t word) { return (word - kOnes) & ~word & kHigh; };
    std::size_t at = 0;
    for (std::uint64_t word = 0; at + sizeof word <= text.size(); at += sizeof word) {
        std::memcpy(&word, text.data() + at, sizeof word);
        const std::uint64_t control = (word - kOnes * 0x20) & ~word & kHigh;
        if ((word & kHigh) || control || hasZero(word ^ kOnes * '"') || hasZero(word ^ kOnes * '\\'))
            break;
    }
    const auto plain = [](unsigned char c) { return c >= 0x20 && c < 0x80 && c != '"' && c != '\\'; };
    while (at < text.size() && plain(static_cast<unsigned char>(text[at])))
        ++at;
    return at;
}

} // namespace

// --- writer ---------------------------------------------------------------------------------------------------------

struct JsonWriter::Output {
    struct Stream {
        using Ch = char;
        void Put(char c) { out += c; }
        void Flush() {}
        std::string &out;
    };

    explicit Output(std::string &out) : stream{out}, writer(stream) {}
    void string(std::string_view text)
    {
        writer.String(text.empty() ? "" : text.data(), static_cast<rapidjson::SizeType>(text.size()));
    }

    /// One that stands for itself: RapidJSON, which goes byte by byte, only puts the comma or colon.
    void plain(std::string_view text)
    {
        writer.RawValue("", 0, rapidjson::kStringType);
        stream.out.append(1, '"').append(text).append(1, '"');
    }

    Stream stream;
    rapidjson::Writer<Stream> writer;
};

JsonWriter::JsonWriter(std::string &out) : m_output(std::make_unique<Output>(out)) {}
JsonWriter::~JsonWriter() = default;

void JsonWriter::beginObject() { m_output->writer.StartObject(); }
void JsonWriter::endObject() { m_output->writer.EndObject(); }
void JsonWriter::beginArray() { m_output->writer.StartArray(); }
void JsonWriter::endArray() { m_output->writer.EndArray(); }
void JsonWriter::key(std::string_view name) { string(name); }
void JsonWriter::string(std::string_view text)
{
    if (plainPrefix(text) == text.size())
        m_output->plain(text);
    // RapidJSON stops in the middle of the string when it finds the bad byte itself.
    else if (isValidUtf8(text))
        m_output->string(text);
    else
        m_output->string(asUtf8(text));
}
void JsonWriter::integer(std::int64_t number) { m_output->writer.Int64(number); }
void JsonWriter::unsignedInteger(std::uint64_t number) { m_output->writer.Uint64(number); }
void JsonWriter::real(double number)
{
    if (std::isfinite(number))
        m_output->writer.Double(number);
    else
        null(); // JSON has no word for it
}
void JsonWriter::boolean(bool value) { m_output->writer.Bool(value); }
void JsonWriter::null() { m_output->writer.Null(); }

// --- reader ---------------------------------------------------------------------------------------------------------

// RapidJSON 1.1, which distributions have, can only be asked for a whole value, not for the next token: so the reader
// goes from bracket to bracket by itself, and RapidJSON parses what lies between and whatever is passed over.

namespace
{
constexpr int kDepth = 64;
constexpr unsigned kFlags = rapidjson::kParseIterativeFlag | rapidjson::kParseStopWhenDoneFlag |
                            rapidjson::kParseValidateEncodingFlag | rapidjson::kParseNumbersAsStringsFlag;

template <class T> bool parseAll(std::string_view digits, T &number, auto... base)
{
    const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base...);
    return failure == std::errc() && end == digits.data() + digits.size();
}

/// Which half of a surrogate pair the escape at `at` is.
enum class Half { None, First, Second };
Half halfAt(std::string_view text, std::size_t at)
{
    unsigned point = 0;
    if (text.substr(at, 2) != "\\u" || text.size() < at + 6 || !parseAll(text.substr(at + 2, 4), point, 16))
        return Half::None;
    return point < 0xD800 || point > 0xDFFF ? Half::None : point < 0xDC00 ? Half::First : Half::Second;
}

/// Half a pair becomes U+FFFD, as other readers have it; RapidJSON 1.1 refuses a lone first half and makes bytes that
/// are not UTF-8 of a lone second one. Every byte keeps its place.
std::string withoutHalves(std::string_view text)
{
    std::string whole(text);
    for (std::size_t at = text.find('\\'); at < text.size(); at = text.find('\\', at)) {
        const Half half = halfAt(text, at);
        if (half == Half::First && halfAt(text, at + 6) == Half::Second)
            at += 12;
        else if (half == Half::None)
            at += 2; // a backslash may be what is escaped
        else
            whole.replace(std::exchange(at, at + 6) + 2, 4, "fffd");
    }
    return whole;
}
} // namespace

struct JsonReader::Parser : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, JsonReader::Parser> {
    bool Bool(bool value)
    {
        flag = value;
        return true;
    }
    bool RawNumber(const char *, rapidjson::SizeType, bool) { return true; } // taken from the text
    bool String(const char *text, rapidjson::SizeType length, bool)
    {
        string.assign(text, length);
        // The kernel would read a shorter name than was checked.
        return string.find('\0') == std::string::npos || refuse("a NUL in a string");
    }
    bool StartObject() { return ++depth <= kDepth || refuse("nested too deeply"); }
    bool StartArray() { return StartObject(); }
    bool EndObject(rapidjson::SizeType) { return --depth >= 0; }
    bool EndArray(rapidjson::SizeType) { return --depth >= 0; }
    bool refuse(const char *why)
    {
        refusal = why;
        return false;
    }

    rapidjson::Reader reader;
    std::string whole; ///< Where the text had to be changed.
    int depth = 0;
    bool flag = false;
    std::string string;
    const char *refusal = nullptr;
};

JsonReader::JsonReader(std::string_view text) : m_parser(std::make_unique<Parser>()), m_given(text), m_text(text)
{
    if (text.find("\\ud") != std::string_view::npos || text.find("\\uD") != std::string_view::npos)
        m_text = m_parser->whole = withoutHalves(text);
}
JsonReader::~JsonReader() = default;

bool JsonReader::fail(std::string_view why)
{
    if (m_error.empty())
        m_error = "byte " + std::to_string(m_at) + ": " + std::string(why);
    return false;
}

Error JsonReader::error() const { return {Code::Invalid, m_error.empty() ? "not the JSON that is expected" : m_error}; }

void JsonReader::space() { m_at = std::min(m_text.find_first_not_of(" \n\t\r", m_at), m_text.size()); }

JsonReader::Type JsonReader::peek()
{
    space();
    if (!ok() || m_at >= m_text.size())
        return Type::Bad;
    switch (m_text[m_at]) {
    case '"':
        return Type::String;
    case '{':
        return Type::Object;
    case '[':
        return Type::Array;
    case 't':
    case 'f':
        return Type::Bool;
    case 'n':
        return Type::Null;
    default:
        return std::string_view("-0123456789").find(m_text[m_at]) != std::string_view::npos ? Type::Number : Type::Bad;
    }
}

/// Parses the value here, the whole of it.
bool JsonReader::parse()
{
    rapidjson::MemoryStream stream(m_text.data() + m_at, m_text.size() - m_at);
    m_parser->depth = m_depth;
    const rapidjson::ParseResult result = m_parser->reader.Parse<kFlags>(stream, *m_parser);
    m_at += result.IsError() ? result.Offset() : stream.Tell();
    return !result.IsError() ||
           fail(m_parser->refusal ? m_parser->refusal : rapidjson::GetParseError_En(result.Code()));
}

bool JsonReader::readNull() { return peek() == Type::Null && parse(); }

bool JsonReader::read(bool &value)
{
    if (peek() != Type::Bool)
        return fail("true or false expected");
    if (parse())
        value = m_parser->flag;
    return ok();
}

template <class T> bool JsonReader::number(T &value, std::string_view expected)
{
    if (peek() != Type::Number)
        return fail("a number expected");
    const std::size_t start = m_at;
    return parse() && (parseAll(m_text.substr(start, m_at - start), value) || fail(expected));
}

bool JsonReader::read(std::int64_t &value) { return number(value, "a whole number of 64 bits expected"); }
bool JsonReader::read(std::uint64_t &value)
{
    return number(value, "a whole number, not negative, of 64 bits expected");
}
bool JsonReader::read(double &value) { return number(value, "number out of range"); }

bool JsonReader::read(std::string &value)
{
    if (peek() != Type::String)
        return fail("a string expected");
    const std::string_view rest = m_text.substr(m_at + 1);
    if (const std::size_t size = plainPrefix(rest); size < rest.size() && rest[size] == '"') {
        value.assign(rest.substr(0, size));
        m_at += size + 2;
        return true;
    }
    if (parse())
        value = std::move(m_parser->string);
    return ok();
}

bool JsonReader::enter(Type type, std::string_view expected)
{
    if (peek() != type)
        return fail(expected);
    ++m_at;
    m_first = true;
    return ++m_depth <= kDepth || fail("nested too deeply");
}

bool JsonReader::enterObject() { return enter(Type::Object, "an object expected"); }
bool JsonReader::enterArray() { return enter(Type::Array, "a list expected"); }

bool JsonReader::expect(char c)
{
    space();
    if (!m_text.substr(m_at).starts_with(c))
        return fail(std::string("'") + c + "' expected");
    ++m_at;
    return ok();
}

/// Past the comma, if there has to be one, or past the bracket `closing`, which ends the object or list.
bool JsonReader::next(char closing)
{
    space();
    if (!ok())
        return false;
    const bool first = std::exchange(m_first, false);
    if (m_text.substr(m_at).starts_with(closing)) {
        ++m_at;
        --m_depth;
        return false;
    }
    return first || expect(',');
}

bool JsonReader::nextKey(std::string &key) { return next('}') && read(key) && expect(':'); }
bool JsonReader::nextElement() { return next(']') && (peek() != Type::Bad || fail("a value expected")); }

bool JsonReader::skip(std::string_view *text)
{
    const bool good = peek() != Type::Bad || fail("a value expected");
    const std::size_t start = m_at;
    if (good && parse() && text)
        *text = m_given.substr(start, m_at - start);
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
    if (parseAll(digits, whole))
        value = whole;
    else if (parseAll(digits, real))
        value = real;
    else
        return reader.fail("number out of range");
    return true;
}

bool readObject(JsonReader &reader, Json &value)
{
    Json::Object object;
    std::unordered_set<std::string> seen;
    std::string key;
    for (reader.enterObject(); reader.nextKey(key);) {
        if (!seen.insert(key).second)
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
