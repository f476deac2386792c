#include "images/unpack.h"

#include "base/text.h"
#include "images/report.h"
#include "kernel/process.h"
#include "kernel/program.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <poll.h>
#include <sstream>
#include <unistd.h>

namespace lxmgr::images
{

namespace
{

constexpr int kAskEvery = 100;   ///< Milliseconds between two questions whether it is still wanted.
constexpr std::size_t kMostDevices = 4096;

struct LimitArgument {
    std::string_view name;
    std::uint64_t (*get)(const UnpackLimits &);
    void (*set)(UnpackLimits &, std::uint64_t);
};

constexpr LimitArgument kLimitArguments[] = {
    {"total", [](const UnpackLimits &l) { return l.total.count; }, [](UnpackLimits &l, std::uint64_t v) { l.total.count = v; }},
    {"room", [](const UnpackLimits &l) { return l.room.count; }, [](UnpackLimits &l, std::uint64_t v) { l.room.count = v; }},
    {"per-file", [](const UnpackLimits &l) { return l.perFile.count; }, [](UnpackLimits &l, std::uint64_t v) { l.perFile.count = v; }},
    {"entries", [](const UnpackLimits &l) { return l.entries; }, [](UnpackLimits &l, std::uint64_t v) { l.entries = v; }},
    {"depth", [](const UnpackLimits &l) { return std::uint64_t(l.depth); },
     [](UnpackLimits &l, std::uint64_t v) { l.depth = static_cast<std::uint32_t>(v); }},
    {"ratio", [](const UnpackLimits &l) { return std::uint64_t(l.ratio); },
     [](UnpackLimits &l, std::uint64_t v) { l.ratio = static_cast<std::uint32_t>(v); }},
};

std::vector<std::string> workArguments(const UnpackJob &job)
{
    switch (job.work) {
    case UnpackWork::Export:
        return {"export", "unpack"};
    case UnpackWork::ExportStreams:
        return {"export", "unpack-streams"};
    case UnpackWork::ReceiveStream:
        return {"receive", job.within};
    case UnpackWork::ExportTexts:
        return {"export", "texts"};
    case UnpackWork::VolumeExport:
        return {"export", "unpack-volume"};
    case UnpackWork::VolumeExportTexts:
        return {"export", "texts-volume"};
    case UnpackWork::ContentHash:
        return {"export", "hash"};
    case UnpackWork::SendTree:
        return {"migrate", "send"};
    case UnpackWork::TakeTree:
        return {"migrate", "take"};
    case UnpackWork::Pack:
        return {"export", "pack"};
    default:
        return {"unpack", job.target ? "unpack" : "inspect", job.second ? "split" : "single"};
    }
}

Result<pid_t> spawnHelper(const UnpackJob &job, const Fd &report)
{
    program::FileActions actions;
    const Fd null = TRY(sys::open("/dev/null", O_RDWR));
    TRY(actions.inherit(null, STDIN_FILENO));
    TRY(actions.inherit(null, STDOUT_FILENO));
    TRY(actions.inherit(report, kReportFd));
    TRY(actions.inherit(job.first, kFirstFd));
    if (job.second)
        TRY(actions.inherit(*job.second, kSecondFd));
    if (job.target)
        TRY(actions.inherit(*job.target, kTargetFd));
    std::vector<std::string> arguments = {job.helper};
    std::ranges::copy(workArguments(job), std::back_inserter(arguments));
    if (job.work != UnpackWork::ReceiveStream && job.work != UnpackWork::SendTree)
        std::ranges::copy(limitArguments(job.limits), std::back_inserter(arguments));
    auto pid = program::spawn(arguments, {}, actions);
    return pid ? std::move(pid) : std::move(pid.error()).as(Code::Unavailable);
}

bool isTransfer(UnpackWork work) { return work == UnpackWork::SendTree || work == UnpackWork::TakeTree; }

std::string_view prefixOf(UnpackWork work)
{
    return work == UnpackWork::Pack || isTransfer(work) ? "" : work == UnpackWork::ContentHash ? "read back: " : "unpack: ";
}

/// What the helper has said so far.
struct Told {
    std::string_view prefix; ///< Of its progress.
    Unpacked result;
    std::optional<Error> error;
    bool done = false;

