#include "daemon/believed_clock.h"

#include "api/time.h"
#include "base/log.h"
#include "base/text.h"
#include "kernel/files.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <sys/timex.h>

namespace lxmgr::daemon
{

namespace
{

constexpr std::int64_t kWriteEvery = 600;  ///< Seconds: the file may be so much behind.
constexpr std::int64_t kLookEvery = 300;   ///< While it is doubted: somebody may synchronise it without setting it.
constexpr std::int64_t kSameOffset = 3600; ///< Set again by more than this, it begins anew.

std::int64_t secondsOf(clockid_t clock)
{
    timespec now{};
    ::clock_gettime(clock, &now);
    return now.tv_sec;
}

std::string textOf(std::int64_t wall) { return api::Time::fromUnix(wall).format(); }

} // namespace

BelievedClock::Reading BelievedClock::read()
{
    timex state{};
    const bool synchronised = ::adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) == 0;
    const std::string boot = files::read("/proc/sys/kernel/random/boot_id", 64).value_or(std::string());
    return {boot.empty() ? "-" : std::string(trimmed(boot)), secondsOf(CLOCK_BOOTTIME), secondsOf(CLOCK_REALTIME), synchronised};
}

BelievedClock::BelievedClock(std::string file, std::function<void(const std::string &why)> doubted)
    : m_file(std::move(file)), m_doubted(std::move(doubted))
{
    const auto text = files::read(m_file, 256);
    Mark mark;
    std::istringstream words(text.value_or(std::string()));
    if (words >> mark.boot >> mark.sinceBoot >> mark.wall) {
        m_written = mark.wall;
        m_mark = std::move(mark);
    } else if (text) {
        log::warning("the last time that was believed cannot be read in " + m_file + ": the clock is believed as it is");
    }
}

BelievedClock::Told BelievedClock::look(const Reading &reading)
{
    const std::lock_guard lock(m_mutex);
    const bool sameBoot = m_mark && m_mark->boot == reading.boot;
    // Of another boot at least the time since then has gone by.
    const std::int64_t expected = m_mark ? m_mark->wall + reading.sinceBoot - (sameBoot ? m_mark->sinceBoot : 0) : reading.wall;
    const bool leapt = reading.wall > expected + kLeap && (sameBoot || !reading.synchronised);
    if (!leapt) {
        believe(reading);
        return {reading.wall, 0, {}};
    }
    const std::int64_t offset = reading.wall - reading.sinceBoot;
    if (!m_doubt || std::abs(offset - m_doubt->offset) > kSameOffset) {
        m_doubt = {reading.sinceBoot, offset};
        say("the clock went ahead from " + textOf(expected) + " to " + textOf(reading.wall) +
            ": nothing expires by that for an hour, in which it can be set right");
    }
    const std::int64_t left = m_doubt->since + kProbation - reading.sinceBoot;
    if (left <= 0) {
        believe(reading);
        return {reading.wall, 0, {}};
    }
    return {expected, reading.wall - expected, reading.wall + std::min(left, kLookEvery)};
}

void BelievedClock::believe(const Reading &reading)
{
    const bool isNews = !m_mark || m_mark->boot != reading.boot || std::abs(reading.wall - m_written) >= kWriteEvery;
    m_mark = {reading.boot, reading.sinceBoot, reading.wall};
    m_doubt.reset();
    say({});
    if (!isNews)
        return;
    m_written = reading.wall;
    const std::string text = reading.boot + " " + std::to_string(reading.sinceBoot) + " " + std::to_string(reading.wall) + "\n";
    if (const Status written = files::replace(m_file, text); !written)
        log::warning("the time that is believed: " + written.error().message + ", ignoring");
}

void BelievedClock::say(const std::string &why)
{
    if (m_said == why)
        return;
    m_said = why;
    m_doubted(why);
}

} // namespace lxmgr::daemon
