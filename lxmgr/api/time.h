// Points in time as the wire has them: RFC 3339 in UTC with nanoseconds.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace lxmgr::api
{

class JsonReader;
class JsonWriter;

/// A default one is 0001-01-01T00:00:00Z, the wire's "no value".
struct Time {
    std::int64_t seconds = -62135596800; ///< Since 1970.
    std::int32_t nanos = 0;

    static Time now();
    static Time fromUnix(std::int64_t seconds) { return {seconds, 0}; }
    /// 1970-01-01T00:00:00Z, the wire's "never used".
    static Time never() { return {0, 0}; }
    /// Neither of the two above.
    bool isSet() const { return seconds > 0; }

    std::string format() const;
    /// "2026-11-23T06:00:00.123456789Z", also with an offset. Invalid otherwise.
    static Result<Time> parse(std::string_view text);
    auto operator<=>(const Time &) const = default;
};

void writeJson(JsonWriter &writer, const Time &time);
bool readJson(JsonReader &reader, Time &time);

} // namespace lxmgr::api