    void take(ReportKind kind, std::string text, Progress &progress)
    {
        switch (kind) {
        case ReportKind::Progress:
            progress.report(std::string(prefix) + escaped(text));
            break;
        case ReportKind::Metadata:
            result.metadata = std::move(text);
            break;
        case ReportKind::Warning:
            if (result.warnings.size() < 100)
                result.warnings.push_back(escaped(text));
            break;
        case ReportKind::Backup:
            result.backup = std::move(text);
            break;
        case ReportKind::Hash:
            result.hash = std::move(text);
            break;
        case ReportKind::Device:
            if (auto device = parseDevice(text); device && result.devices.size() < kMostDevices)
                result.devices.push_back(std::move(*device));
            else
                error = Error(Code::Invalid, "the archive holds a device node that cannot be made");
            break;
        case ReportKind::Failed:
            error = parseError(text);
            break;
        case ReportKind::Done:
            done = true;
            break;
        }
    }
};

/// Until the helper has closed its end; an error here means that it is to be killed.
Status follow(const Fd &report, Told &told, Progress &progress)
{
    ReportReader reader;
    char buffer[16 * 1024];
    for (;;) {
        pollfd wait{report.get(), POLLIN, 0};
        const int ready = ::poll(&wait, 1, kAskEvery);
        if (progress.cancelled())
            return Error(Code::Cancelled, "unpacking was cancelled");
        if (ready <= 0)
            continue;
        const ssize_t got = ::read(report.get(), buffer, sizeof buffer);
        if (got < 0 && errno != EINTR)
            return Error::fromErrno(errno, "read from helper");
        if (got == 0)
            return {};
        if (got > 0)
            TRY(reader.feed(buffer, static_cast<std::size_t>(got),
                            [&](ReportKind kind, std::string text) { told.take(kind, std::move(text), progress); }));
    }
}

Error died(int waitStatus, UnpackWork work)
{
    if (WIFSIGNALED(waitStatus) && isTransfer(work))
        return {Code::Invalid, std::string("the helper at work on the tree was ended by SIG") + sigabbrev_np(WTERMSIG(waitStatus))};
    if (WIFSIGNALED(waitStatus))
        return {Code::Invalid, std::string("the archive could not be read: the helper was ended by SIG") + sigabbrev_np(WTERMSIG(waitStatus)) +
                                   " (damaged, hostile, or too large to handle)"};
    return {Code::Internal, "the unpack helper ended with status " + std::to_string(WEXITSTATUS(waitStatus)) + " and said nothing"};
}

} // namespace

std::vector<std::string> limitArguments(const UnpackLimits &limits)
{
    std::vector<std::string> arguments;
    for (const LimitArgument &row : kLimitArguments)
        arguments.push_back(std::string(row.name) + "=" + std::to_string(row.get(limits)));
    return arguments;
}

Status parseLimitArgument(const std::string &argument, UnpackLimits &limits)
{
    for (const LimitArgument &row : kLimitArguments) {
        const std::string start = std::string(row.name) + "=";
        if (!argument.starts_with(start))
            continue;
        row.set(limits, TRY(parseUnsigned(std::string_view(argument).substr(start.size()))));
        return {};
    }
    return Error(Code::Usage, "argument " + quoted(argument) + " is not known");
}

std::string formatDevice(const DeviceEntry &device)
{
    std::string text;
    for (const std::uint32_t number : {device.mode, device.major, device.minor, device.uid, device.gid})
        text += std::to_string(number) + " ";
    return text + std::to_string(device.seconds) + " " + std::to_string(device.nanoseconds) + " " + device.path;
}

Result<DeviceEntry> parseDevice(const std::string &text)
{
    DeviceEntry device;
    std::istringstream words(text);
    words >> device.mode >> device.major >> device.minor >> device.uid >> device.gid >> device.seconds >> device.nanoseconds;
    const bool space = words.get() == ' ';
    if (!words || !space)
        return Error(Code::Corrupt, "the helper's device node cannot be read");
    device.path = text.substr(static_cast<std::size_t>(words.tellg()));
    return device;
}

Result<Unpacked> unpackArchive(const UnpackJob &job, Progress &progress)
{
    program::Pipe pipe = TRY(program::Pipe::create());
    const pid_t pid = TRY(spawnHelper(job, pipe.write));
    pipe.write.reset();
    Told told{prefixOf(job.work), {}, {}, false};
    const Status followed = follow(pipe.read, told, progress);
    if (!followed)
        process::killChild(pid);
    const int status = TRY(process::wait(pid));
    TRY(followed);
    if (told.error)
        return std::move(*told.error);
    if (!told.done)
        return died(status, job.work);
    return std::move(told.result);
}

} // namespace lxmgr::images
