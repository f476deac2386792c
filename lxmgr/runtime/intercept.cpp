#include "runtime/intercept.h"

#include "base/text.h"
#include "kernel/cgroup.h"
#include "kernel/files.h"
#include "kernel/notify.h"
#include "kernel/sys.h"
#include "runtime/caller.h"
#include "runtime/handshake.h"
#include "runtime/inside.h"
#include "runtime/mounting.h"
#include "spec/spawn.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <ctime>
#include <linux/capability.h>
#include <list>
#include <poll.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <vector>

namespace lxmgr::runtime
{

namespace
{

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{10}; ///< More than a worker waits for its own helper.
constexpr std::size_t kMostWorkers = 16;
constexpr std::size_t kLongestPath = 4096; ///< PATH_MAX, with its end.
constexpr std::size_t kLongestName = 256;  ///< XATTR_NAME_MAX and its end.

// mknod(2), mknodat(2)

struct Node {
    unsigned major, minor;
};
/// None of them reaches anything that a guest has not already; 0:0 is how overlay says that a file is gone. The same are in
/// the filter (kernel/seccomp.cpp).
constexpr Node kNodes[] = {{0, 0}, {1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}};

constexpr notify::Answer kGoOn{0, 0, true};

Result<notify::Answer> makeNode(const Scene &scene, const Caller &caller, const notify::Call &call)
{
    const bool at = call.number == SYS_mknodat;
    const std::size_t first = at ? 1 : 0;
    const auto mode = static_cast<mode_t>(call.arguments[first + 1]);
    const auto device = static_cast<std::uint32_t>(call.arguments[first + 2]);
    const bool known = std::ranges::any_of(kNodes, [&](const Node &node) { return makedev(node.major, node.minor) == device; });
    if (!caller.isGuests || !S_ISCHR(mode) || !known || !caller.has(CAP_MKNOD))
        return kGoOn; // and the kernel says what it says without us
    const std::string path = TRY(readText(caller, call.arguments[first], kLongestPath));
    if (path.empty() || path.ends_with('/'))
        return Error(Code::Invalid, "no name for a node", ENOENT);
    const std::size_t slash = path.rfind('/');
    const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    if (name == "." || name == "..")
        return Error(Code::AlreadyExists, "a folder's own name", EEXIST);
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const Place place = TRY(placeOf(caller, at ? static_cast<int>(call.arguments[0]) : AT_FDCWD));
    if (!path.starts_with('/') && !S_ISDIR(TRY(sys::fstat(place.base)).st_mode))
        return Error(Code::Invalid, "no folder", ENOTDIR);
    const Fd parent = TRY(openAsCaller(
        scene, caller, place, [&] { return sys::openat(sys::cwd(), folder, O_PATH | O_DIRECTORY); }, W_OK | X_OK));
    // Owned by the caller, as with its own mknod(2); its rights have been looked at.
    ::umask(caller.umask);
    (void)::setfsgid(caller.gid);
    (void)::setfsuid(caller.uid); // takes the capabilities for files away
    TRY(setEffective(std::uint64_t{1} << CAP_MKNOD | std::uint64_t{1} << CAP_DAC_OVERRIDE));
    TRY(sys::mknodat(parent, name, S_IFCHR | (mode & 07777), device));
    return notify::Answer{};
}

// setxattr(2), lsetxattr(2), fsetxattr(2)

/// What says that a folder hides that of the layers below. The others of trusted.overlay.* name places in other layers: no
/// guest may say those to a host that mounts its tree as a layer later.
constexpr std::string_view kOpaque = "trusted.overlay.opaque";

Result<notify::Answer> setAttribute(const Scene &scene, const Caller &caller, const notify::Call &call)
{
    if (!caller.isGuests || !caller.has(CAP_SYS_ADMIN) || call.arguments[3] != 1)
        return kGoOn;
    const auto name = readText(caller, call.arguments[1], kLongestName);
    if (!name || *name != kOpaque)
        return kGoOn; // the kernel reads it again, and decides by that
    char value = 0;
    TRY(readBytes(caller, call.arguments[2], &value, 1));
    if (value != 'y')
        return kGoOn;
    const bool byDescriptor = call.number == SYS_fsetxattr;
    const std::string path = byDescriptor ? "" : TRY(readText(caller, call.arguments[0], kLongestPath));
    if (!byDescriptor && path.empty())
        return Error(Code::Invalid, "no path", ENOENT);
    const Place place = TRY(placeOf(caller, byDescriptor ? static_cast<int>(call.arguments[0]) : AT_FDCWD));
    const auto open = [&]() -> Result<Fd> {
        if (byDescriptor)
            return sys::callFd("dup", {}, [&] { return ::fcntl(place.base.get(), F_DUPFD_CLOEXEC, 0); });
        return sys::openat(sys::cwd(), path, O_PATH | (call.number == SYS_lsetxattr ? O_NOFOLLOW : 0));
    };
    const Fd file = TRY(openAsCaller(scene, caller, place, open, W_OK));
    if (!S_ISDIR(TRY(sys::fstat(file)).st_mode))
        return kGoOn;
    // A descriptor of O_PATH takes no attributes itself; the link leads to the file and nowhere else.
    const std::string link = "/proc/self/fd/" + std::to_string(file.get());
    TRY(sys::call("setxattr", kOpaque,
                  [&] { return ::setxattr(link.c_str(), std::string(kOpaque).c_str(), &value, 1, static_cast<int>(call.arguments[4])); }));
    return notify::Answer{};
}

// sysinfo(2)

Result<notify::Answer> tellResources(const Scene &scene, const Caller &caller, const notify::Call &call)
{
    struct sysinfo told {
    };
    TRY(sys::call("sysinfo", {}, [&] { return ::sysinfo(&told); }));
    const auto bytes = [unit = std::uint64_t{told.mem_unit}](unsigned long count) { return count * unit; };
    const std::uint64_t memory = bytes(told.totalram), swap = bytes(told.totalswap);
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    told.uptime = now.tv_sec - scene.began.tv_sec;
    told.mem_unit = 1;
    told.totalhigh = told.freehigh = told.sharedram = 0;
    const cgroup::Layout layout = TRY(cgroup::Layout::probe());
    const cgroup::Usage usage = TRY(cgroup::usage(layout, scene.spec.cgroup));
    const std::uint64_t used = usage.memory ? usage.memory->count : 0;
    const std::uint64_t held = std::min(used, cgroup::heldMemory(layout, scene.spec.cgroup).value_or(Bytes{used}).count);
    told.totalram = std::min(memory, usage.memoryLimit ? usage.memoryLimit->count : memory);
    told.freeram = told.totalram - std::min<std::uint64_t>(told.totalram, used);
    told.bufferram = used - held;
    told.totalswap = swap;
    told.freeswap = swap - std::min(swap, usage.swap ? usage.swap->count : 0);
    if (usage.processes)
        told.procs = static_cast<unsigned short>(std::min<std::uint64_t>(*usage.processes, UINT16_MAX));
    const Fd into = TRY(sys::openat(caller.proc, "mem", O_RDWR));
    if (::pwrite(into.get(), &told, sizeof told, static_cast<off_t>(call.arguments[0])) != static_cast<ssize_t>(sizeof told))
        return Error(Code::Invalid, "the caller's memory", EFAULT);
    return notify::Answer{};
}

// sched_setscheduler(2)

constexpr int kPolicies[] = {SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE};

/// The kernel's own answer to whether the caller may change how `thread` runs: of its own user, or with CAP_SYS_NICE in the user
/// namespace of that. sched_setaffinity(2) asks just this before it finds that no processor is none to run on.
Status checkMaySchedule(const Scene &scene, const Caller &caller, pid_t thread)
{
    TRY(takeRights(scene, caller));
    const unsigned long none = 0;
    const auto asked = sys::call("sched_setaffinity", {}, [&] { return ::syscall(SYS_sched_setaffinity, thread, sizeof none, &none); });
    return asked || asked.error().errnum == EINVAL ? Status() : Status(asked.error());
}

Result<notify::Answer> setScheduler(const Scene &scene, const Caller &caller, const notify::Call &call)
{
    const auto given = static_cast<pid_t>(call.arguments[0]);
    const auto policy = static_cast<int>(call.arguments[1]);
    const bool known = std::ranges::find(kPolicies, policy & ~SCHED_RESET_ON_FORK) != std::end(kPolicies);
    if (!caller.isGuests || !caller.has(CAP_SYS_NICE) || given < 0 || !known || call.arguments[2] == 0)
        return kGoOn;
    sched_param parameters{};
    TRY(readBytes(caller, call.arguments[2], &parameters, sizeof parameters));
    const pid_t thread = given == 0 ? caller.ownNumber : given;
    // Children from here on are in the caller's pid namespace: there its number means what it means to the caller, and none
    // means a process of the host.
    const Fd numbers = TRY(sys::openat(caller.proc, "ns/pid", O_RDONLY));
    TRY(sys::setns(numbers, CLONE_NEWPID));
    TRY(inChild([&](spec::Channel &) { return checkMaySchedule(scene, caller, thread); }));
    TRY(inChild([&](spec::Channel &) -> Status {
        TRY(sys::prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, SIGKILL));
        TRY(sys::call("sched_setscheduler", {}, [&] { return ::sched_setscheduler(thread, policy, &parameters); }));
        return {};
    }));
    return notify::Answer{};
}

struct Handler {
    int number;
    Result<notify::Answer> (*run)(const Scene &, const Caller &, const notify::Call &);
    std::chrono::seconds patience = kPatience;
};
constexpr Handler kHandlers[] = {
#ifdef SYS_mknod
    {SYS_mknod,     &makeNode     },
#endif
    {SYS_mknodat,   &makeNode     },
    {SYS_setxattr,  &setAttribute },
    {SYS_lsetxattr, &setAttribute },
    {SYS_fsetxattr, &setAttribute },
    {SYS_sysinfo,   &tellResources},
    {SYS_sched_setscheduler, &setScheduler},
    {SYS_mount,     &mountForGuest, kMountPatience + kPatience},
};

Result<notify::Answer> handled(const Scene &scene, const Fd &listener, const notify::Call &call)
{
    const auto handler = std::ranges::find(kHandlers, call.number, &Handler::number);
    if (handler == std::end(kHandlers))
        return kGoOn; // the filter asks for no other
    return handler->run(scene, TRY(pinCaller(scene, listener, call)), call);
}

/// In a process of its own: whatever the caller's memory, paths and file systems do, only this call waits for them.
int answerOne(const Scene &scene, const Fd &listener, const notify::Call &call)
{
    (void)sys::prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, SIGKILL); // else it only lives on to its end
    const auto answer = handled(scene, listener, call);
    const int errnum = answer ? 0 : answer.error().errnum ? answer.error().errnum : EIO;
    const Status said = notify::answer(listener, call.id, answer ? *answer : notify::Answer{0, errnum, false});
    return said ? 0 : 1;
}

