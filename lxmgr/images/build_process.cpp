#include "images/build_process.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/sys.h"

#include <deque>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

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
            while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
            }
    }
    Child() = default;
    Child(const Child &) = delete;
    Child &operator=(const Child &) = delete;
};

struct Pipe {
    Fd read, write;
    static Result<Pipe> create()
    {
        int ends[2];
        TRY(sys::call("pipe2", "", [&] { return ::pipe2(ends, O_CLOEXEC); }));
        return Pipe{Fd(ends[0]), Fd(ends[1])};
    }
};

class FileActions
{
public:
    FileActions() { ::posix_spawn_file_actions_init(&m_actions); }
    ~FileActions() { ::posix_spawn_file_actions_destroy(&m_actions); }
    FileActions(const FileActions &) = delete;
    FileActions &operator=(const FileActions &) = delete;
    void dup2(const Fd &from, int to) { ::posix_spawn_file_actions_adddup2(&m_actions, from.get(), to); }
    posix_spawn_file_actions_t *get() { return &m_actions; }

private:
    posix_spawn_file_actions_t m_actions;
};

/// Signals as a program expects them, whatever this thread blocks; a group of its own, so that a terminal's ^C is not
/// its business.
class Attributes
{
public:
    Attributes()
    {
        sigset_t none, all;
        ::sigemptyset(&none);
        ::sigfillset(&all);
        ::posix_spawnattr_init(&m_attributes);
        ::posix_spawnattr_setsigmask(&m_attributes, &none);
        ::posix_spawnattr_setsigdefault(&m_attributes, &all);
        ::posix_spawnattr_setpgroup(&m_attributes, 0);
        ::posix_spawnattr_setflags(&m_attributes,
                                   POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    }
    ~Attributes() { ::posix_spawnattr_destroy(&m_attributes); }
    Attributes(const Attributes &) = delete;
    Attributes &operator=(const Attributes &) = delete;
    posix_spawnattr_t *get() { return &m_attributes; }

private:
    posix_spawnattr_t m_attributes;
};

Result<pid_t> spawn(const std::vector<std::string> &argv, const std::vector<std::string> &environment,
                    FileActions &actions)
{
    std::vector<char *> words, entries;
    for (const std::string &word : argv)
        words.push_back(const_cast<char *>(word.c_str()));
    for (const std::string &entry : environment)
        entries.push_back(const_cast<char *>(entry.c_str()));
    words.push_back(nullptr);
    entries.push_back(nullptr);
    Attributes attributes;
    pid_t pid = -1;
    if (const int errnum = ::posix_spawn(&pid, words[0], actions.get(), attributes.get(), words.data(), entries.data()))
        return Error::fromErrno(errnum, "run", argv[0]);
    return pid;
}

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
    Pipe input = TRY(Pipe::create()), output = TRY(Pipe::create());
    FileActions actions;
    actions.dup2(input.read, STDIN_FILENO);
    actions.dup2(output.write, STDOUT_FILENO);
    actions.dup2(jobFile, kJobFd);
    auto pid = spawn({paths.helper, "build"}, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}, actions);
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
    Pipe output = TRY(Pipe::create());
    const Fd null = TRY(sys::open("/dev/null", O_RDWR));
    FileActions actions;
    actions.dup2(null, STDIN_FILENO);
    actions.dup2(output.write, STDOUT_FILENO);
    actions.dup2(null, STDERR_FILENO);
    const pid_t pid = TRY(spawn(argv, environment, actions));
    output.write.reset();
    auto text = files::readAll(output.read, 1 << 20);
    output.read.reset();
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (text && status != 0)
        return Error(Code::Internal, argv[0] + ": ended with status " + std::to_string(status));
    return text;
}

} // namespace lxmgr::images
