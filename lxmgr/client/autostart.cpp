#include "client/autostart.h"

#include "base/text.h"
#include "client/connection.h"

#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ctime>
#include <unistd.h>

extern char **environ;

namespace lxmgr::client
{

namespace
{

constexpr const char *kServiceManager = "/run/systemd/system";
constexpr std::int64_t kLongestStart = 60000; // ms; re-adopting a thousand guests on a slow disk is not an error

std::int64_t nowMs()
{
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

Status makeFolder(const std::string &path, mode_t mode)
{
    for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
        const std::string part = path.substr(0, at);
        if (::mkdir(part.c_str(), part == path ? mode : 0755) < 0 && errno != EEXIST)
            return Error::fromErrno(errno, "mkdir", part);
        if (at == std::string::npos)
            return {};
    }
}

/// Held while one command starts the daemon, so that a second waits and then finds it running.
Result<Fd> lockStart(const Paths &paths)
{
    const std::string path = paths.runDir + "/start.lock";
    Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock)
        return Error::fromErrno(errno, "open", path);
    while (::flock(lock.get(), LOCK_EX) < 0)
        if (errno != EINTR)
            return Error::fromErrno(errno, "flock", path);
    return lock;
}

Result<pid_t> spawnDaemon(const Paths &paths, const std::string &logPath)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, logPath.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawn_file_actions_addchdir_np(&files, "/");
    // What this shell ignores or blocks is no business of a daemon.
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    std::string program = paths.daemon;
    char *const argv[] = {program.data(), nullptr};
    pid_t pid = -1;
    const int error = ::posix_spawn(&pid, program.c_str(), &files, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    if (error != 0)
        return Error::fromErrno(error, "start", program).as(Code::Unavailable).hint("is lxmgr installed completely?");
    return pid;
}

std::string lastLine(const std::string &path)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    char text[4096];
    const off_t size = file ? ::lseek(file.get(), 0, SEEK_END) : 0;
    const ssize_t got =
        file ? ::pread(file.get(), text, sizeof text, std::max<off_t>(0, size - off_t(sizeof text))) : 0;
    std::string_view tail = trimmed(std::string_view(text, got > 0 ? static_cast<std::size_t>(got) : 0));
    return std::string(tail.substr(tail.rfind('\n') + 1));
}

Error diedAtStart(const std::string &logPath, int status)
{
    std::string line = lastLine(logPath);
    if (line.starts_with("Error: "))
        line.erase(0, 7);
    Code code = Code::Unavailable;
    for (const CodeInfo &info : kCodes) // the daemon ends with the same statuses as the client
        if (WIFEXITED(status) && info.exitStatus == WEXITSTATUS(status) && info.code != Code::Internal)
            code = info.code;
    const std::string how = WIFSIGNALED(status) ? "was killed by signal " + std::to_string(WTERMSIG(status))
                                                : "ended with status " + std::to_string(WEXITSTATUS(status));
    return {code, "lxmgrd " + how + (line.empty() ? "" : ": " + escaped(line)) + " (log: " + logPath + ")"};
}

/// Connects as soon as the socket is there. Between bind(2) and listen(2) it refuses, hence the short retry.
Result<Fd> connectWhenReady(const Paths &paths, const Fd &folder, pid_t daemon, const std::string &logPath)
{
    const Fd life(static_cast<int>(::syscall(SYS_pidfd_open, daemon, 0)));
    const std::int64_t deadline = nowMs() + kLongestStart;
    for (;;) {
        Result<Fd> connected = connectUnix(paths.socket());
        if (connected)
            return connected;
        const bool bound = connected.error().errnum == ECONNREFUSED;
        pollfd waits[] = {{folder.get(), POLLIN, 0}, {life.get(), POLLIN, 0}};
        ::poll(waits, life ? 2 : 1, bound ? 2 : 1000);
        char events[4096];
        if (waits[0].revents & POLLIN)
            [[maybe_unused]] const ssize_t drained = ::read(folder.get(), events, sizeof events);
        int status = 0;
        if (::waitpid(daemon, &status, WNOHANG) == daemon)
            return diedAtStart(logPath, status);
        if (nowMs() > deadline)
            return Error(Code::Timeout,
                         "lxmgrd was started but did not open its socket within a minute (log: " + logPath + ")");
    }
}

} // namespace

bool shouldStartDaemon(const Paths &paths)
{
    const bool ownFolders = paths.stateDir != "/var/lib/lxmgr" || paths.runDir != "/run/lxmgr";
    return ::geteuid() == 0 && (ownFolders || ::access(kServiceManager, F_OK) != 0);
}

Result<Fd> startDaemonAndConnect(const Paths &paths)
{
    TRY_IN("start lxmgrd", makeFolder(paths.stateDir, 0711));
    TRY_IN("start lxmgrd", makeFolder(paths.stateDir + "/logs", 0700));
    TRY_IN("start lxmgrd", makeFolder(paths.runDir, 0711));
    const Fd lock = TRY_IN("start lxmgrd", lockStart(paths));
    if (Result<Fd> already = connectUnix(paths.socket()); already)
        return already;
    const Fd folder(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    // Watched before the daemon exists: its socket cannot appear unseen.
    if (!folder || ::inotify_add_watch(folder.get(), paths.runDir.c_str(), IN_CREATE | IN_MOVED_TO | IN_ATTRIB) < 0)
        return Error::fromErrno(errno, "inotify", paths.runDir).in("start lxmgrd");
    const std::string logPath = paths.stateDir + "/logs/lxmgrd.log";
    const pid_t daemon = TRY(spawnDaemon(paths, logPath));
    return connectWhenReady(paths, folder, daemon, logPath);
}

} // namespace lxmgr::client
