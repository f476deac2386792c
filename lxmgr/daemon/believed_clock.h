// BelievedClock: the time by which things fall due and expire. It is the wall clock's, but one that leaps ahead is not believed at
// once: a wrong clock must not delete every snapshot that has a date.
#pragma once

#include <cstdint>
#include <ctime>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

namespace lxmgr::daemon
{

class BelievedClock
{
public:
    /// What the machine says, in seconds.
    struct Reading {
        std::string boot;            ///< boot_id of proc_sys_kernel(5).
        std::int64_t sinceBoot = 0;  ///< CLOCK_BOOTTIME: with suspension, and nobody sets it.
        std::int64_t wall = 0;       ///< CLOCK_REALTIME.
        bool synchronised = false;   ///< By somebody who tells the kernel (adjtimex(2), STA_UNSYNC).
    };
    static Reading read();

    /// Ahead by more than this is a leap.
    static constexpr std::int64_t kLeap = 24 * 3600;
    /// So long a clock that has leapt must go on from there to be believed. After a start of the machine it need not where it is
    /// synchronised: how long the machine was off, nobody else knows.
    static constexpr std::int64_t kProbation = 3600;

    /// `file` keeps the last time that was believed. `doubted` is told why the clock is doubted, "" when it is not (any more);
    /// first on the first look.
    BelievedClock(std::string file, std::function<void(const std::string &why)> doubted);

    struct Told {
        std::time_t now = 0;     ///< The time to go by.
        std::time_t ahead = 0;   ///< So much later it is on the wall clock.
        std::optional<std::time_t> lookAgain; ///< While the clock is doubted: when to look again, on the wall clock.
    };
    /// Any thread.
    Told look(const Reading &reading);
    Told look() { return look(read()); }

private:
    struct Mark {
        std::string boot;
        std::int64_t sinceBoot = 0, wall = 0;
    };
    struct Doubt {
        std::int64_t since = 0;  ///< CLOCK_BOOTTIME
        std::int64_t offset = 0; ///< Of the wall clock to that one.
    };
    void believe(const Reading &reading);
    void say(const std::string &why);

    const std::string m_file;
    const std::function<void(const std::string &)> m_doubted;
    std::mutex m_mutex;
    std::optional<Mark> m_mark;
    std::optional<Doubt> m_doubt;
    std::optional<std::string> m_said;
    std::int64_t m_written = 0; ///< The wall clock of what is in the file.
};

} // namespace lxmgr::daemon
