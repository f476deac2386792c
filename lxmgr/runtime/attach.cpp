#include "runtime/attach.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"
#include "runtime/confine.h"
#include "runtime/handshake.h"
#include "runtime/ids.h"
#include "runtime/step.h"
#include "spec/spawn.h"

#include <algorithm>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lxmgr::runtime
{

namespace
{

struct Attaching {
    const spec::LaunchSpec &spec;
    const cgroup::Layout &layout;
    const Guest &guest;
    const spec::ExecRequest &request;
    std::vector<Fd> stdio;
    bool pty = false;
    spec::Channel *parent = nullptr; ///< Once it runs.
};

/// On the host, with its rights; the pid namespace is the guest's already.
Status joinControlGroups(Attaching &self)
{
    return cgroup::attach(self.layout, self.spec.cgroup, 0); // cgroup2 was joined at birth
}

/// As the guest's init: what it has from the monitor is not for a guest's processes.
Status adjustOomScore(Attaching &self)
{
    return files::put("/proc/self/oom_score_adj", std::to_string(self.spec.oomScoreAdj));
}

Status enterNamespaces(Attaching &self)
{
    const int user = self.spec.idmap.uids.empty() ? 0 : CLONE_NEWUSER;
    return sys::setns(self.guest.initPidfd,
                      user | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP);
}

/// From here on inside, as no user yet.
Status freshSession(Attaching &)
{
    TRY(sys::setsid());
    // Keys of the monitor's session must not be seen inside. ENOSYS and EDQUOT leave none to see either.
    ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
    process::resetSignals();
    ::umask(022);
    return {};
}

Status useStdio(Attaching &self)
{
    for (int fd = 0; fd < 3; ++fd)
        TRY(sys::dup2(self.stdio[self.pty ? 0 : static_cast<std::size_t>(fd)], fd));
    if (self.pty)
        TRY(sys::call("ioctl", "TIOCSCTTY", [] { return ::ioctl(0, TIOCSCTTY, 0); }));
    return {};
}

Status limitResources(Attaching &self) { return setLimits(self.spec.rlimits); }

/// Fields of the line whose field `key` is `value`, in a file such as /etc/passwd; empty when there is none.
std::vector<std::string> accountLine(const std::string &table, std::size_t key, const std::string &value)
{
    for (const std::string &line : split(table, '\n'))
        if (std::vector<std::string> fields = split(line, ':'); fields.size() > key && fields[key] == value)
            return fields;
    return {};
}

/// The guest's own account files, read as data: none of its code or libraries is run for it.
std::string accountTable(const Fd &root, const char *name)
{
    const auto file = path::open(root, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, path::Scope::InRoot);
    if (!file)
        return {};
    const auto info = sys::fstat(*file);
    if (!info || !S_ISREG(info->st_mode))
        return {};
    return files::readAll(*file, 1U << 20).value_or("");
}

/// Supplementary groups of `uid` as /etc/group says, never those of the monitor.
std::vector<gid_t> groupsOf(uid_t uid)
{
    const auto root = sys::open("/", O_PATH | O_DIRECTORY);
    if (!root)
        return {};
    const std::vector<std::string> account = accountLine(accountTable(*root, "etc/passwd"), 2, std::to_string(uid));
    if (account.empty())
        return {};
    std::vector<gid_t> groups;
    for (const std::string &line : split(accountTable(*root, "etc/group"), '\n')) {
        const std::vector<std::string> fields = split(line, ':');
        if (fields.size() < 4)
            continue;
        const std::vector<std::string> members = split(fields[3], ',');
        const auto gid = parseUnsigned(fields[2], 0, UINT32_MAX - 1);
        if (gid && std::find(members.begin(), members.end(), account[0]) != members.end() && groups.size() < 1024)
            groups.push_back(static_cast<gid_t>(*gid));
    }
    return groups;
}

Status becomeUser(Attaching &self)
{
    TRY(dropCapabilities(self.spec.boundingSet)); // while we may still
    TRY(sys::setgroups(self.request.uid == 0 ? std::vector<gid_t>() : groupsOf(self.request.uid)));
    TRY(sys::setresgid(self.request.gid));
    return sys::setresuid(self.request.uid);
}

std::string homeOf(const spec::ExecRequest &request)
{
    for (const auto &[name, value] : request.environment)
        if (name == "HOME")
            return value;
    return "/";
}

Status enterFolder(Attaching &self)
{
    if (!self.request.directory.empty()) {
        Status entered = sys::chdir(self.request.directory);
        if (!entered)
            return entered.error().errnum == ENOENT ? std::move(entered.error()).as(Code::NotFound)
                                                    : std::move(entered.error());
    } else if (!sys::chdir(homeOf(self.request))) {
        TRY(sys::chdir("/"));
    }
    // A folder outside the root would be a way out (CVE-2024-21626): getcwd(2) then does not begin with a slash.
    char folder[4096];
    const long length = TRY(sys::call("getcwd", {}, [&] { return ::syscall(SYS_getcwd, folder, sizeof folder); }));
    if (length < 1 || folder[0] != '/')
        return Error(Code::Forbidden, "the folder is outside the guest");
    return {};
}

Status interceptSystemCalls(Attaching &self)
{
    if (self.spec.intercepts.empty())
        return {};
    const Fd listener = TRY(loadIntercepts(self.spec.intercepts));
    return self.parent->send(wire(Handshake::Listener), {}, {listener.get()});
}

Status filterSystemCalls(Attaching &self) { return loadSeccomp(self.spec.seccomp); }

constexpr Step<Attaching> kAttachSteps[] = {
    {"join control groups", &joinControlGroups}, // first, so that limits and the freezer hold from here on
    {"adjust OOM score",    &adjustOomScore   }, // while /proc is the host's
    {"enter namespaces",    &enterNamespaces  },
    {"start session",       &freshSession     },
    {"limit resources",     &limitResources   },
    {"use stdio",           &useStdio         },
    {"become user",         &becomeUser       },
    {"enter folder",        &enterFolder      }, // with the user's rights
    {"intercept calls",     &interceptSystemCalls},
    {"load seccomp",        &filterSystemCalls}, // last
};

int runAttached(Attaching &self, spec::Channel errors)
{
    self.parent = &errors;
    Status prepared = runSteps<Attaching>("attach", kAttachSteps, self);
    const Error error = prepared ? execute(self.request.argv, self.request.environment) : std::move(prepared.error());
    (void)errors.send(wire(Handshake::Failed), spec::encodeFailure(error)); // nobody listens: the exit status has to do
    return error.code == Code::NotFound ? 127 : 126;
}

struct Pty {
    Fd master, terminal;
};

/// In the guest's devpts, through a descriptor we have held since its start: nothing of its paths is trusted.
Result<Pty> openPty(const Guest &guest, const spec::ExecRequest &request, const Ids &ids)
{
    constexpr gid_t kTty = 5; // as the mount says
    Pty pty;
    pty.master = TRY(sys::openat(guest.devpts, "ptmx", O_RDWR | O_NOCTTY));
    int unlocked = 0;
    TRY(sys::call("ioctl", "TIOCSPTLCK", [&] { return ::ioctl(pty.master.get(), TIOCSPTLCK, &unlocked); }));
    pty.terminal = TRY(sys::callFd(
        "ioctl", "TIOCGPTPEER", [&] { return ::ioctl(pty.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC); }));
    TRY(sys::fchown(pty.terminal, ids.uid(request.uid), ids.gid(kTty)));
    TRY(sys::fchmod(pty.terminal, 0620));
    if (request.width > 0 && request.height > 0) {
        winsize size{};
        size.ws_col = static_cast<unsigned short>(std::min(request.width, 65535U));
        size.ws_row = static_cast<unsigned short>(std::min(request.height, 65535U));
        TRY(sys::call("ioctl", "TIOCSWINSZ", [&] { return ::ioctl(pty.master.get(), TIOCSWINSZ, &size); }));
    }
    return pty;
}

/// Pipes become the user's, as a terminal does: /dev/stdout can be opened anew inside then.
Status givePipes(const std::vector<Fd> &stdio, const spec::ExecRequest &request, const Ids &ids)
{
    for (const Fd &fd : stdio)
        if (S_ISFIFO(TRY(sys::fstat(fd)).st_mode))
            TRY(sys::fchown(fd, ids.uid(request.uid), ids.gid(request.gid)));
    return {};
}

/// Children born while it lives are in the guest's pid namespace.
class ChildrenInside
{
public:
    static Result<ChildrenInside> enter(const Guest &guest)
    {
        ChildrenInside inside;
        inside.m_own = TRY(sys::open("/proc/self/ns/pid", O_RDONLY));
        Status entered = sys::setns(guest.initPidfd, CLONE_NEWPID);
        if (!entered && entered.error().errnum == ESRCH)
            return Error(Code::WrongState, "the guest is stopping", ESRCH);
        TRY(std::move(entered));
        inside.m_entered = true;
        return inside;
    }
    ChildrenInside(ChildrenInside &&other) noexcept
        : m_own(std::move(other.m_own)), m_entered(std::exchange(other.m_entered, false))
    {
    }
    ChildrenInside &operator=(ChildrenInside &&) = delete;
    ~ChildrenInside()
    {
        if (m_entered)
            ::setns(m_own.get(), CLONE_NEWPID); // our own namespace: always allowed
    }

private:
    ChildrenInside() = default;
    Fd m_own;
    bool m_entered = false;
};

} // namespace

Result<Attached> attach(const spec::LaunchSpec &spec, const cgroup::Layout &layout, const Guest &guest,
                        const spec::ExecRequest &request, std::vector<Fd> stdio)
{
    if (!request.pty && stdio.size() != 3)
        return Error(Code::Invalid, "three descriptors are needed for standard input, output and error");
    const Ids ids = Ids::of(spec.idmap);
    Attached attached;
    if (request.pty) {
        Pty pty = TRY_IN("pty", openPty(guest, request, ids));
        attached.ptyMaster = std::move(pty.master);
        stdio.clear();
        stdio.push_back(std::move(pty.terminal));
    } else {
        TRY_IN("streams", givePipes(stdio, request, ids));
    }
    Attaching attaching{spec, layout, guest, request, std::move(stdio), request.pty, nullptr};
    auto [ours, theirs] = TRY(spec::Channel::pair());
    const Fd folder = TRY(cgroup::openExec(layout, spec.cgroup, ids.uid(0), ids.gid(0)));
    {
        const ChildrenInside inside = TRY(ChildrenInside::enter(guest));
        auto child =
            process::clone(0, folder, [&, &theirs = theirs] { return runAttached(attaching, std::move(theirs)); });
        if (!child && child.error().errnum == ENOMEM)
            return Error(Code::WrongState, "the guest is stopping", ENOMEM);
        attached.child = TRY(std::move(child));
    }
    attached.words = std::move(ours);
    return attached;
}

} // namespace lxmgr::runtime