// The process that waits for them

struct Worker {
    process::Child child;
    const Fd *listener;
    std::uint64_t id;
    Clock::time_point deadline;
};

class Server
{
public:
    Server(const Scene &scene, spec::Channel more) : m_scene(scene), m_more(std::move(more)) {}

    void serve()
    {
        for (;;) {
            m_polled.clear();
            m_polled.push_back({m_more.fd(), POLLIN, 0});
            for (const Worker &worker : m_workers)
                m_polled.push_back({worker.child.pidfd.get(), POLLIN, 0});
            for (const Fd &listener : m_listeners)
                m_polled.push_back({listener.get(), static_cast<short>(m_workers.size() < kMostWorkers ? POLLIN : 0), 0});
            if (::poll(m_polled.data(), m_polled.size(), untilNext()) < 0)
                continue;
            const std::size_t workers = m_workers.size();
            reapWorkers(1);
            auto listener = m_listeners.begin();
            for (std::size_t i = 1 + workers; i < m_polled.size(); ++i) {
                const auto here = listener++;
                if (m_polled[i].revents & POLLIN)
                    take(*here);
                else if (m_polled[i].revents & (POLLHUP | POLLERR))
                    drop(here);
            }
            if (m_polled[0].revents && !takeListener())
                return;
        }
    }

private:
    int untilNext() const
    {
        Clock::time_point next = Clock::time_point::max();
        for (const Worker &worker : m_workers)
            next = std::min(next, worker.deadline);
        if (m_workers.empty())
            return -1;
        return static_cast<int>(std::clamp<std::int64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(next - Clock::now()).count() + 1, 0, 60'000));
    }

    /// The last process with its filter has ended, and whoever waited with it.
    void drop(std::list<Fd>::iterator listener)
    {
        m_workers.remove_if([&](const Worker &worker) {
            if (worker.listener != &*listener)
                return false;
            process::killChild(worker.child.pid);
            (void)process::wait(worker.child.pid);
            return true;
        });
        m_listeners.erase(listener);
    }

    bool takeListener()
    {
        auto packet = m_more.receive();
        if (!packet || !*packet)
            return false; // the monitor has ended
        if ((*packet)->fds.size() == 1)
            m_listeners.push_back(std::move((*packet)->fds[0]));
        return true;
    }

    void reapWorkers(std::size_t at)
    {
        for (auto worker = m_workers.begin(); worker != m_workers.end(); ++at) {
            const auto here = worker++;
            const bool ended = m_polled[at].revents != 0;
            if (!ended && Clock::now() < here->deadline)
                continue;
            process::killChild(here->child.pid);
            (void)process::wait(here->child.pid);
            // Nothing to say where it has said something itself.
            (void)notify::answer(*here->listener, here->id, {0, EIO, false});
            m_workers.erase(here);
        }
    }

    void take(const Fd &listener)
    {
        const auto call = notify::receive(listener);
        if (!call || !*call)
            return;
        auto child = process::clone(0, Fd(), [&, &call = **call] { return answerOne(m_scene, listener, call); });
        if (!child) {
            (void)notify::answer(listener, (*call)->id, {0, EAGAIN, false});
            return;
        }
        const auto handler = std::ranges::find(kHandlers, (*call)->number, &Handler::number);
        const auto patience = handler == std::end(kHandlers) ? kPatience : handler->patience;
        m_workers.push_back({std::move(*child), &listener, (*call)->id, Clock::now() + patience});
    }

    const Scene &m_scene;
    spec::Channel m_more;
    std::list<Fd> m_listeners; ///< Workers hold their places.
    std::list<Worker> m_workers;
    std::vector<pollfd> m_polled;
};

int serveCalls(const spec::LaunchSpec &spec, pid_t initPid, const spec::Channel &more)
{
    constexpr int kChannel = 3;
    (void)sys::prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, SIGKILL); // else it ends when the channel does
    (void)sys::prctl("PR_SET_NAME", PR_SET_NAME, reinterpret_cast<unsigned long>("lxmgr-intercept"));
    process::resetSignals();
    (void)::signal(SIGPIPE, SIG_IGN);
    // Nothing of the monitor's: who waits for the end of a connection or a terminal must not wait for us.
    if (!sys::call("dup3", {}, [&] { return more.fd() == kChannel ? kChannel : ::dup3(more.fd(), kChannel, O_CLOEXEC); }) ||
        !sys::close_range(kChannel + 1, ~0U))
        return 1;
    Scene scene{spec, 0, 0, {}};
    ::clock_gettime(CLOCK_BOOTTIME, &scene.began);
    const auto space = sys::fstatat(sys::cwd(), "/proc/" + std::to_string(initPid) + "/ns/user", 0);
    if (!space)
        return 1;
    scene.nsDevice = space->st_dev;
    scene.nsInode = space->st_ino;
    Server(scene, spec::Channel(Fd(kChannel))).serve();
    return 0;
}

} // namespace

