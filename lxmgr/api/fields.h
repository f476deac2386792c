// One row per member gives both directions: fields of a struct ↔ members of a JSON object.
#pragma once

#include "api/json.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <vector>

namespace lxmgr::api
{

/// When a member is left out of the JSON: never, or when it equals that of a default T.
struct Always {};
struct OmitEmpty {};

template <class T, class M, class Rule> struct Field {
    std::string_view name;
    M T::*member;
    Rule rule = {};
};
template <class T, class M> Field(const char *, M T::*) -> Field<T, M, Always>;
template <class T, class M> Field(const char *, M T::*, OmitEmpty) -> Field<T, M, OmitEmpty>;

/// Specialised per struct: `static constexpr auto rows = std::tuple{Field{"name", &T::name}, …};`
template <class T> struct Fields;
template <class T>
concept HasFields = requires { Fields<T>::rows; };

namespace detail
{
template <class T> struct IsVector : std::false_type {};
template <class T> struct IsVector<std::vector<T>> : std::true_type {};
template <class T> struct IsMap : std::false_type {};
template <class T> struct IsMap<std::map<std::string, T>> : std::true_type {};
template <class T> struct IsOptional : std::false_type {};
template <class T> struct IsOptional<std::optional<T>> : std::true_type {};
} // namespace detail

inline void writeJson(JsonWriter &w, const std::string &value) { w.string(value); }
inline void writeJson(JsonWriter &w, bool value) { w.boolean(value); }
inline void writeJson(JsonWriter &w, double value) { w.real(value); }
template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
void writeJson(JsonWriter &w, T value)
{
    if constexpr (std::is_signed_v<T>)
        w.integer(value);
    else
        w.unsignedInteger(value);
}

/// Which members of an object are written.
using Wanted = std::set<std::string, std::less<>>;

namespace detail
{
/// The members of `value`, all of them or those that are wanted.
template <HasFields T> void writeMembers(JsonWriter &w, const T &value, const Wanted *wanted);
} // namespace detail

template <class T>
    requires(detail::IsVector<T>::value || detail::IsMap<T>::value || detail::IsOptional<T>::value || HasFields<T>)
void writeJson(JsonWriter &w, const T &value)
{
    if constexpr (detail::IsVector<T>::value) {
        w.beginArray();
        for (const auto &element : value)
            writeJson(w, element);
        w.endArray();
    } else if constexpr (detail::IsMap<T>::value) {
        w.beginObject();
        for (const auto &[name, element] : value) {
            w.key(name);
            writeJson(w, element);
        }
        w.endObject();
    } else if constexpr (detail::IsOptional<T>::value) {
        if (value)
            writeJson(w, *value);
        else
            w.null();
    } else {
        detail::writeMembers(w, value, nullptr);
    }
}

template <HasFields T> void detail::writeMembers(JsonWriter &w, const T &value, const Wanted *wanted)
{
    w.beginObject();
    std::apply(
        [&](const auto &...row) {
            auto one = [&]<class F>(const F &field) {
                if (wanted && !wanted->contains(field.name))
                    return;
                if constexpr (std::is_same_v<decltype(F::rule), OmitEmpty>) {
                    static const T empty{};
                    if (value.*field.member == empty.*field.member)
                        return;
                }
                w.key(field.name);
                writeJson(w, value.*field.member);
            };
            (one(row), ...);
        },
        Fields<T>::rows);
    w.endObject();
}

/// Only these members of an object; names that it has not are no error.
template <HasFields T> void writeJson(JsonWriter &w, const T &value, const Wanted &wanted)
{
    detail::writeMembers(w, value, &wanted);
}

inline bool readJson(JsonReader &r, std::string &value) { return r.readNull() || r.read(value); }
inline bool readJson(JsonReader &r, bool &value) { return r.readNull() || r.read(value); }
inline bool readJson(JsonReader &r, double &value) { return r.readNull() || r.read(value); }
template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
bool readJson(JsonReader &r, T &value)
{
    if (r.readNull())
        return true;
    std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t> wide = 0;
    if (!r.read(wide))
        return false;
    value = static_cast<T>(wide);
    return std::cmp_equal(value, wide) || r.fail("number out of range");
}

/// Reads into `value`; null leaves it as it is (as Go does), unknown members are passed over, a member given twice is an
/// error: what was checked and what is used must be the same.
template <class T>
    requires(detail::IsVector<T>::value || detail::IsMap<T>::value || detail::IsOptional<T>::value || HasFields<T>)
bool readJson(JsonReader &r, T &value)
{
    if (r.readNull())
        return true;
    if constexpr (detail::IsVector<T>::value) {
        for (r.enterArray(); r.nextElement();)
            if (!readJson(r, value.emplace_back()))
                return false;
    } else if constexpr (detail::IsMap<T>::value) {
        std::string key;
        for (r.enterObject(); r.nextKey(key);) {
            auto [at, fresh] = value.try_emplace(key);
            if (!fresh)
                return r.fail("member '" + key + "' is given twice");
            if (!readJson(r, at->second))
                return false;
        }
    } else if constexpr (detail::IsOptional<T>::value) {
        return readJson(r, value.emplace());
    } else {
        std::uint64_t seen = 0;
        std::string key;
        for (r.enterObject(); r.nextKey(key);) {
            bool known = false;
            std::apply(
                [&](const auto &...row) {
                    std::uint64_t bit = 1;
                    auto one = [&](const auto &field) {
                        if (field.name == key) {
                            known = true;
                            if (seen & bit)
                                r.fail("member '" + key + "' is given twice");
                            seen |= bit;
                            readJson(r, value.*field.member);
                        }
                        bit <<= 1;
                        return known;
                    };
                    (void)(one(row) || ...); // stops at the row that fits
                },
                Fields<T>::rows);
            if (!known)
                r.skip();
        }
    }
    return r.ok();
}

/// `value` as JSON text.
template <class T> std::string toJson(const T &value)
{
    std::string out;
    JsonWriter writer(out);
    writeJson(writer, value);
    return out;
}

/// A T from JSON text, the whole of it. Invalid with the byte where it goes wrong.
template <class T> Result<T> fromJson(std::string_view text)
{
    JsonReader reader(text);
    T value{};
    if (!readJson(reader, value) || !reader.end())
        return reader.error();
    return value;
}

} // namespace lxmgr::api
