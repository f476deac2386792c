#include "api/time.h"

#include "api/json.h"
#include "base/text.h"

#include <cstdio>
#include <ctime>

namespace lxmgr::api
{

namespace
{
/// Days since 1970-01-01 in the Gregorian calendar, and back (the civil-from-days arithmetic; no libc time zone involved).
std::int64_t daysFrom(std::int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
    const auto yearOfEra = static_cast<unsigned>(year - era * 400);
    const unsigned dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    const unsigned dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear;
    return era * 146097 + static_cast<std::int64_t>(dayOfEra) - 719468;
}

struct Date {
    std::int64_t year;
    unsigned month, day;
};
Date dateFrom(std::int64_t days)
{
    days += 719468;
    const std::int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const auto dayOfEra = static_cast<unsigned>(days - era * 146097);
    const unsigned yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146096) / 365;
    const unsigned dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100);
    const unsigned shifted = (5 * dayOfYear + 2) / 153;
    const unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
    return {static_cast<std::int64_t>(yearOfEra) + era * 400 + (month <= 2), month, dayOfYear - (153 * shifted + 2) / 5 + 1};
}

/// Exactly `count` digits at the front of `text`, taken off.
bool takeDigits(std::string_view &text, std::size_t count, unsigned &number)
{
    if (text.size() < count)
        return false;
    number = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + static_cast<unsigned>(text[i] - '0');
    }
    text.remove_prefix(count);
    return true;
}

bool takeChar(std::string_view &text, std::string_view allowed, char *which = nullptr)
{
    if (text.empty() || allowed.find(text[0]) == std::string_view::npos)
        return false;
    if (which)
        *which = text[0];
    text.remove_prefix(1);
    return true;
}

bool takeFraction(std::string_view &text, std::int32_t &nanos)
{
    nanos = 0;
    if (!takeChar(text, "."))
        return true;
    std::int32_t scale = 100'000'000;
    bool any = false;
    for (; !text.empty() && text[0] >= '0' && text[0] <= '9'; text.remove_prefix(1), any = true) {
        nanos += (text[0] - '0') * scale;
        scale /= 10;
    }
    return any;
}

bool takeOffset(std::string_view &text, std::int64_t &seconds)
{
    char sign = 0;
    if (!takeChar(text, "Zz+-", &sign))
        return false;
    seconds = 0;
    if (sign == 'Z' || sign == 'z')
        return true;
    unsigned hours = 0, minutes = 0;
    if (!takeDigits(text, 2, hours) || !takeChar(text, ":") || !takeDigits(text, 2, minutes) || hours > 23 || minutes > 59)
        return false;
    seconds = (sign == '-' ? -1 : 1) * static_cast<std::int64_t>(hours * 3600 + minutes * 60);
    return true;
}
} // namespace

Time Time::now()
{
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return {now.tv_sec, static_cast<std::int32_t>(now.tv_nsec)};
}

std::string Time::format() const
{
    std::int64_t days = seconds / 86400, rest = seconds % 86400;
    if (rest < 0) {
        rest += 86400;
        --days;
    }
    const Date date = dateFrom(days);
    const auto clock = static_cast<unsigned>(rest);
    char text[64];
    int length = std::snprintf(text, sizeof text, "%04lld-%02u-%02uT%02u:%02u:%02u", static_cast<long long>(date.year),
                               date.month, date.day, clock / 3600, clock / 60 % 60, clock % 60);
    if (nanos != 0)
        length += std::snprintf(text + length, sizeof text - static_cast<std::size_t>(length), ".%09d", nanos);
    return std::string(text, static_cast<std::size_t>(length)) + "Z";
}

Result<Time> Time::parse(std::string_view text)
{
    std::string_view rest = text;
    unsigned year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
    std::int64_t offset = 0;
    Time time;
    const bool fits = takeDigits(rest, 4, year) && takeChar(rest, "-") && takeDigits(rest, 2, month) &&
                      takeChar(rest, "-") && takeDigits(rest, 2, day) && takeChar(rest, "Tt ") &&
                      takeDigits(rest, 2, hour) && takeChar(rest, ":") && takeDigits(rest, 2, minute) &&
                      takeChar(rest, ":") && takeDigits(rest, 2, second) && takeFraction(rest, time.nanos) &&
                      takeOffset(rest, offset) && rest.empty();
    if (!fits || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
        return Error(Code::Invalid, quoted(text) + " is no time like 2026-01-31T12:00:00Z");
    time.seconds = daysFrom(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    return time;
}

void writeJson(JsonWriter &writer, const Time &time) { writer.string(time.format()); }

bool readJson(JsonReader &reader, Time &time)
{
    if (reader.readNull())
        return true;
    std::string text;
    if (!reader.read(text))
        return false;
    if (text.empty())
        return true;
    Result<Time> parsed = Time::parse(text);
    if (!parsed)
        return reader.fail(parsed.error().message);
    time = *parsed;
    return true;
}

} // namespace lxmgr::api
