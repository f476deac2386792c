#include "base/log.h"

#include "base/text.h"

#include <atomic>
#include <ctime>
#include <mutex>
#include <unistd.h>

namespace lxmgr::log
{

namespace
{
constexpr std::size_t kLongestLine = 16 * 1024;
std::atomic<Level> g_level{Level::Info};
std::mutex g_mutex;
std::function<void(Level, const std::string &)> g_sink;
} // namespace

std::string_view levelName(Level level)
{
    switch (level) {
    case Level::Debug:
        return "debug";
    case Level::Info:
        return "info";
    case Level::Warning:
        return "warning";
    case Level::Error:
        return "error";
    }
    return "error";
}

void setLevel(Level level) { g_level = level; }
Level level() { return g_level; }

void setSink(std::function<void(Level, const std::string &)> sink)
{
    const std::lock_guard lock(g_mutex);
    g_sink = std::move(sink);
}

void write(Level level, std::string_view text)
{
    if (level < g_level)
        return;
    const std::string safe = escaped(text.substr(0, kLongestLine));
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    tm utc{};
    ::gmtime_r(&now.tv_sec, &utc);
    char stamp[40];
    const std::size_t used = std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    std::string line(stamp, used);
    char millis[24];
    std::snprintf(millis, sizeof millis, ".%03ldZ ", now.tv_nsec / 1000000);
    line.append(millis).append(levelName(level)).append(" ").append(safe).append("\n");
    const std::lock_guard lock(g_mutex);
    // A log that cannot be written has nobody to be reported to.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
    if (g_sink)
        g_sink(level, safe);
}

} // namespace lxmgr::log
