#include "kernel/cgroup_io.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/sys.h"

#include <algorithm>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace lxmgr::cgroup
{

namespace
{

using Count = std::optional<std::uint64_t>;

/// One of the four, by its names in io.max and below blkio.throttle.
struct Kind {
    const char *name, *file;
    Count IoLimit::*value;
};
constexpr Kind kKinds[] = {
    {"rbps",  "blkio.throttle.read_bps_device",   &IoLimit::readBytes      },
    {"wbps",  "blkio.throttle.write_bps_device",  &IoLimit::writeBytes     },
    {"riops", "blkio.throttle.read_iops_device",  &IoLimit::readOperations },
    {"wiops", "blkio.throttle.write_iops_device", &IoLimit::writeOperations},
};

std::string deviceText(const IoLimit &limit) { return std::to_string(limit.major) + ":" + std::to_string(limit.minor); }

Status parseDevice(const std::string &text, IoLimit &limit)
{
    const std::size_t colon = text.find(':');
    limit.major = static_cast<unsigned>(TRY(parseUnsigned(text.substr(0, colon), 0, 0xFFF)));
    limit.minor = static_cast<unsigned>(TRY(parseUnsigned(colon == std::string::npos ? "" : text.substr(colon + 1), 0, 0xFFFFF)));
    return {};
}

Result<IoLimit> parseLine(const std::string &line)
{
    IoLimit limit;
    const std::vector<std::string> parts = words(line);
    TRY(parseDevice(parts.front(), limit));
    for (std::size_t i = 1; i < parts.size(); ++i) {
        const std::size_t equals = parts[i].find('=');
        const auto kind = std::ranges::find(kKinds, parts[i].substr(0, equals), [](const Kind &row) { return std::string(row.name); });
        if (equals == std::string::npos || kind == std::end(kKinds))
            return Error(Code::Invalid, "Not a limit of a disk: " + quoted(line));
        if (const std::string value = parts[i].substr(equals + 1); value != "max")
            limit.*(kind->value) = TRY(parseUnsigned(value));
    }
    return limit;
}

const IoLimit *findSame(const std::vector<IoLimit> &limits, const IoLimit &device)
{
    const auto at = std::ranges::find_if(limits, [&](const IoLimit &each) { return each.major == device.major && each.minor == device.minor; });
    return at == limits.end() ? nullptr : &*at;
}

/// The mount that `id` is, of /proc/self/mountinfo: its file system's type and what it is mounted from.
struct MountedFrom {
    std::string type, source;
};
Result<MountedFrom> mountOfId(std::uint64_t id)
{
    for (const std::string &line : split(TRY(files::read("/proc/self/mountinfo")), '\n')) {
        const std::vector<std::string> parts = words(line);
        const auto dash = std::ranges::find(parts, "-");
        if (!parts.empty() && parts.front() == std::to_string(id) && parts.end() - dash > 2)
            return MountedFrom{dash[1], dash[2]};
    }
    return Error(Code::NotFound, "its mount is not among those of this process");
}

/// btrfs gives each subvolume a device number that no device has.
Result<dev_t> deviceOfMount(std::uint64_t id)
{
    const MountedFrom from = TRY(mountOfId(id));
    struct stat info {
    };
    if (!from.source.starts_with("/dev/") || ::stat(from.source.c_str(), &info) != 0 || !S_ISBLK(info.st_mode))
        return Error(Code::Unsupported, "its file system (" + from.type + ") has no block device of its own that could be limited");
    return info.st_rdev;
}

} // namespace

std::string formatIoLimits(std::span<const IoLimit> limits)
{
    std::vector<IoLimit> merged;
    for (const IoLimit &limit : limits) {
        const IoLimit *same = findSame(merged, limit);
        if (same == nullptr) {
            merged.push_back(limit);
            continue;
        }
        IoLimit &one = merged[static_cast<std::size_t>(same - merged.data())];
        for (const Kind &kind : kKinds)
            if (const Count &value = limit.*(kind.value))
                one.*(kind.value) = std::min(*value, (one.*(kind.value)).value_or(*value));
    }
    std::string text;
    for (const IoLimit &limit : merged) {
        text += deviceText(limit);
        for (const Kind &kind : kKinds)
            text += std::string(" ") + kind.name + "=" + (limit.*(kind.value) ? std::to_string(*(limit.*(kind.value))) : "max");
        text += "\n";
    }
    return text;
}

Result<std::vector<IoLimit>> parseIoLimits(std::string_view lines)
{
    std::vector<IoLimit> limits;
    for (const std::string &line : split(lines, '\n'))
        if (!trimmed(line).empty())
            limits.push_back(TRY_IN(quoted(line), parseLine(line)));
    return limits;
}

Status writeIoMax(const Fd &folder, std::string_view lines)
{
    const std::vector<IoLimit> wanted = TRY(parseIoLimits(lines));
    auto now = files::read(folder, "io.max");
    if (!now && now.error().errnum == ENOENT && wanted.empty())
        return {}; // the controller was never on
    for (const IoLimit &limit : TRY(parseIoLimits(TRY(std::move(now)))))
        if (!findSame(wanted, limit))
            TRY(files::put(folder, "io.max", formatIoLimits(std::vector{IoLimit{limit.major, limit.minor, {}, {}, {}, {}}})));
    for (const IoLimit &limit : wanted)
        TRY(files::put(folder, "io.max", formatIoLimits(std::vector{limit})));
    return {};
}

Status writeIoThrottle(const Fd &folder, std::string_view lines)
{
    const std::vector<IoLimit> wanted = TRY(parseIoLimits(lines));
    for (const Kind &kind : kKinds) {
        auto now = files::read(folder, kind.file);
        if (!now && now.error().errnum == ENOENT && wanted.empty())
            continue; // a kernel without throttling
        for (const std::string &line : split(TRY(std::move(now)), '\n')) {
            IoLimit limit;
            const std::vector<std::string> parts = words(line); // "8:0 1048576"
            if (parts.size() != 2 || !parseDevice(parts.front(), limit))
                continue;
            const IoLimit *same = findSame(wanted, limit);
            if (!same || !(same->*(kind.value)))
                TRY(files::put(folder, kind.file, deviceText(limit) + " 0"));
        }
        for (const IoLimit &limit : wanted)
            if (const Count &value = limit.*(kind.value))
                TRY(files::put(folder, kind.file, deviceText(limit) + " " + std::to_string(*value)));
    }
    return {};
}

Result<dev_t> diskBelow(const Fd &place)
{
    struct statx info {
    };
    TRY(sys::call("statx", {}, [&] { return ::statx(place.get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &info); }));
    dev_t device = makedev(info.stx_dev_major, info.stx_dev_minor);
    if (info.stx_dev_major == 0)
        device = TRY(deviceOfMount(info.stx_mnt_id));
    const std::string sysfs = "/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device));
    if (!files::read(sysfs + "/partition"))
        return device;
    IoLimit whole; // the link leads into the folder of the disk
    TRY(parseDevice(std::string(trimmed(TRY(files::read(sysfs + "/../dev")))), whole));
    return makedev(whole.major, whole.minor);
}

std::vector<IoUsage> parseIoStat(std::string_view text)
{
    constexpr std::pair<std::string_view, std::uint64_t IoUsage::*> kFields[] = {
        {"rbytes=", &IoUsage::readBytes}, {"wbytes=", &IoUsage::writtenBytes}, {"rios=", &IoUsage::reads}, {"wios=", &IoUsage::writes}};
    std::vector<IoUsage> all;
    for (const std::string &line : split(text, '\n')) {
        const std::vector<std::string> parts = words(line);
        IoLimit device;
        if (parts.size() < 2 || !parseDevice(parts.front(), device))
            continue;
        IoUsage usage{device.major, device.minor};
        for (const std::string &part : parts)
            for (const auto &[name, value] : kFields)
                if (part.starts_with(name))
                    usage.*value = parseUnsigned(part.substr(name.size())).value_or(0);
        all.push_back(usage);
    }
    return all;
}

std::vector<IoUsage> parseThrottleStat(std::string_view bytes, std::string_view operations)
{
    std::vector<IoUsage> all;
    const auto add = [&](std::string_view text, std::uint64_t IoUsage::*read, std::uint64_t IoUsage::*written) {
        for (const std::string &line : split(text, '\n')) {
            const std::vector<std::string> parts = words(line);
            IoLimit device;
            if (parts.size() != 3 || !parseDevice(parts[0], device))
                continue; // "Total 5"
            auto found = std::ranges::find_if(all, [&](const IoUsage &each) { return each.major == device.major && each.minor == device.minor; });
            if (found == all.end())
                found = all.insert(all.end(), IoUsage{device.major, device.minor});
            if (parts[1] == "Read" || parts[1] == "Write")
                (*found).*(parts[1] == "Read" ? read : written) = parseUnsigned(parts[2]).value_or(0);
        }
    };
    add(bytes, &IoUsage::readBytes, &IoUsage::writtenBytes);
    add(operations, &IoUsage::reads, &IoUsage::writes);
    return all;
}

std::string diskName(unsigned major, unsigned minor)
{
    const std::string numbers = std::to_string(major) + ":" + std::to_string(minor);
    const auto link = sys::readlinkat(sys::cwd(), "/sys/dev/block/" + numbers);
    return link ? link->substr(link->rfind('/') + 1) : numbers;
}

} // namespace lxmgr::cgroup
