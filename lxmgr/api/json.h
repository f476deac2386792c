// JSON over RapidJSON, which only json.cpp sees: a writer into bytes, a pull reader with bounds, and a small value type
// for free-form parts. Why not Qt's: no duplicate-key or range checks, UTF-16 both ways, and the client starts without
// QtCore.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace lxmgr::api
{

/// Appends JSON to a string; commas come by themselves. Bytes that are not UTF-8 become U+FFFD.
class JsonWriter
{
public:
    explicit JsonWriter(std::string &out);
    ~JsonWriter();

    void beginObject();
    void endObject();
    void beginArray();
    void endArray();
    void key(std::string_view name);
    void string(std::string_view text);
    void integer(std::int64_t number);
    void unsignedInteger(std::uint64_t number);
    void real(double number);
    void boolean(bool value);
    void null();

private:
    struct Output;
    std::unique_ptr<Output> m_output;
};

/// Reads JSON front to back without building a tree. The first error sticks: every later call fails quietly and
/// error() tells it. Bounds: depth 64, valid UTF-8, nothing after the value.
class JsonReader
{
public:
    enum class Type { Null, Bool, Number, String, Array, Object, Bad };

    /// `text` must outlive the reader.
    explicit JsonReader(std::string_view text);
    ~JsonReader();

    Type peek();
    bool readNull();
    bool read(bool &value);
    bool read(std::int64_t &value);  ///< Refuses fractions and numbers out of range.
    bool read(std::uint64_t &value); ///< The same.
    bool read(double &value);
    bool read(std::string &value);
    /// for (reader.enterObject(); reader.nextKey(key);) …read the value…
    bool enterObject();
    bool nextKey(std::string &key);
    bool enterArray();
    bool nextElement();
    /// Passes over the next value and gives its text.
    bool skip(std::string_view *text = nullptr);
    /// Nothing but white space may follow.
    bool end();

    bool ok() const { return m_error.empty(); }
    bool fail(std::string_view why);
    /// Invalid: "byte 17: …".
    Error error() const;

private:
    void space();
    bool expect(char c);
    bool enter(Type type, std::string_view expected);
    bool next(char closing);
    bool parse();
    template <class T> bool number(T &value, std::string_view expected);

    struct Parser;
    std::unique_ptr<Parser> m_parser;
    std::string_view m_given;
    std::string_view m_text; ///< As given, or as long and without escapes that RapidJSON would not take.
    std::size_t m_at = 0;
    int m_depth = 0;
    bool m_first = false; ///< Just behind an opening bracket.
    std::string m_error;
};

/// A JSON value in memory; objects keep their order.
class Json
{
public:
    using Array = std::vector<Json>;
    using Member = std::pair<std::string, Json>;
    using Object = std::vector<Member>;

    Json() = default;
    Json(std::nullptr_t) {}                                          // NOLINT: values convert
    Json(bool value) : m_value(value) {}                             // NOLINT
    Json(int value) : m_value(std::int64_t(value)) {}                // NOLINT
    Json(unsigned value) : m_value(std::int64_t(value)) {}           // NOLINT
    Json(long value) : m_value(std::int64_t(value)) {}               // NOLINT
    Json(long long value) : m_value(std::int64_t(value)) {}          // NOLINT
    Json(unsigned long value) : m_value(std::int64_t(value)) {}      // NOLINT
    Json(unsigned long long value) : m_value(std::int64_t(value)) {} // NOLINT
    Json(double value) : m_value(value) {}                           // NOLINT
    Json(std::string value) : m_value(std::move(value)) {}           // NOLINT
    Json(std::string_view value) : m_value(std::string(value)) {}    // NOLINT
    Json(const char *value) : m_value(std::string(value)) {}         // NOLINT
    Json(Array value) : m_value(std::move(value)) {}                 // NOLINT
    Json(Object value) : m_value(std::move(value)) {}                // NOLINT
    static Json object() { return Json(Object{}); }
    static Json array() { return Json(Array{}); }

    bool isNull() const { return std::holds_alternative<std::monostate>(m_value); }
    bool isObject() const { return std::holds_alternative<Object>(m_value); }
    bool isArray() const { return std::holds_alternative<Array>(m_value); }
    const std::string *asString() const { return std::get_if<std::string>(&m_value); }
    const std::int64_t *asInteger() const { return std::get_if<std::int64_t>(&m_value); }
    const bool *asBool() const { return std::get_if<bool>(&m_value); }
    const double *asReal() const { return std::get_if<double>(&m_value); }
    const Array *asArray() const { return std::get_if<Array>(&m_value); }
    const Object *asObject() const { return std::get_if<Object>(&m_value); }
    Array *asArray() { return std::get_if<Array>(&m_value); }
    Object *asObject() { return std::get_if<Object>(&m_value); }

    /// Member `key` of an object; nullptr if there is none or this is no object.
    const Json *find(std::string_view key) const;
    /// The text of member `key`, "" if it is missing or no string.
    std::string text(std::string_view key) const;
    std::int64_t integer(std::string_view key, std::int64_t otherwise = 0) const;
    /// Member `key`, made when missing; a null becomes an object first.
    Json &operator[](std::string_view key);
    void remove(std::string_view key);
    void append(Json value);

    std::string dump() const;
    static Result<Json> parse(std::string_view text);
    bool operator==(const Json &) const = default;

private:
    std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> m_value;
};

void writeJson(JsonWriter &writer, const Json &value);
bool readJson(JsonReader &reader, Json &value);

} // namespace lxmgr::api
