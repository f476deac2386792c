#include "runtime/launch.h"

#include "base/text.h"
#include "base/undo.h"
#include "cards/cards.h"
#include "kernel/files.h"
#include "kernel/mount.h"
#include "kernel/netlink.h"
#include "kernel/host_path.h"
#include "kernel/proc.h"
#include "kernel/process.h"
#include "kernel/sys.h"
#include "runtime/child.h"
#include "runtime/confine.h"
#include "runtime/handshake.h"
#include "runtime/ids.h"
#include "runtime/progress.h"
#include "runtime/step.h"
#include "runtime/trees.h"
#include "spec/spawn.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <iterator>
#include <sched.h>

namespace lxmgr::runtime
{

namespace
{

constexpr std::uint64_t kNamespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;

struct Parent {
    const spec::LaunchSpec &spec;
    const cgroup::Layout &layout;
    Ids ids;
    Fd payload; ///< cgroup2 folder the child is born in; empty without cgroup2.
    Progress progress;
    process::Child child;
    spec::Channel channel;
    Fd userns;
    Guest guest;
};

Status makeControlGroups(Parent &parent)
{
    TRY(cgroup::create(parent.layout, parent.spec.cgroup));
    std::vector<cgroup::Write> writes;
    for (const spec::CgroupWrite &write : parent.spec.cgroupWrites)
        writes.push_back({write.controller, write.file, write.value, write.required});
    TRY(cgroup::write(parent.layout, parent.spec.cgroup, writes));
    parent.payload = TRY(cgroup::openPayload(parent.layout, parent.spec.cgroup, parent.ids.uid(0), parent.ids.gid(0)));
    return {};
}

Status spawn(Parent &parent)
{
    auto [ours, theirs] = TRY(spec::Channel::pair());
    parent.progress = TRY(Progress::create());
    raiseOwnLimits(parent.spec.rlimits);
    const std::uint64_t namespaces = kNamespaces | (parent.ids.privileged() ? 0 : CLONE_NEWUSER);
    auto child = process::clone(namespaces, parent.payload, [&, &theirs = theirs, &ours = ours] {
        ours = spec::Channel();
        return runChild(parent.spec, parent.ids, parent.layout, std::move(theirs), parent.progress);
    });
    if (!child && (child.error().errnum == EPERM || child.error().errnum == ENOSPC || child.error().errnum == EUSERS))
        return std::move(child.error())
            .as(Code::Unsupported)
            .hint("user.max_user_namespaces and its kin may be too low");
    parent.child = TRY(std::move(child));
    parent.channel = std::move(ours);
    parent.channel.setDeadline(std::chrono::steady_clock::now() + std::chrono::milliseconds(parent.spec.patience));
    return {};
}

Status mapIds(Parent &parent)
{
    if (parent.ids.privileged())
        return {};
    TRY(idmap::write(parent.child.pid, parent.ids.uids, parent.ids.gids));
    parent.userns = TRY(idmap::namespaceOf(parent.child.pid));
    return {};
}

/// Always: ours, which it would have else, is that of a monitor.
Status adjustOomScore(Parent &parent)
{
    return files::put("/proc/" + std::to_string(parent.child.pid) + "/oom_score_adj",
                      std::to_string(parent.spec.oomScoreAdj));
}

Status sendTrees(Parent &parent)
{
    std::vector<Fd> trees; // the root first
    trees.push_back(TRY_IN("rootfs", makeRoot(parent.spec.rootfs, parent.ids, parent.userns, parent.guest.leftovers)));
    for (const spec::Mount &mount : parent.spec.mounts)
        trees.push_back(TRY_IN(sourceOf(mount), makeTree(mount, parent.ids, parent.userns)));
    if (!parent.ids.privileged()) {
        auto locked = TRY_IN("lock mounts", mount::lockFlags(trees, parent.userns));
        trees.swap(locked);
        std::ranges::move(locked, std::back_inserter(parent.guest.leftovers));
    }
    for (std::size_t i = 1; i < trees.size(); ++i)
        TRY(parent.channel.send(wire(Handshake::Mount), {}, {trees[i].get()}));
    parent.guest.dev = TRY_IN("/dev", makeDevices(parent.spec.devices, parent.ids));
    return parent.channel.send(wire(Handshake::Go), {}, {trees.front().get(), parent.guest.dev.get()});
}

/// The last run's pair: the kernel takes a network namespace apart some time after its last process, maybe just now.
Status dropLastRuns(const spec::Nic &nic)
{
    const auto old = nic.hostName.empty() ? Result<netlink::Link>(Error()) : netlink::link(nic.hostName);
    if (!old || old->kind != "veth")
        return {};
    Status gone = netlink::deleteLink(nic.hostName);
    return !gone && gone.error().code == Code::NotFound ? Status() : gone;
}

Status makeInterfaces(Parent &parent)
{
    const cards::Inside guest{parent.child.pid, parent.child.pidfd.get(), parent.spec.runDir};
    // A card of the host keeps its index only where it is free inside: those come first, when nothing else is there.
    parent.guest.nics = parent.spec.nics;
    std::ranges::stable_partition(parent.guest.nics, [](const spec::Nic &nic) { return nic.kind == spec::Nic::Kind::Physical; });
    for (spec::Nic &nic : parent.guest.nics) {
        TRY_IN("device " + quoted(nic.device), dropLastRuns(nic));
        TRY_IN("device " + quoted(nic.device), cards::plug(guest, nic));
    }
    return parent.channel.send(wire(Handshake::Network));
}

Error childKilled()
{
    return Error(Code::Internal, "the child was killed before it ran init, or init ended at once")
        .hint("a memory limit that is too small does this");
}

Error childHangs(const Parent &parent)
{
    return spec::hung(std::chrono::milliseconds(parent.spec.patience), "the guest's first process",
                      childStepName(parent.progress.step()));
}

/// Until the child's end closes, which is its exec.
Status waitForInit(Parent &parent)
{
    for (;;) {
        auto received = parent.channel.receive();
        if (!received && received.error().code == Code::Timeout)
            return childHangs(parent);
        auto packet = TRY(std::move(received));
        if (!packet)
            break;
        if (packet->type == wire(Handshake::Failed))
            return spec::failureOf(*packet);
        if (packet->type == wire(Handshake::Listener) && packet->fds.size() == 1) {
            parent.guest.listener = std::move(packet->fds[0]);
            continue;
        }
        if (packet->type != wire(Handshake::Console) || packet->fds.size() != 3)
            return Error(Code::Corrupt, "unexpected message from the child");
        parent.guest.console = std::move(packet->fds[0]);
        parent.guest.devpts = std::move(packet->fds[1]);
        parent.guest.notify = std::move(packet->fds[2]);
    }
    // A death closes the descriptor as an exec does, but the dead run no program.
    if (!parent.guest.console || proc::programName(parent.child.pid).empty())
        return childKilled();
    return {};
}

constexpr Step<Parent> kBirthSteps[] = {
    {"make control groups", &makeControlGroups},
    {"clone",               &spawn            },
};
constexpr Step<Parent> kParentSteps[] = {
    {"map ids",          &mapIds        }, // before root: the id-mapped mounts use the child's own namespace
    {"adjust OOM score", &adjustOomScore},
    {"make trees",       &sendTrees     }, // the child goes on as soon as it has them ...
    {"make interfaces",  &makeInterfaces}, // ... while we wait for the network's lock
};

/// A step that failed because the child is dead is told in the child's words, if it had time for any.
Error inChildsWords(Parent &parent)
{
    while (auto packet = parent.channel.receive()) {
        if (!*packet)
            break;
        if ((*packet)->type == wire(Handshake::Failed))
            return spec::failureOf(**packet);
    }
    return childKilled();
}

/// What the channel's end, or its silence, says of the child.
Error explained(Parent &parent, Error error)
{
    if (error.code == Code::Timeout)
        return childHangs(parent);
    return error.code == Code::Unavailable ? inChildsWords(parent) : error;
}

Status guide(Parent &parent)
{
    for (const Step<Parent> &step : kParentSteps) {
        Status status = runStep("parent", step, parent);
        if (!status)
            return explained(parent, std::move(status.error()));
    }
    TRY(waitForInit(parent));
    traceStep("parent", "wait for init");
    return {};
}

void killChild(const Parent &parent)
{
    if (parent.child.pid == 0)
        return;
    (void)sys::pidfd_send_signal(parent.child.pidfd, SIGKILL); // ESRCH: it is dead already
    (void)process::wait(parent.child.pid);                     // ours: nobody else can have reaped it
}

} // namespace

Result<Guest> launch(const spec::LaunchSpec &wanted, const cgroup::Layout &layout)
{
    spec::LaunchSpec spec = wanted;
    std::erase_if(spec.mounts, [](const spec::Mount &mount) {
        return mount.optional && mount.kind == spec::Mount::Kind::Bind && !path::openOnHost(mount.source, mount.beneath);
    });
    Parent parent{spec, layout, Ids::of(spec.idmap), {}, {}, {}, {}, {}, {}};
    Undo undo;
    undo.add("remove control groups", [&] { return cgroup::remove(layout, spec.cgroup); });
    undo.add("take cards back", [&] { return cards::withdraw(spec.runDir, parent.guest.nics); });
    traceStep("parent", "begin");
    undo.add("kill child", [&]() -> Status {
        killChild(parent);
        return {};
    });
    TRY(runSteps<Parent>("parent", kBirthSteps, parent));
    TRY(guide(parent));
    undo.keep();
    parent.guest.initPid = parent.child.pid;
    parent.guest.initPidfd = std::move(parent.child.pidfd);
    return std::move(parent.guest);
}

Status cleanUp(const spec::LaunchSpec &spec, const cgroup::Layout &layout)
{
    return cgroup::remove(layout, spec.cgroup);
}

} // namespace lxmgr::runtime