Interceptor &Interceptor::operator=(Interceptor &&other) noexcept
{
    end();
    m_child = std::exchange(other.m_child, {});
    m_listeners = std::move(other.m_listeners);
    return *this;
}

Result<Interceptor> Interceptor::begin(const spec::LaunchSpec &spec, pid_t initPid, Fd listener)
{
    auto [ours, theirs] = TRY(spec::Channel::pair());
    Interceptor made;
    made.m_child = TRY(process::clone(0, Fd(), [&, &theirs = theirs] { return serveCalls(spec, initPid, theirs); }));
    made.m_listeners = std::move(ours);
    TRY(made.add(listener));
    return made;
}

Status Interceptor::add(const Fd &listener)
{
    m_listeners.setDeadline(Clock::now() + std::chrono::seconds(1)); // one that is stopped must not stop us
    return m_listeners.send(wire(Handshake::Listener), {}, {listener.get()});
}

bool Interceptor::reap(pid_t pid)
{
    if (pid == 0 || pid != m_child.pid)
        return false;
    m_child = {};
    m_listeners = spec::Channel();
    return true;
}

void Interceptor::end()
{
    if (m_child.pid == 0)
        return;
    process::killChild(m_child.pid);
    (void)process::wait(m_child.pid); // ours, and not reaped by others: its number is still its own
    m_child = {};
    m_listeners = spec::Channel();
}

} // namespace lxmgr::runtime
