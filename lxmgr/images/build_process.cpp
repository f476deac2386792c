#include "images/build_process.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/program.h"
#include "kernel/sys.h"

#include <deque>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

namespace lxmgr::images
{

namespace
{

constexpr std::size_t kMostLines = 400;
constexpr int kAskEvery = 100; // ms, for a caller that cancels
constexpr int kJobFd = 3;

struct Child {
    pid_t pid = -1;
    Fd input; ///< Closing it ends the helper and all of its work.
    Fd output;
    ~Child()
    {
        input.reset();
        if (pid > 0)
            (void)program::waitFor(pid);
    }
    Child() = default;
    Child(const Child &) = delete;
    Child &operator=(const Child &) = delete;
};

Result<Fd> memoryFile(const std::string &bytes)
{
    Fd file = TRY(sys::memfd_create("build-job", MFD_CLOEXEC));
    TRY(files::writeAll(file, bytes));
    TRY(sys::call("lseek", "", [&] { return ::lseek(file.get(), 0, SEEK_SET); }));
    return file;
}

Status start(Child &child, const Paths &paths, const BuildJob &job)
{
    const Fd jobFile = TRY(memoryFile(packJob(job)));
    program::Pipe input = TRY(program::Pipe::create()), output = TRY(program::Pipe::create());
    program::FileActions actions;
    TRY(actions.inherit(input.read, STDIN_FILENO));
    TRY(actions.inherit(output.write, STDOUT_FILENO));
    TRY(actions.inherit(jobFile, kJobFd));
    auto pid = program::spawn({paths.helper, "build"}, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}, actions);
    if (!pid)
        return std::move(pid.error()).as(Code::Unavailable);
    child.pid = *pid;
    child.input = std::move(input.write);
    child.output = std::move(output.read);
    return {};
}

/// Lines that say something to a person who waits; mmdebstrap also tells what it skips and which signals it meets.
bool worthShowing(const std::string &line)
{
    return line.starts_with("I: ") && line.find("skipping ") == std::string::npos && line.find("received signal") == std::string::npos;
}

class Follower
{
public:
    Follower(const BuildJob &job, Progress &progress) : m_progress(progress)
    {
        m_result.statuses.resize(job.steps.size(), 0);
    }

    Status line(const std::string &text)
    {
        const BuildReport report = TRY(parseReport(text));
        switch (report.kind) {
        case BuildReport::Kind::Title:
            m_title = report.text;
            m_progress.report(m_title);
            break;
        case BuildReport::Kind::Line:
            if (worthShowing(report.text))
                m_progress.report(m_title + ": " + report.text.substr(3));
            m_lines.push_back(report.text);
            if (m_lines.size() > kMostLines)
                m_lines.pop_front();
            break;
        case BuildReport::Kind::Ended:
            if (report.step >= m_result.statuses.size())
                return Error(Code::Corrupt, "build helper: a step that was not asked for ended");
            m_result.statuses[report.step] = report.status;
            if (report.status != 0)
                m_result.failedStep = report.step;
            break;
        case BuildReport::Kind::Failed:
            m_result.failed = Error(report.code, report.text, report.errnum);
            break;
        case BuildReport::Kind::Done:
            m_done = true;
            break;
        }
        return {};
    }
    Result<JobResult> finish()
    {
        if (!m_done && !m_result.failed)
            return Error(Code::Internal, "build: the helper ended without a word");
        if (m_done)
            m_result.failedStep.reset();
        m_result.lines.assign(m_lines.begin(), m_lines.end());
        return std::move(m_result);
    }

private:
    Progress &m_progress;
    JobResult m_result;
    std::deque<std::string> m_lines;
    std::string m_title;
    bool m_done = false;
};

/// False at the end of what the helper says.
Result<bool> readLines(const Fd &fd, std::string &rest, Follower &follower)
{
    char buffer[16384];
    const long count = TRY(sys::call("read", "build helper", [&] { return ::read(fd.get(), buffer, sizeof buffer); }));
    rest.append(buffer, static_cast<std::size_t>(count));
    std::size_t from = 0;
    for (std::size_t end; (end = rest.find('\n', from)) != std::string::npos; from = end + 1)
        TRY(follower.line(rest.substr(from, end - from)));
    rest.erase(0, from);
    if (rest.size() > (1U << 20))
        return Error(Code::Corrupt, "build helper: a line without end");
    return count > 0;
}

} // namespace

Result<JobResult> runJob(const Paths &paths, const BuildJob &job, Progress &progress)
{
    Child child;
    TRY(start(child, paths, job));
    Follower follower(job, progress);
    std::string rest;
    for (;;) {
        pollfd polled{child.output.get(), POLLIN, 0};
        const long ready = TRY(sys::call("poll", "", [&] { return ::poll(&polled, 1, kAskEvery); }));
        if (progress.cancelled())
            return Error(Code::Cancelled, "build: cancelled"); // ~Child closes the helper's input and waits
        if (ready > 0 && !TRY(readLines(child.output, rest, follower)))
            break;
    }
    return follower.finish();
}

Result<std::string> captureOutput(const std::vector<std::string> &argv, const std::vector<std::string> &environment)
{
    program::Output output = TRY(program::run(argv, environment, program::Errors::Drop));
    if (output.status != 0)
        return Error(Code::Internal, argv[0] + ": ended with status " + std::to_string(output.status));
    return std::move(output.text);
}

} // namespace lxmgr::images
