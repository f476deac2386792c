#include "runtime/tpm.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/sys.h"
#include "kernel/vtpm.h"

#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace lxmgr::runtime
{

namespace
{

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kPatience{20};
constexpr std::chrono::milliseconds kGrace{500};
constexpr int kServer = 3;

/// In the child: of ours it has what it answers at, where its errors go, and the folder it is in.
Status becomeEmulator(const spec::Tpm &tpm, const Fd &server, const Fd &state, const Fd &words)
{
    process::resetSignals();
    (void)::signal(SIGPIPE, SIG_IGN); // nobody reads its words once it works
    TRY(sys::fchdir(state));
    constexpr int kAway = 10;
    const Fd answers = TRY(sys::callFd("fcntl", {}, [&] { return ::fcntl(server.get(), F_DUPFD_CLOEXEC, kAway); }));
    const Fd errors = TRY(sys::callFd("fcntl", {}, [&] { return ::fcntl(words.get(), F_DUPFD_CLOEXEC, kAway); }));
    {
        const Fd null = TRY(sys::open("/dev/null", O_RDWR | O_CLOEXEC));
        TRY(sys::dup2(null, 0));
        TRY(sys::dup2(null, 1));
    } // which may have been the number that comes now
    TRY(sys::dup2(errors, 2));
    TRY(sys::dup2(answers, kServer));
    TRY(sys::close_range(kServer + 1, ~0U, CLOSE_RANGE_CLOEXEC));
    TRY(sys::unshare(CLONE_NEWNET | CLONE_NEWIPC));
    const rlimit none{0, 0};
    TRY(sys::call("setrlimit", "RLIMIT_CORE", [&] { return ::setrlimit(RLIMIT_CORE, &none); })); // its memory is all secrets
    ::umask(0077);
    TRY(sys::setgroups({}));
    TRY(sys::call("setresgid", {}, [&] { return ::setresgid(tpm.id, tpm.id, tpm.id); }));
    TRY(sys::setresuid(tpm.id));
    TRY(sys::prctl("PR_SET_NO_NEW_PRIVS", PR_SET_NO_NEW_PRIVS, 1));
    return sys::prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, SIGKILL); // after the change of user, which forgets it
}

int runEmulator(const spec::Tpm &tpm, const Fd &server, const Fd &state, const Fd &words, pid_t monitor)
{
    Status failed = becomeEmulator(tpm, server, state, words);
    if (failed && ::getppid() != monitor)
        return 1; // it died before we could ask to be told
    if (failed) {
        const std::string fd = std::to_string(kServer);
        const char *argv[] = {"swtpm", "chardev", "--tpm2", "--fd", fd.c_str(), "--tpmstate", "dir=.,mode=0600", "--flags",
                              "not-need-init,startup-clear", "--locality", "allow-set-locality", nullptr};
        const char *environment[] = {"PATH=/usr/bin:/bin", nullptr};
        ::execve(tpm.program.c_str(), const_cast<char *const *>(argv), const_cast<char *const *>(environment));
        failed = Error::fromErrno(errno, "execve", tpm.program);
    }
    const std::string &text = failed.error().message;
    (void)!::write(2, text.data(), text.size());
    return 127;
}

bool hasEnded(const process::Child &child)
{
    pollfd ended{child.pidfd.get(), POLLIN, 0};
    return ::poll(&ended, 1, 0) > 0;
}

std::string lastWords(const Fd &words)
{
    char text[1024];
    const ssize_t size = ::read(words.get(), text, sizeof text); // the writer has ended, or the pipe does not block
    return size > 0 ? escaped(trimmed(std::string_view(text, static_cast<std::size_t>(size)))) : std::string("it said nothing");
}

/// "10:224" of /sys/class/tpm/tpm0/dev.
bool isThere(const std::string &folder) { return files::read(folder + "/dev").has_value(); }

spec::DeviceNode nodeOf(const spec::Tpm &tpm, const std::string &path, std::uint32_t major, std::uint32_t minor)
{
    return {path, false, major, minor, 0660, 0, 0, tpm.device};
}

/// The number of the resource manager, as sysfs has it.
Result<spec::DeviceNode> managerOf(const spec::Tpm &tpm, const vtpm::Device &device)
{
    const std::string folder = tpm.sysfs + "/class/tpmrm/tpmrm" + std::to_string(device.number);
    const auto numbers = split(trimmed(TRY_IN("pathrm", files::read(folder + "/dev"))), ':');
    if (numbers.size() != 2)
        return Error(Code::Corrupt, "pathrm: " + folder + "/dev has no device number in it");
    return nodeOf(tpm, tpm.pathRm, static_cast<std::uint32_t>(TRY(parseUnsigned(numbers[0], 0, UINT32_MAX))),
                  static_cast<std::uint32_t>(TRY(parseUnsigned(numbers[1], 0, UINT32_MAX))));
}

} // namespace

Result<TpmEmulator> TpmEmulator::begin(const spec::Tpm &tpm, std::vector<spec::DeviceNode> &nodes)
{
    const Fd state = TRY(sys::open(tpm.state, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    vtpm::Device device = TRY(vtpm::create(tpm.proxy));
    int ends[2];
    TRY(sys::call("pipe2", {}, [&] { return ::pipe2(ends, O_CLOEXEC | O_NONBLOCK); }));
    const Fd words(ends[0]);
    TpmEmulator made(tpm.device);
    {
        const Fd said(ends[1]);
        const pid_t monitor = ::getpid();
        made.m_child = TRY(process::clone(0, Fd(), [&] { return runEmulator(tpm, device.server, state, said, monitor); }));
    }
    device.server = Fd(); // the emulator's alone: its end is that of the device
    const std::string folder = tpm.sysfs + "/class/tpm/tpm" + std::to_string(device.number);
    for (const auto deadline = Clock::now() + kPatience; !isThere(folder); std::this_thread::sleep_for(std::chrono::milliseconds(5))) {
        if (hasEnded(made.m_child))
            return Error(Code::Internal, "swtpm has ended: " + lastWords(words));
        if (Clock::now() > deadline)
            return Error(Code::Timeout, "swtpm did not answer the kernel: " + lastWords(words));
    }
    nodes.push_back(nodeOf(tpm, tpm.path, device.major, device.minor));
    if (!tpm.pathRm.empty())
        nodes.push_back(TRY(managerOf(tpm, device)));
    return made;
}

TpmEmulator::~TpmEmulator()
{
    if (m_child.pid == 0)
        return;
    (void)sys::pidfd_send_signal(m_child.pidfd, SIGTERM); // one that has ended is only reaped
    pollfd ended{m_child.pidfd.get(), POLLIN, 0};
    if (::poll(&ended, 1, static_cast<int>(kGrace.count())) <= 0)
        process::killChild(m_child.pid);
    (void)process::wait(m_child.pid);
}

bool TpmEmulator::reap(pid_t pid)
{
    if (pid == 0 || pid != m_child.pid)
        return false;
    m_child = {};
    return true;
}

} // namespace lxmgr::runtime
