#include "diff/run.h"

#include "base/text.h"
#include "diff/report.h"
#include "kernel/process.h"
#include "kernel/program.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lxmgr::diff
{

namespace
{

constexpr int kAskEvery = 100; ///< Milliseconds between two questions whether it is still wanted.
constexpr std::chrono::hours kLongest{1};

Result<pid_t> startHelper(const Job &job, const Fd &report)
{
    program::FileActions actions;
    const Fd null = TRY(sys::open("/dev/null", O_RDWR));
    TRY(actions.inherit(null, STDIN_FILENO));
    TRY(actions.inherit(null, STDOUT_FILENO));
    TRY(actions.inherit(report, kReportFd));
    if (job.before.mounted)
        TRY(actions.inherit(job.before.mounted, kBeforeFd));
    if (job.after.mounted)
        TRY(actions.inherit(job.after.mounted, kAfterFd));
    std::vector<std::string> arguments = {job.helper, "diff"};
    std::ranges::copy(argumentsOf(job), std::back_inserter(arguments));
    auto pid = program::spawn(arguments, {}, actions);
    return pid ? std::move(pid) : std::move(pid.error()).as(Code::Unavailable);
}

/// Until the helper has closed its end; an error here means that it is to be killed.
Status follow(const Fd &report, ReportReader &reader, const Progress &progress, const std::function<void()> &opened)
{
    const auto end = std::chrono::steady_clock::now() + kLongest;
    bool told = false;
    std::string buffer(64 * 1024, '\0');
    for (;;) {
        pollfd wait{report.get(), POLLIN, 0};
        const int ready = ::poll(&wait, 1, kAskEvery);
        if (progress.cancelled())
            return Error(Code::Cancelled, "comparing was cancelled");
        if (std::chrono::steady_clock::now() > end)
            return Error(Code::Timeout, "comparing took longer than an hour");
        if (ready <= 0)
            continue;
        const ssize_t got = ::read(report.get(), buffer.data(), buffer.size());
        if (got < 0 && errno != EINTR)
            return Error::fromErrno(errno, "read from helper");
        if (got == 0)
            return {};
        if (got > 0)
            TRY(reader.feed(buffer.data(), static_cast<std::size_t>(got)));
        if (reader.isOpened() && !std::exchange(told, true))
            opened();
    }
}

Error died(int waitStatus)
{
    if (WIFSIGNALED(waitStatus))
        return {Code::Internal, std::string("comparing failed: the helper was ended by SIG") +
                                    sigabbrev_np(WTERMSIG(waitStatus)) + " (a tree too large to handle, or a hostile one)"};
    return {Code::Internal, "the helper ended with status " + std::to_string(WEXITSTATUS(waitStatus)) + " and said nothing"};
}

} // namespace

Result<Comparison> run(const Job &job, const Progress &progress, const std::function<void()> &opened)
{
    program::Pipe pipe = TRY(program::Pipe::create());
    const pid_t pid = TRY(startHelper(job, pipe.write));
    pipe.write.reset();
    ReportReader reader;
    const Status followed = follow(pipe.read, reader, progress, opened);
    if (!followed)
        process::killChild(pid);
    const int status = TRY(process::wait(pid));
    TRY(followed);
    if (reader.error())
        return *reader.error();
    if (!reader.isDone())
        return died(status);
    return std::move(reader).take();
}

} // namespace lxmgr::diff
