// Values of snapshots.*: how long snapshots are kept, when they are made by themselves, and how they are named.
#pragma once

#include "config/values.h"

#include <array>
#include <bitset>
#include <ctime>

namespace lxmgr::config
{

/// snapshots.expiry: "3d", "1w 2d 12H"; units M minute, H hour, d day, w week, m month, y year.
struct SnapshotExpiry {
    struct Part {
        std::uint32_t count = 0;
        char unit = 'd';
        bool operator==(const Part &) const = default;
    };
    std::vector<Part> parts;
    /// `from` and later by the parts, months and years by the calendar of local time.
    std::time_t after(std::time_t from) const;
    bool operator==(const SnapshotExpiry &) const = default;
};

/// A line of crontab(5): minute, hour, day of month, month, day of week. Local time.
struct Cron {
    std::bitset<60> minutes;
    std::bitset<24> hours;
    std::bitset<32> days;
    std::bitset<13> months;
    std::bitset<7> weekdays;
    bool anyDay = true;     ///< The day of month was "*".
    bool anyWeekday = true; ///< The day of week was "*". Where neither was, one of the two is enough, as in cron(8).

    static Result<Cron> parse(std::string_view text);
    /// The next time after `after`; nullopt where no such day comes (30 February).
    std::optional<std::time_t> next(std::time_t after) const;
    bool operator==(const Cron &) const = default;
};

/// One schedule: "@daily", "0 6 * * *", or with a name and what is kept of its snapshots: "nightly: 0 3 * * * keep=7
/// expiry=2w".
struct Schedule {
    enum class When { Cron, Startup, Never };
    std::string name; ///< What stands before the colon; else the alias without "@", or "cron".
    std::string spec; ///< "@daily", "0 6 * * *".
    When when = When::Cron;
    bool spread = false; ///< An alias: each instance has a minute (and hour) of its own, so that not all come at once.
    Cron cron;           ///< Of an alias: without the spread.
    std::optional<std::uint32_t> keep;
    std::optional<SnapshotExpiry> expiry; ///< In place of snapshots.expiry.

    /// `key` picks the minute of an alias (an instance's row number).
    std::optional<std::time_t> next(std::time_t after, std::uint64_t key) const;
    bool operator==(const Schedule &) const = default;
};

/// snapshots.schedule: entries separated by ", " (as other managers write aliases), ";" or line ends.
struct ScheduleList {
    std::vector<Schedule> schedules; ///< Names differ.
    bool operator==(const ScheduleList &) const = default;
};

/// snapshots.pattern: text with "%d" (the next free number) and "{{ creation_date|date:'2006-01-02_15-04-05' }}".
struct SnapshotPattern {
    std::string text = "snap%d";
    /// The name at `now`, beside those in use: "%d" is one more than the highest number there. A pattern without "%d" gets
    /// "-<number>" where its name is taken. Invalid: what comes out is no name of a snapshot.
    Result<std::string> name(std::time_t now, const std::vector<std::string> &taken) const;
    bool operator==(const SnapshotPattern &) const = default;
};

#define LXMGR_CODEC(Type, name)                                                                                        \
    template <> struct Codec<Type> {                                                                                   \
        static constexpr std::string_view kType = name;                                                                \
        static Result<Type> parse(std::string_view text);                                                              \
        static std::string format(const Type &value);                                                                  \
    }
LXMGR_CODEC(SnapshotExpiry, "time span");
LXMGR_CODEC(ScheduleList, "schedules");
LXMGR_CODEC(SnapshotPattern, "name pattern");
#undef LXMGR_CODEC

} // namespace lxmgr::config
