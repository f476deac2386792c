#include "spec/spawn.h"

#include "base/text.h"
#include "spec/codec.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/mount.h>
#include <memory>
#include <mutex>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace lxmgr::spec
{

namespace
{

/// The program behind a read-only mount of its own: /proc/PID/exe of a process about to enter a guest then leads
/// nowhere that can be written to, whatever the guest's root is on the host (CVE-2019-5736).
Result<Fd> readOnlyProgram(const std::string &binary)
{
    Fd mount(static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, binary.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
    if (!mount)
        return Error::fromErrno(errno, "open_tree", binary).as(errno == ENOENT ? Code::Unavailable : Code::Internal);
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    if (::syscall(SYS_mount_setattr, mount.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
        return Error::fromErrno(errno, "mount_setattr", binary);
    // Out of the way of 0 to 3, which the new process gets filled before it opens its program.
    Fd high(::fcntl(mount.get(), F_DUPFD_CLOEXEC, 16));
    if (!high)
        return Error::fromErrno(errno, "fcntl", binary);
    return high;
}

/// One is kept for all starts: closing a detached mount waits for a grace period of the kernel's.
class Program
{
public:
    /// A new one when the file was replaced (an upgrade).
    Result<std::shared_ptr<const Fd>> open(const std::string &binary)
    {
        struct stat now {
        };
        if (::stat(binary.c_str(), &now) != 0)
            return Error::fromErrno(errno, "stat", binary).as(Code::Unavailable);
        const std::lock_guard lock(m_mutex);
        if (!m_mount || binary != m_binary || now.st_dev != m_device || now.st_ino != m_inode) {
            m_mount = std::make_shared<const Fd>(TRY(readOnlyProgram(binary)));
            m_binary = binary;
            m_device = now.st_dev;
            m_inode = now.st_ino;
        }
        return m_mount;
    }

private:
    std::mutex m_mutex;
    std::shared_ptr<const Fd> m_mount; ///< Shared: another thread may replace it while one spawns.
    std::string m_binary;
    dev_t m_device = 0;
    ino_t m_inode = 0;
};

/// Only what tests stop a program with goes through; nothing at all in a release build.
std::vector<std::string> monitorEnvironment()
{
    std::vector<std::string> variables;
#ifdef LXMGR_FAILPOINTS
    for (const char *name : {"LXMGR_FAIL", "LXMGR_FAIL_CALL", "LXMGR_TRACE"})
        if (const char *value = std::getenv(name))
            variables.push_back(std::string(name) + "=" + value);
#endif
    return variables;
}

struct SpawnActions {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    SpawnActions()
    {
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawnattr_init(&attributes);
    }
    ~SpawnActions()
    {
        ::posix_spawn_file_actions_destroy(&actions);
        ::posix_spawnattr_destroy(&attributes);
    }
    SpawnActions(const SpawnActions &) = delete;
    SpawnActions &operator=(const SpawnActions &) = delete;
};

} // namespace

Result<Spawned> spawnMonitor(const std::string &binary, const std::string &mode, const std::string &title)
{
    static Program programs;
    const std::shared_ptr<const Fd> program = TRY(programs.open(binary));
    auto [ours, theirs] = TRY(Channel::pair());

    SpawnActions spawn;
    ::posix_spawn_file_actions_addopen(&spawn.actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&spawn.actions, 2, 1); // the log goes where the daemon's goes
    ::posix_spawn_file_actions_adddup2(&spawn.actions, theirs.fd(), 3);
    sigset_t none, all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&spawn.attributes, &none);
    ::posix_spawnattr_setsigdefault(&spawn.attributes, &all);
    ::posix_spawnattr_setflags(&spawn.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

    std::string path = "/proc/self/fd/" + std::to_string(program->get());
    std::string name = "lxmgr-monitor", modeText = mode, titleText = title;
    char *const argv[] = {name.data(), modeText.data(), titleText.data(), nullptr};
    std::vector<std::string> variables = monitorEnvironment();
    std::vector<char *> environment;
    for (std::string &variable : variables)
        environment.push_back(variable.data());
    environment.push_back(nullptr);

    Spawned spawned;
    const int result =
        ::posix_spawn(&spawned.pid, path.c_str(), &spawn.actions, &spawn.attributes, argv, environment.data());
    if (result != 0)
        return Error::fromErrno(result, "posix_spawn", binary);
    spawned.pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, spawned.pid, 0)));
    if (!spawned.pidfd) {
        Error error = Error::fromErrno(errno, "pidfd_open", binary);
        ours = Channel(); // at the end of the stream it ends too
        theirs = Channel();
        ::waitpid(spawned.pid, nullptr, 0);
        return error;
    }
    spawned.channel = std::move(ours);
    return spawned;
}

Error hung(std::chrono::milliseconds waited, std::string_view process, std::string_view step)
{
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%g s", std::chrono::duration<double>(waited).count());
    return Error(Code::Timeout, "waited " + std::string(seconds) + " for " + std::string(process) + " to " +
                                    std::string(step) + "; it hangs and was killed")
        .hint("the host is overloaded, or a file system or device does not answer, which the host's kernel log tells; "
              "then start it again");
}

Error failureOf(const Packet &packet)
{
    auto failure = decode<Failure>(packet.body);
    if (!failure)
        return std::move(failure.error());
    const Code code =
        failure->code <= static_cast<std::uint32_t>(Code::Usage) ? static_cast<Code>(failure->code) : Code::Internal;
    return Error(code, std::move(failure->message), failure->errnum);
}

std::string encodeFailure(const Error &error)
{
    return encode(Failure{static_cast<std::uint32_t>(error.code), error.errnum, error.message});
}

} // namespace lxmgr::spec
