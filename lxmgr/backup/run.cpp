#include "backup/run.h"

#include "base/text.h"
#include "images/report.h"
#include "kernel/files.h"
#include "kernel/process.h"
#include "kernel/program.h"
#include "kernel/sys.h"

#include <array>
#include <cerrno>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lxmgr::backup
{

namespace
{

constexpr int kAskEvery = 100; ///< Milliseconds between two questions whether it is still wanted.
constexpr std::size_t kLongestText = 64U << 20;
constexpr std::size_t kLongestLine = 1U << 20;
constexpr std::size_t kMostLines = 100'000;
constexpr std::size_t kMostWarnings = 100;

struct Pipes {
    program::Pipe report, output, errors;
};

Result<pid_t> start(const std::string &helper, const Job &job, const Fd *target, Pipes &pipes)
{
    const Fd words = TRY(sys::memfd_create("backup-job", MFD_CLOEXEC));
    TRY(files::writeAll(words, encode(job)));
    const Fd null = TRY(sys::open("/dev/null", O_RDWR));
    pipes = Pipes{TRY(program::Pipe::create()), TRY(program::Pipe::create()), TRY(program::Pipe::create())};
    program::FileActions actions;
    TRY(actions.inherit(null, STDIN_FILENO));
    TRY(actions.inherit(pipes.output.write, STDOUT_FILENO));
    TRY(actions.inherit(pipes.errors.write, STDERR_FILENO));
    TRY(actions.inherit(pipes.report.write, kReportFd));
    TRY(actions.inherit(words, kJobFd));
    if (target)
        TRY(actions.inherit(*target, kTargetFd));
    auto pid = program::spawn({helper, "backup"}, {}, actions);
    for (program::Pipe *pipe : {&pipes.report, &pipes.output, &pipes.errors})
        pipe->write.reset();
    return pid ? std::move(pid) : std::move(pid.error()).as(Code::Unavailable);
}

/// What was said so far, by the helper and by borg.
class Listener
{
public:
    explicit Listener(Progress &progress) : m_progress(progress) {}

    Status report(const char *data, std::size_t size)
    {
        return m_reports.feed(data, size, [&](images::ReportKind kind, const std::string &text) {
            if (kind == images::ReportKind::Failed)
                m_refused = images::parseError(text);
        });
    }
    Status output(const char *data, std::size_t size)
    {
        m_ended.text.append(data, size);
        if (m_ended.text.size() > kLongestText)
            return Error(Code::Corrupt, "borg printed more than can be taken");
        return {};
    }
    Status errors(const char *data, std::size_t size)
    {
        m_rest.append(data, size);
        std::size_t from = 0;
        for (std::size_t end; (end = m_rest.find('\n', from)) != std::string::npos; from = end + 1)
            line(m_rest.substr(from, end - from));
        m_rest.erase(0, from);
        return m_rest.size() > kLongestLine ? Status(Error(Code::Corrupt, "borg printed a line without end")) : Status();
    }

    Result<Ended> finish(int status)
    {
        if (m_refused)
            return std::move(*m_refused);
        if (!m_rest.empty())
            line(m_rest);
        const bool warned = WIFEXITED(status) && WEXITSTATUS(status) == 1; // borg's status for "done, but"
        if (status == 0 || (warned && m_errors.empty()))
            return std::move(m_ended);
        if (m_errors.empty() && !m_ended.warnings.empty())
            m_errors.push_back({Line::Kind::Error, m_ended.warnings.back(), {}}); // Python's own words
        return errorOf(m_errors, status);
    }

private:
    void line(const std::string &text)
    {
        if (trimmed(text).empty())
            return;
        Line said = parseLine(text);
        if (said.kind == Line::Kind::Progress && !said.text.empty())
            m_progress.report(escaped(said.text));
        else if (said.kind == Line::Kind::Listed && m_ended.listed.size() < kMostLines)
            m_ended.listed.push_back(std::move(said.text));
        else if (said.kind == Line::Kind::Error && m_errors.size() < kMostWarnings)
            m_errors.push_back(std::move(said));
        else if (said.kind == Line::Kind::Warning && ++m_ended.warned <= kMostWarnings)
            m_ended.warnings.push_back(escaped(said.text));
    }

    Progress &m_progress;
    images::ReportReader m_reports;
    std::optional<Error> m_refused; ///< The helper's own.
    std::vector<Line> m_errors;
    std::string m_rest;
    Ended m_ended;
};

/// Takes what is there; false at the end.
Result<bool> readOnce(const Fd &from, Listener &listener, Status (Listener::*take)(const char *, std::size_t))
{
    char buffer[16 * 1024];
    const long got = TRY(sys::call("read", "borg", [&] { return ::read(from.get(), buffer, sizeof buffer); }));
    if (got > 0)
        TRY((listener.*take)(buffer, static_cast<std::size_t>(got)));
    return got > 0;
}

/// Until all three are closed; an error here means that it is to be killed.
Status follow(Pipes &pipes, Listener &listener, const Progress &progress)
{
    struct End {
        Fd *fd;
        Status (Listener::*take)(const char *, std::size_t);
    };
    const std::array<End, 3> ends = {{{&pipes.report.read, &Listener::report},
                                      {&pipes.output.read, &Listener::output},
                                      {&pipes.errors.read, &Listener::errors}}};
    for (;;) {
        std::array<pollfd, ends.size()> wait{};
        bool open = false;
        for (std::size_t i = 0; i < ends.size(); ++i) {
            wait[i] = {ends[i].fd->get(), POLLIN, 0}; // poll(2) passes over one that is closed (-1)
            open = open || *ends[i].fd;
        }
        if (!open)
            return {};
        const int ready = ::poll(wait.data(), wait.size(), kAskEvery);
        if (progress.cancelled())
            return Error(Code::Cancelled, "it was cancelled");
        for (std::size_t i = 0; ready > 0 && i < ends.size(); ++i)
            if (wait[i].revents != 0 && !TRY(readOnce(*ends[i].fd, listener, ends[i].take)))
                ends[i].fd->reset();
    }
}

} // namespace

Result<Ended> run(const std::string &helper, const Job &job, const Fd *target, Progress &progress)
{
    Pipes pipes;
    const pid_t pid = TRY(start(helper, job, target, pipes));
    Listener listener(progress);
    const Status followed = follow(pipes, listener, progress);
    if (!followed)
        process::killChild(pid); // borg takes back what it had not committed when the repository is next used
    const int status = TRY(process::wait(pid));
    TRY(followed);
    return listener.finish(status);
}

} // namespace lxmgr::backup
