#include "monitor/sftp_packets.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <limits>

namespace lxmgr::monitor::sftp
{

namespace
{

constexpr std::uint32_t kSize = 1, kOwner = 2, kMode = 4, kTimes = 8, kMore = 0x80000000;
constexpr std::uint32_t kMostPairs = 64;

std::uint32_t seconds(const timespec &time)
{
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(time.tv_sec, 0, std::numeric_limits<std::uint32_t>::max()));
}

} // namespace

Attributes attributesIn(Fields &fields)
{
    Attributes result;
    const std::uint32_t flags = fields.number();
    if (flags & kSize)
        result.size = fields.big();
    if (flags & kOwner) {
        result.uid = fields.number();
        result.gid = fields.number();
    }
    if (flags & kMode)
        result.mode = fields.number() & 07777;
    if (flags & kTimes) {
        const std::uint32_t accessed = fields.number();
        result.times.emplace(accessed, fields.number());
    }
    if (flags & kMore) // pairs of strings that no client is known to send
        for (std::uint32_t left = std::min(fields.number(), kMostPairs); left > 0 && fields.good(); --left) {
            (void)fields.text();
            (void)fields.text();
        }
    return result;
}

void addAttributes(Reply &reply, const struct stat &info)
{
    reply.number(kSize | kOwner | kMode | kTimes).big(static_cast<std::uint64_t>(info.st_size));
    reply.number(info.st_uid).number(info.st_gid).number(info.st_mode);
    reply.number(seconds(info.st_atim)).number(seconds(info.st_mtim));
}

std::string longName(const std::string &name, const struct stat &info)
{
    std::string mode = S_ISDIR(info.st_mode) ? "d" : S_ISLNK(info.st_mode) ? "l" : S_ISREG(info.st_mode) ? "-" : "?";
    for (int shift = 6; shift >= 0; shift -= 3)
        for (int bit = 2; bit >= 0; --bit)
            mode += info.st_mode & (1U << (shift + bit)) ? "xwr"[bit] : '-';
    const std::time_t modified = info.st_mtim.tv_sec;
    std::tm utc{};
    ::gmtime_r(&modified, &utc);
    char date[32];
    if (std::strftime(date, sizeof date, "%b %e  %Y", &utc) == 0)
        date[0] = '\0';
    char text[160];
    std::snprintf(text, sizeof text, "%s %4llu %-8u %-8u %8lld %s ", mode.c_str(), static_cast<unsigned long long>(info.st_nlink),
                  info.st_uid, info.st_gid, static_cast<long long>(info.st_size), date);
    return text + name;
}

} // namespace lxmgr::monitor::sftp
