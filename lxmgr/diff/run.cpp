#include "diff/run.h"

#include "base/text.h"
#include "diff/report.h"
#include "kernel/process.h"
#include "kernel/sys.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lxmgr::diff
{

namespace
{

constexpr int kAskEvery = 100; ///< Milliseconds between two questions whether it is still wanted.
constexpr int kFirstFree = 10; ///< Copies of descriptors are made from here, clear of those the helper is born with.
constexpr std::chrono::hours kLongest{1};

/// posix_spawn's lists of what to do in the child.
class Spawn
{
public:
    Spawn()
    {
        ::posix_spawn_file_actions_init(&m_actions);
        ::posix_spawnattr_init(&m_attributes);
        sigset_t none, all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        ::posix_spawnattr_setsigmask(&m_attributes, &none); // signals of the daemon's threads are not the helper's
        ::posix_spawnattr_setsigdefault(&m_attributes, &all);
        ::posix_spawnattr_setflags(&m_attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    }
    Spawn(const Spawn &) = delete;
    Spawn &operator=(const Spawn &) = delete;
    ~Spawn()
    {
        ::posix_spawn_file_actions_destroy(&m_actions);
        ::posix_spawnattr_destroy(&m_attributes);
    }
    Status inherit(const Fd &fd, int as)
    {
        m_copies.push_back(
            TRY(sys::callFd("fcntl", {}, [&] { return ::fcntl(fd.get(), F_DUPFD_CLOEXEC, kFirstFree); })));
        const int failed = ::posix_spawn_file_actions_adddup2(&m_actions, m_copies.back().get(), as);
        return failed == 0 ? Status() : Status(Error::fromErrno(failed, "posix_spawn_file_actions_adddup2"));
    }
    Result<pid_t> start(const std::string &program, std::vector<std::string> arguments)
    {
        std::vector<char *> argv;
        for (std::string &argument : arguments)
            argv.push_back(argument.data());
        argv.push_back(nullptr);
        char *environment[] = {nullptr};
        pid_t pid = 0;
        if (const int failed =
                ::posix_spawn(&pid, program.c_str(), &m_actions, &m_attributes, argv.data(), environment))
            return Error::fromErrno(failed, "start helper", program).as(Code::Unavailable);
        return pid;
    }

private:
    posix_spawn_file_actions_t m_actions;
    posix_spawnattr_t m_attributes;
    std::vector<Fd> m_copies;
};

Result<pid_t> startHelper(const Job &job, const Fd &report)
{
    Spawn spawn;
    const Fd null = TRY(sys::open("/dev/null", O_RDWR));
    TRY(spawn.inherit(null, STDIN_FILENO));
    TRY(spawn.inherit(null, STDOUT_FILENO));
    TRY(spawn.inherit(report, kReportFd));
    if (job.before.mounted)
        TRY(spawn.inherit(job.before.mounted, kBeforeFd));
    if (job.after.mounted)
        TRY(spawn.inherit(job.after.mounted, kAfterFd));
    std::vector<std::string> arguments = {"lxmgr-helper", "diff"};
    for (std::string &argument : argumentsOf(job))
        arguments.push_back(std::move(argument));
    return spawn.start(job.helper, std::move(arguments));
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
    int ends[2];
    TRY(sys::call("pipe2", {}, [&] { return ::pipe2(ends, O_CLOEXEC); }));
    const Fd fromHelper(ends[0]);
    Fd toUs(ends[1]);
    const pid_t pid = TRY(startHelper(job, toUs));
    toUs.reset();
    ReportReader reader;
    const Status followed = follow(fromHelper, reader, progress, opened);
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
