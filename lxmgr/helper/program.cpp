#include "helper/program.h"

#include "base/text.h"
#include "kernel/process.h"
#include "kernel/program.h"
#include "kernel/sys.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lxmgr::helper
{

namespace
{

constexpr std::size_t kMostOutput = (1 << 20) + 1;
constexpr std::size_t kMostWords = 64 * 1024;
constexpr int kLookEvery = 250; ///< Milliseconds between two questions to `watch`.

/// In the child: plain descriptors, then the program.
[[noreturn]] void become(pid_t parent, const Fd &program, const std::vector<std::string> &arguments, int out, int err)
{
    // A helper that is killed takes its program along: fork(2) does not hand this on. Dead already, nobody is left to do so.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent)
        ::_exit(127);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    std::vector<char *> argv;
    for (const std::string &argument : arguments)
        argv.push_back(const_cast<char *>(argument.c_str()));
    argv.push_back(nullptr);
    char *environment[] = {nullptr};
    ::syscall(SYS_execveat, program.get(), "", argv.data(), environment, AT_EMPTY_PATH);
    ::_exit(127);
}

/// Appends what `fd` has; false at its end.
bool drain(const Fd &fd, std::string &into, std::size_t most)
{
    char buffer[16 * 1024];
    const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got > 0 && into.size() < most)
        into.append(buffer, std::min<std::size_t>(static_cast<std::size_t>(got), most - into.size()));
    return got > 0 || (got < 0 && errno == EINTR);
}

} // namespace

Result<Fd> openProgram(const std::string &name)
{
    for (const char *folder : {"/usr/bin/", "/usr/sbin/", "/usr/local/bin/"})
        if (auto program = sys::open(folder + name, O_PATH))
            return program;
    return Error(Code::NotFound, "program " + quoted(name) + " is not installed");
}

std::string pathOf(const Fd &fd) { return "/proc/self/fd/" + std::to_string(fd.get()); }

Result<Ran> runProgram(const Fd &program, const std::vector<std::string> &arguments, const std::vector<int> &inherited,
                       const std::function<Status()> &watch)
{
    program::Pipe out = TRY(program::Pipe::create());
    program::Pipe err = TRY(program::Pipe::create());
    const pid_t parent = ::getpid();
    const pid_t child = static_cast<pid_t>(TRY(sys::call("fork", {}, [] { return ::fork(); })));
    if (child == 0) {
        for (const int fd : inherited)
            ::fcntl(fd, F_SETFD, 0);
        become(parent, program, arguments, out.write.get(), err.write.get());
    }
    out.write.reset();
    err.write.reset();
    Ran ran;
    Status watched;
    pollfd waits[2] = {{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}};
    while (waits[0].fd >= 0 || waits[1].fd >= 0) {
        (void)::poll(waits, 2, kLookEvery); // an interrupted wait is only a look more
        if (waits[0].revents != 0 && !drain(out.read, ran.output, kMostOutput))
            waits[0].fd = -1;
        if (waits[1].revents != 0 && !drain(err.read, ran.words, kMostWords))
            waits[1].fd = -1;
        waits[0].revents = waits[1].revents = 0;
        if (watch && watched && !(watched = watch()))
            process::killChild(child);
    }
    ran.exitCode = process::exitCode(TRY(process::wait(child)));
    TRY(watched);
    if (ran.exitCode == 127)
        return Error(Code::Unavailable, arguments.front() + " could not be started");
    return ran;
}

} // namespace lxmgr::helper
