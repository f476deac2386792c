#include "config/snapshots.h"

#include "base/text.h"

#include <algorithm>
#include <span>

namespace lxmgr::config
{

namespace
{

Error bad(std::string_view text, const std::string &why) { return Error(Code::Invalid, quoted(text) + " " + why); }

std::vector<std::string> words(std::string_view text)
{
    std::vector<std::string> found;
    for (const std::string &word : split(text, ' '))
        if (!trimmed(word).empty())
            found.emplace_back(trimmed(word));
    return found;
}

// --- expiry

constexpr std::uint32_t kMostOfAUnit = 100'000;

Result<SnapshotExpiry::Part> parsePart(const std::string &word, std::string_view whole)
{
    constexpr std::string_view kUnits = "MHdwmy";
    const auto count = word.empty() ? Result<std::uint64_t>(bad(whole, "is empty"))
                                    : parseUnsigned(word.substr(0, word.size() - 1), 1, kMostOfAUnit);
    if (!count || kUnits.find(word.back()) == std::string_view::npos)
        return bad(whole, "is not a time span (numbers with M minutes, H hours, d days, w weeks, m months, y years: 2w, "
                          "or 1d 12H)");
    return SnapshotExpiry::Part{static_cast<std::uint32_t>(*count), word.back()};
}

// --- cron

struct CronName {
    std::string_view name;
    int value;
};
constexpr CronName kMonthNames[] = {
    {"jan", 1}, {"feb", 2}, {"mar", 3}, {"apr", 4},  {"may", 5},  {"jun", 6},
    {"jul", 7}, {"aug", 8}, {"sep", 9}, {"oct", 10}, {"nov", 11}, {"dec", 12},
};
constexpr CronName kDayNames[] = {
    {"sun", 0}, {"mon", 1}, {"tue", 2}, {"wed", 3}, {"thu", 4}, {"fri", 5}, {"sat", 6},
};

struct CronField {
    std::string_view name;
    int least, most;
    std::span<const CronName> names;
};
constexpr CronField kMinute = {"minute", 0, 59, {}}, kHour = {"hour", 0, 23, {}}, kDay = {"day of month", 1, 31, {}},
                    kMonth = {"month", 1, 12, kMonthNames},
                    kWeekday = {"day of week", 0, 7, kDayNames}; // both 0 and 7 are Sunday

Result<int> parseCronValue(std::string_view text, const CronField &field)
{
    const std::string word = lower(text);
    for (const CronName &name : field.names)
        if (word == name.name)
            return name.value;
    const auto number = parseUnsigned(word, static_cast<std::uint64_t>(field.least), static_cast<std::uint64_t>(field.most));
    if (!number)
        return bad(text, "is not a " + std::string(field.name) + " (" + std::to_string(field.least) + " to " +
                             std::to_string(field.most) + ")");
    return static_cast<int>(*number);
}

/// "*", "3", "1-5", "*/15", "1-5/2" and lists of them with commas.
template <std::size_t N> Status parseCronField(std::string_view text, const CronField &field, std::bitset<N> &out)
{
    for (const std::string &item : split(text, ',')) {
        const std::size_t slash = item.find('/');
        const std::string range = item.substr(0, slash);
        std::uint64_t step = 1;
        if (slash != std::string::npos) {
            const auto parsed = parseUnsigned(item.substr(slash + 1), 1, static_cast<std::uint64_t>(field.most));
            if (!parsed)
                return bad(item, "has no step behind its /");
            step = *parsed;
        }
        int first = field.least, last = field.most;
        if (range != "*") {
            const std::size_t dash = range.find('-');
            first = TRY(parseCronValue(range.substr(0, dash), field));
            if (dash != std::string::npos)
                last = TRY(parseCronValue(range.substr(dash + 1), field));
            else if (slash == std::string::npos)
                last = first;
        }
        if (last < first)
            return bad(item, "ends before it begins");
        for (int value = first; value <= last; value += static_cast<int>(step))
            out.set(static_cast<std::size_t>(value) % N);
    }
    return {};
}

std::tm localTime(std::time_t at)
{
    std::tm time{};
    ::localtime_r(&at, &time);
    return time;
}

/// The first minute of that day at or after `hour`:`minute` that the cron line names. mktime(3) moves a time that a change
/// of clocks skips to one that exists.
std::optional<std::time_t> firstOfDay(const Cron &cron, std::tm day, std::time_t after)
{
    for (std::size_t hour = 0; hour < cron.hours.size(); ++hour) {
        if (!cron.hours[hour])
            continue;
        for (std::size_t minute = 0; minute < cron.minutes.size(); ++minute) {
            if (!cron.minutes[minute])
                continue;
            std::tm candidate = day;
            candidate.tm_hour = static_cast<int>(hour);
            candidate.tm_min = static_cast<int>(minute);
            candidate.tm_sec = 0;
            candidate.tm_isdst = -1;
            const std::time_t at = std::mktime(&candidate);
            if (at > after)
                return at;
        }
    }
    return std::nullopt;
}

bool matches(const Cron &cron, const std::tm &day)
{
    if (!cron.months[static_cast<std::size_t>(day.tm_mon) + 1])
        return false;
    const bool ofMonth = cron.days[static_cast<std::size_t>(day.tm_mday)];
    const bool ofWeek = cron.weekdays[static_cast<std::size_t>(day.tm_wday)];
    return cron.anyDay || cron.anyWeekday ? ofMonth && ofWeek : ofMonth || ofWeek;
}

// --- schedules

struct Alias {
    std::string_view name;
    std::string_view cron;
    Schedule::When when = Schedule::When::Cron;
};
constexpr Alias kAliases[] = {
    {"@hourly",   "0 * * * *"},
    {"@daily",    "0 0 * * *"},
    {"@midnight", "0 0 * * *"},
    {"@weekly",   "0 0 * * 0"},
    {"@monthly",  "0 0 1 * *"},
    {"@annually", "0 0 1 1 *"},
    {"@yearly",   "0 0 1 1 *"},
    {"@startup",  "",          Schedule::When::Startup},
    {"@never",    "",          Schedule::When::Never  },
};

Status parseOption(const std::string &word, Schedule &schedule)
{
    const std::size_t equals = word.find('=');
    const std::string key = word.substr(0, equals), value = word.substr(equals + 1);
    if (key == "keep") {
        schedule.keep = static_cast<std::uint32_t>(TRY_IN("keep", parseUnsigned(value, 1, 100'000)));
        return {};
    }
    if (key == "expiry") {
        std::string span = value; // "1w+2d": a blank would end the option
        std::ranges::replace(span, '+', ' ');
        schedule.expiry = TRY_IN("expiry", Codec<SnapshotExpiry>::parse(span));
        return {};
    }
    return bad(word, "is unknown (keep=<number>, expiry=<span>)");
}

Status parseSpec(const std::vector<std::string> &spec, std::string_view whole, Schedule &schedule)
{
    schedule.spec = join(spec, " ");
    if (spec.size() == 1 && spec[0].starts_with('@')) {
        const auto *alias = std::ranges::find(kAliases, spec[0], &Alias::name);
        if (alias == std::end(kAliases))
            return bad(spec[0], "is unknown (@hourly, @daily, @midnight, @weekly, @monthly, @annually, @yearly, @startup, "
                                "@never)");
        schedule.when = alias->when;
        schedule.spread = alias->when == Schedule::When::Cron;
        if (schedule.spread)
            schedule.cron = TRY(Cron::parse(alias->cron));
        return {};
    }
    if (spec.size() != 5)
        return bad(whole, "is neither an alias such as @daily nor five fields: minute, hour, day of month, month, day of "
                          "week");
    schedule.cron = TRY(Cron::parse(schedule.spec));
    return {};
}

Result<Schedule> parseSchedule(std::string_view text)
{
    Schedule schedule;
    std::string_view rest = text;
    if (const std::size_t colon = text.find(": "); colon != std::string_view::npos) {
        schedule.name = trimmed(text.substr(0, colon));
        TRY(checkObjectName("schedule", schedule.name));
        rest = text.substr(colon + 2);
    }
    std::vector<std::string> spec;
    for (const std::string &word : words(rest)) {
        if (word.find('=') == std::string::npos)
            spec.push_back(word);
        else
            TRY(parseOption(word, schedule));
    }
    TRY(parseSpec(spec, text, schedule));
    if (schedule.name.empty())
        schedule.name = schedule.spec.starts_with('@') ? schedule.spec.substr(1) : "cron";
    return schedule;
}

/// At ", ", ";" and line ends. A comma within a cron field has no blank behind it.
std::vector<std::string> entriesOf(std::string_view text)
{
    std::vector<std::string> entries;
    std::string entry;
    for (std::size_t i = 0; i <= text.size(); ++i) {
        const bool end = i == text.size() || text[i] == ';' || text[i] == '\n' ||
                         (text[i] == ',' && (i + 1 == text.size() || text[i + 1] == ' ' || text[i + 1] == '@'));
        if (!end) {
            entry += text[i];
            continue;
        }
        if (!trimmed(entry).empty())
            entries.emplace_back(trimmed(entry));
        entry.clear();
    }
    return entries;
}

/// A date as Go's layouts write it (what snapshots.pattern of other managers holds) in words of strftime(3).
struct DateWord {
    std::string_view go;
    std::string_view strftime;
};
constexpr DateWord kDateWords[] = { // longer ones first
    {"January", "%B"}, {"Monday", "%A"}, {"2006", "%Y"}, {"Jan", "%b"}, {"Mon", "%a"}, {"MST", "%Z"}, {"01", "%m"},
    {"02", "%d"},      {"15", "%H"},     {"03", "%I"},   {"04", "%M"},  {"05", "%S"},  {"06", "%y"},  {"PM", "%p"},
};

std::string formatDate(std::string_view layout, const std::tm &time)
{
    std::string format;
    while (!layout.empty()) {
        const auto *word =
            std::ranges::find_if(kDateWords, [&](const DateWord &entry) { return layout.starts_with(entry.go); });
        if (word != std::end(kDateWords)) {
            format += word->strftime;
            layout.remove_prefix(word->go.size());
        } else {
            format += layout.front() == '%' ? "%%" : std::string(1, layout.front());
            layout.remove_prefix(1);
        }
    }
    char text[256];
    return std::string(text, std::strftime(text, sizeof text, format.c_str(), &time));
}

/// What stands between "{{" and "}}": only the date of creation, with or without a layout.
Result<std::string> fillIn(std::string_view expression, const std::tm &time)
{
    const std::string_view inner = trimmed(expression);
    const std::size_t bar = inner.find('|');
    if (trimmed(inner.substr(0, bar)) != "creation_date")
        return bad(inner, "is unknown in a pattern (creation_date)");
    if (bar == std::string_view::npos)
        return formatDate("2006-01-02_15-04-05", time);
    const std::string_view filter = trimmed(inner.substr(bar + 1));
    if (!filter.starts_with("date:") || filter.size() < 7)
        return bad(filter, "is unknown in a pattern (date:'2006-01-02')");
    const std::string_view layout = filter.substr(5);
    if ((layout.front() != '\'' && layout.front() != '"') || layout.back() != layout.front())
        return bad(layout, "is not quoted (date:'2006-01-02')");
    return formatDate(layout.substr(1, layout.size() - 2), time);
}

/// The dates filled in, "%d" left.
Result<std::string> dated(const std::string &text, std::time_t now)
{
    const std::tm time = localTime(now);
    std::string filled;
    for (std::size_t i = 0; i < text.size();) {
        if (text.compare(i, 2, "{{") != 0) {
            filled += text[i++];
            continue;
        }
        const std::size_t end = text.find("}}", i);
        if (end == std::string::npos)
            return bad(text, "has a {{ without its }}");
        filled += TRY(fillIn(std::string_view(text).substr(i + 2, end - i - 2), time));
        i = end + 2;
    }
    return filled;
}

} // namespace

std::time_t SnapshotExpiry::after(std::time_t from) const
{
    std::tm time = localTime(from);
    for (const Part &part : parts) {
        const int count = static_cast<int>(part.count);
        switch (part.unit) {
        case 'M': time.tm_min += count; break;
        case 'H': time.tm_hour += count; break;
        case 'd': time.tm_mday += count; break;
        case 'w': time.tm_mday += 7 * count; break;
        case 'm': time.tm_mon += count; break;
        default: time.tm_year += count; break;
        }
    }
    time.tm_isdst = -1;
    return std::mktime(&time);
}

Result<SnapshotExpiry> Codec<SnapshotExpiry>::parse(std::string_view text)
{
    SnapshotExpiry expiry;
    for (const std::string &word : words(text)) {
        const auto part = TRY(parsePart(word, text));
        if (std::ranges::find(expiry.parts, part.unit, &SnapshotExpiry::Part::unit) != expiry.parts.end())
            return bad(text, "names a unit twice");
        expiry.parts.push_back(part);
    }
    if (expiry.parts.empty())
        return bad(text, "is not a time span");
    return expiry;
}

std::string Codec<SnapshotExpiry>::format(const SnapshotExpiry &value)
{
    std::vector<std::string> parts;
    for (const SnapshotExpiry::Part &part : value.parts)
        parts.push_back(std::to_string(part.count) + part.unit);
    return join(parts, " ");
}

Result<Cron> Cron::parse(std::string_view text)
{
    const std::vector<std::string> fields = words(text);
    if (fields.size() != 5)
        return bad(text, "has not five fields: minute, hour, day of month, month, day of week");
    Cron cron;
    TRY(parseCronField(fields[0], kMinute, cron.minutes));
    TRY(parseCronField(fields[1], kHour, cron.hours));
    TRY(parseCronField(fields[2], kDay, cron.days));
    TRY(parseCronField(fields[3], kMonth, cron.months));
    TRY(parseCronField(fields[4], kWeekday, cron.weekdays));
    cron.anyDay = fields[2].starts_with('*');
    cron.anyWeekday = fields[4].starts_with('*');
    return cron;
}

std::optional<std::time_t> Cron::next(std::time_t after) const
{
    constexpr int kDays = 8 * 366 + 1; // 29 February can be eight years away
    std::tm day = localTime(after);
    for (int i = 0; i < kDays; ++i) {
        day.tm_hour = 12; // noon exists on every day
        day.tm_min = day.tm_sec = 0;
        day.tm_isdst = -1;
        std::mktime(&day);
        if (matches(*this, day))
            if (const auto at = firstOfDay(*this, day, after))
                return at;
        ++day.tm_mday;
    }
    return std::nullopt;
}

std::optional<std::time_t> Schedule::next(std::time_t after, std::uint64_t key) const
{
    if (when != When::Cron)
        return std::nullopt;
    if (!spread)
        return cron.next(after);
    Cron own = cron;
    own.minutes.reset();
    own.minutes.set(key % 60);
    if (!own.hours.all()) {
        own.hours.reset();
        own.hours.set(key / 60 % 24);
    }
    return own.next(after);
}

Result<ScheduleList> Codec<ScheduleList>::parse(std::string_view text)
{
    constexpr std::size_t kMost = 16;
    ScheduleList list;
    for (const std::string &entry : entriesOf(text)) {
        Schedule schedule = TRY(parseSchedule(entry));
        if (std::ranges::find(list.schedules, schedule.name, &Schedule::name) != list.schedules.end())
            return bad(schedule.name, "names two schedules (give them names: nightly: 0 3 * * *)");
        list.schedules.push_back(std::move(schedule));
        if (list.schedules.size() > kMost)
            return bad(text, "has more than " + std::to_string(kMost) + " schedules");
    }
    if (list.schedules.empty())
        return bad(text, "has no schedule in it");
    return list;
}

std::string Codec<ScheduleList>::format(const ScheduleList &value)
{
    std::vector<std::string> entries;
    for (const Schedule &schedule : value.schedules) {
        std::string entry = schedule.spec;
        if (schedule.name != (schedule.spec.starts_with('@') ? schedule.spec.substr(1) : "cron"))
            entry = schedule.name + ": " + entry;
        if (schedule.keep)
            entry += " keep=" + std::to_string(*schedule.keep);
        if (schedule.expiry) {
            std::string span = Codec<SnapshotExpiry>::format(*schedule.expiry);
            std::ranges::replace(span, ' ', '+');
            entry += " expiry=" + span;
        }
        entries.push_back(entry);
    }
    return join(entries, "; ");
}

Result<std::string> SnapshotPattern::name(std::time_t now, const std::vector<std::string> &taken) const
{
    std::string filled = TRY(dated(text, now));
    if (filled.find("%d") == std::string::npos) {
        TRY(checkObjectName("snapshot", filled));
        if (std::ranges::find(taken, filled) == taken.end())
            return filled;
        filled += "-%d";
    }
    const std::size_t place = filled.find("%d");
    const std::string before = filled.substr(0, place), behind = filled.substr(place + 2);
    std::uint64_t next = 0;
    for (const std::string &name : taken) {
        if (name.size() <= before.size() + behind.size() || !name.starts_with(before) || !name.ends_with(behind))
            continue;
        const std::string number = name.substr(before.size(), name.size() - before.size() - behind.size());
        if (const auto value = parseUnsigned(number, 0, UINT32_MAX))
            next = std::max(next, *value + 1);
    }
    const std::string name = before + std::to_string(next) + behind;
    TRY(checkObjectName("snapshot", name));
    return name;
}

Result<SnapshotPattern> Codec<SnapshotPattern>::parse(std::string_view text)
{
    SnapshotPattern pattern{std::string(text)};
    TRY_IN(quoted(text), pattern.name(0, {}));
    return pattern;
}

std::string Codec<SnapshotPattern>::format(const SnapshotPattern &value) { return value.text; }

} // namespace lxmgr::config
