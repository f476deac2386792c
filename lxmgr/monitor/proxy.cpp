// Mode "proxy": forwards for one device. It sits on the side that connects, and the sockets that listen on the other side are
// given to it; so it needs no right to cross the border, and keeps next to none.
#include "base/log.h"
#include "base/text.h"
#include "kernel/caps.h"
#include "kernel/sys.h"
#include "monitor/modes.h"
#include "monitor/relay.h"
#include "runtime/confine.h"
#include "runtime/listeners.h"
#include "spec/codec.h"
#include "spec/spawn.h"

#include <algorithm>
#include <csignal>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

namespace lxmgr::monitor
{

namespace
{

// Two sockets a connection, two ends of a pipe for each direction that is under way.
constexpr std::size_t kMostDescriptors = 20'480;

struct Task {
    spec::Proxy proxy;
    Fd guest; ///< Pidfd of its init.
    std::vector<Fd> listeners;
};

Result<Task> receiveTask(spec::Channel &channel)
{
    auto packet = TRY(channel.receive());
    if (!packet || packet->type != spec::MessageType::ProxyServe || packet->fds.size() != 1)
        return Error(Code::Corrupt, "no task came from the monitor");
    Task task{TRY(spec::decode<spec::Proxy>(packet->body)), std::move(packet->fds[0]), {}};
    while (task.listeners.size() < task.proxy.listen.ports.size()) {
        auto more = TRY(channel.receive());
        if (!more || more->type != spec::MessageType::ProxyListener || more->fds.empty())
            return Error(Code::Corrupt, "too few listeners came from the monitor");
        for (Fd &fd : more->fds)
            task.listeners.push_back(std::move(fd));
    }
    return task;
}

/// How many descriptors there may be. While the host's right to raise it is there.
std::size_t raiseDescriptors()
{
    const rlimit wanted{kMostDescriptors, kMostDescriptors};
    rlimit now{};
    if (::setrlimit(RLIMIT_NOFILE, &wanted) == 0)
        return kMostDescriptors;
    ::getrlimit(RLIMIT_NOFILE, &now);
    now.rlim_cur = now.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &now); // what is there has to do
    return std::min<std::size_t>(now.rlim_max, kMostDescriptors);
}

/// A path is looked up by the guest's kernel view alone; without one the guest's files are of no use here.
Status enterGuest(const Task &task)
{
    const bool file = task.proxy.connect.kind == spec::ProxyEnd::Kind::Unix;
    const int needed = CLONE_NEWNET | (file ? CLONE_NEWNS : 0);
    Status entered = sys::setns(task.guest, CLONE_NEWUSER | needed);
    // setns(2): EINVAL for the user namespace one is in already, which is a privileged guest's.
    if (!entered && entered.error().errnum == EINVAL)
        entered = sys::setns(task.guest, needed);
    return entered;
}

/// Another's socket file is reached by root as on any system; nothing else is worth a capability.
Status dropRights(const spec::Proxy &proxy)
{
    const bool file = runtime::placeOf(proxy.connect, 0).isFile() && proxy.connectUid == 0;
    const std::uint64_t keep = file ? std::uint64_t{1} << CAP_DAC_OVERRIDE : 0;
    TRY(caps::limitBoundingSet(keep)); // while it still may
    TRY(sys::setgroups({}));
    TRY(sys::setresgid(proxy.connectGid));
    TRY(sys::setresuid(proxy.connectUid));
    TRY(caps::clearInheritable(keep)); // a change of ids takes them only from who was root in this user namespace
    TRY(sys::prctl("PR_SET_NO_NEW_PRIVS", PR_SET_NO_NEW_PRIVS, 1));
    TRY(sys::prctl("PR_SET_DUMPABLE", PR_SET_DUMPABLE, 0));
    // After the last change of ids, which takes it back (prctl(2)).
    return sys::prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, SIGKILL);
}

Relay::Plan planOf(Task task, std::string title, std::size_t descriptors)
{
    Relay::Plan plan;
    plan.title = std::move(title);
    plan.listen = runtime::placeOf(task.proxy.listen, 0).kind;
    plan.proxyProtocol = task.proxy.proxyProtocol;
    // Of the descriptors that are not the listeners', six a connection, and some to spare.
    const std::size_t others = task.listeners.size() + 64;
    const std::size_t most = descriptors > others + 6 ? (descriptors - others) / 6 : 1;
    plan.limits.connections = std::min(plan.limits.connections, most);
    plan.limits.sessions = std::min(plan.limits.sessions, most);
    for (std::size_t i = 0; i < task.listeners.size(); ++i)
        plan.routes.push_back({std::move(task.listeners[i]), runtime::placeOf(task.proxy.connect, i)});
    return plan;
}

Result<std::unique_ptr<Relay>> prepare(spec::Channel &monitor, const std::string &title)
{
    Task task = TRY(receiveTask(monitor));
    (void)::signal(SIGPIPE, SIG_IGN);
    const std::size_t descriptors = raiseDescriptors();
    if (!task.proxy.inside)
        TRY_IN("enter", enterGuest(task));
    task.guest.reset();
    TRY_IN("drop rights", dropRights(task.proxy));
    const std::string filter = task.proxy.seccomp;
    std::unique_ptr<Relay> relay = TRY(Relay::create(monitor.fd(), planOf(std::move(task), title, descriptors)));
    TRY(runtime::loadSeccomp(filter));
    return relay;
}

} // namespace

int proxy(std::span<char *const> args)
{
    spec::Channel monitor{Fd(3)};
    const std::string title = args.size() > 1 ? "device " + quoted(args[1]) : "proxy";
    auto relay = prepare(monitor, title);
    if (!relay) {
        (void)monitor.send(spec::MessageType::Failed, spec::encodeFailure(relay.error())); // nobody else to tell
        return 1;
    }
    if (!monitor.send(spec::MessageType::Done))
        return 1; // the monitor died: so do we
    if (const Status ran = (*relay)->run(); !ran) {
        log::error(title + ": " + ran.error().message);
        return 1;
    }
    return 0;
}

} // namespace lxmgr::monitor
