#include "runtime/mounting.h"

#include "base/text.h"
#include "kernel/cgroup.h"
#include "kernel/files.h"
#include "kernel/mount_call.h"
#include "kernel/process.h"
#include "kernel/sys.h"
#include "runtime/confine.h"
#include "runtime/handshake.h"
#include "runtime/ids.h"
#include "runtime/inside.h"
#include "spec/spawn.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace lxmgr::runtime
{

namespace
{

constexpr notify::Answer kGoOn{0, 0, true};
constexpr std::size_t kLongestPath = 4096; ///< PATH_MAX, with its end.
constexpr std::size_t kLongestType = 64, kLongestData = 4096;
constexpr std::size_t kLongestSource = 255; ///< Of a value in fsconfig(2).

/// As the caller's memory said once; nothing is read there again.
struct Request {
    std::string source, target, type, data;
    std::uint64_t flags = 0;
};

Result<std::string> textAt(const Caller &caller, std::uint64_t address, std::size_t most)
{
    return address == 0 ? Result<std::string>(std::string()) : readText(caller, address, most);
}

Result<Request> readRequest(const Caller &caller, const notify::Call &call, std::string type)
{
    Request request;
    request.type = std::move(type);
    request.flags = call.arguments[3];
    request.source = TRY(textAt(caller, call.arguments[0], kLongestPath));
    request.target = TRY(readText(caller, call.arguments[1], kLongestPath));
    request.data = TRY(textAt(caller, call.arguments[4], kLongestData));
    if (request.source.empty() || request.target.empty())
        return Error(Code::Invalid, "no device or no folder", request.source.empty() ? EINVAL : ENOENT);
    return request;
}

/// What is opened by number and not by path is asked of the control group: the guest's, not ours.
Status joinGuestsGroup(const Scene &scene)
{
    const Ids ids = Ids::of(scene.spec.idmap);
    TRY(sys::prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, SIGKILL));
    return cgroup::attachSelf(TRY(cgroup::Layout::probe()), scene.spec.cgroup, ids.uid(0), ids.gid(0));
}

/// The number of the block device that the caller may open by that path, for what the mount needs.
Result<dev_t> deviceOf(const Scene &scene, const Caller &caller, const Place &place, const Request &request, bool readOnly)
{
    dev_t device = 0;
    const auto work = [&](spec::Channel &parent) -> Status {
        TRY(joinGuestsGroup(scene));
        TRY(becomeCaller(scene, caller, place));
        const int access = readOnly ? O_RDONLY : O_RDWR;
        const Fd file = TRY(sys::openat2(sys::cwd(), request.source, access | O_NONBLOCK | O_NOCTTY, 0, RESOLVE_NO_MAGICLINKS));
        const struct stat info = TRY(sys::fstat(file));
        if (!S_ISBLK(info.st_mode))
            return Error(Code::Invalid, "no block device", ENOTBLK);
        return parent.send(wire(Handshake::Listener), {reinterpret_cast<const char *>(&info.st_rdev), sizeof info.st_rdev});
    };
    TRY(inChild(work, [&](spec::Packet &packet) {
        if (packet.body.size() == sizeof device)
            std::memcpy(&device, packet.body.data(), sizeof device);
    }));
    if (device == 0)
        return Error(Code::Internal, "nothing came back", EIO);
    return device;
}

/// The name that /proc/mounts will tell: the caller's own where it can be said in a folder that has nothing else.
std::string nameFor(const std::string &source, dev_t device)
{
    const std::vector<std::string> parts = split(source, '/');
    const bool isPlain = source.starts_with('/') && source.size() <= kLongestSource &&
                         std::all_of(parts.begin() + 1, parts.end(), [](const std::string &part) { return !part.empty() && part != "." && part != ".."; });
    return isPlain ? source : "/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device));
}

/// The file system, detached. The kernel wants a path for its device: it gets one in a root that has this one node, where nobody
/// can put another in its place. Other paths that options or the device's own content might name are not there.
Result<Fd> makeMount(const Scene &scene, const Caller &caller, const Request &request, const mount::CallPlan &plan, dev_t device)
{
    const std::string name = nameFor(request.source, device);
    const Fd space = TRY(sys::openat(caller.proc, "ns/user", O_RDONLY));
    const auto work = [&](spec::Channel &parent) -> Status {
        TRY(joinGuestsGroup(scene));
        const Fd root = TRY(mount::create("tmpfs", {{"mode", "700"}, {"size", "1M"}}, 0));
        const std::string node = name.substr(1);
        for (std::size_t slash = node.find('/'); slash != std::string::npos; slash = node.find('/', slash + 1))
            TRY(sys::mkdirat(root, node.substr(0, slash), 0700));
        TRY(sys::mknodat(root, node, S_IFBLK | 0600, device));
        TRY(sys::fchdir(root));
        TRY(sys::call("chroot", {}, [] { return ::chroot("."); }));
        mount::Options options = {{"source", name}};
        options.insert(options.end(), plan.options.begin(), plan.options.end());
        const Fd made = TRY(mount::create(request.type, options, plan.attributes));
        if (scene.spec.shiftMounts)
            TRY(sys::mount_setattr(made, sys::Recursive::No, MOUNT_ATTR_IDMAP, 0, &space));
        return parent.send(wire(Handshake::Listener), {}, {made.get()});
    };
    std::vector<Fd> trees;
    const auto take = [&](spec::Packet &packet) {
        if (packet.fds.size() == 1)
            trees.push_back(std::move(packet.fds[0]));
    };
    TRY(inChild(work, take, kMountPatience));
    if (trees.empty())
        return Error(Code::Internal, "nothing came back", EIO);
    std::vector<Fd> locked = TRY(mount::lockFlags(trees, space)); // or the guest's root could take nodev off
    return std::move(locked.front());
}

/// Namespaces of the caller other than its user namespace, opened while they can be.
struct Namespaces {
    std::vector<Fd> fds;

    static Result<Namespaces> of(const Caller &caller, std::initializer_list<const char *> names)
    {
        Namespaces spaces;
        for (const char *name : names)
            spaces.fds.push_back(TRY(sys::openat(caller.proc, "ns/" + std::string(name), O_RDONLY)));
        return spaces;
    }
    Status enter() const
    {
        for (const Fd &space : fds)
            TRY(sys::setns(space, 0));
        return {};
    }
};

Status enterPlace(const Place &place)
{
    TRY(sys::fchdir(place.root));
    TRY(sys::call("chroot", {}, [] { return ::chroot("."); }));
    return sys::fchdir(place.base);
}

/// At the caller's target, with the caller's rights: the kernel refuses what it would refuse the caller.
Status attachMount(const Scene &scene, const Caller &caller, const Place &place, const Request &request, const Fd &made)
{
    const Namespaces spaces = TRY(Namespaces::of(caller, {"mnt"}));
    return inChild([&](spec::Channel &) -> Status {
        TRY(takeRights(scene, caller, [&]() -> Status {
            TRY(spaces.enter());
            return enterPlace(place);
        }));
        const Fd target = TRY(sys::openat2(sys::cwd(), request.target, O_PATH | O_DIRECTORY, 0, RESOLVE_NO_MAGICLINKS));
        if (!caller.waits())
            return Error(Code::NotFound, "the caller has died", ESRCH);
        return sys::move_mount(made, target, "");
    });
}

// By a program of the guest's own

/// As what exec brings in, with the caller's namespaces, place and rights.
Status becomeProgram(const Scene &scene, const Caller &caller, const Place &place, const Namespaces &spaces)
{
    TRY(joinGuestsGroup(scene));
    TRY(files::put("/proc/self/oom_score_adj", std::to_string(scene.spec.oomScoreAdj)));
    TRY(takeRights(scene, caller, [&]() -> Status {
        TRY(spaces.enter());
        TRY(enterPlace(place));
        TRY(sys::setsid());
        ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr); // keys of ours must not be seen inside
        TRY(setLimits(scene.spec.rlimits));
        return dropCapabilities(scene.spec.boundingSet & caller.boundingSet);
    }));
    if (caller.noNewPrivileges)
        TRY(sys::prctl("PR_SET_NO_NEW_PRIVS", PR_SET_NO_NEW_PRIVS, 1));
    const Fd null = TRY(sys::openat2(sys::cwd(), "/dev/null", O_RDWR | O_NOCTTY | O_NONBLOCK, 0, RESOLVE_NO_MAGICLINKS));
    for (int fd = 0; fd < 3; ++fd)
        TRY(sys::dup2(null, fd));
    process::resetSignals();
    ::umask(caller.umask);
    return loadSeccomp(scene.spec.seccomp);
}

Result<notify::Answer> runProgram(const Scene &scene, const Caller &caller, const Place &place, const Request &request, const std::string &program)
{
    if (request.source.starts_with('-') || request.target.starts_with('-'))
        return Error(Code::Invalid, "it would be an option", EINVAL);
    std::vector<std::string> argv = {program, request.source, request.target};
    if (const std::string options = mount::optionText(request.flags, request.data); !options.empty())
        argv.insert(argv.end(), {"-o", options});
    const Namespaces spaces = TRY(Namespaces::of(caller, {"net", "ipc", "uts", "cgroup", "mnt"}));
    const Fd numbers = TRY(sys::openat(caller.proc, "ns/pid", O_RDONLY));
    TRY(sys::setns(numbers, CLONE_NEWPID)); // of children
    constexpr int kNotPrepared = 125, kNotFound = 127;
    const process::Child child = TRY(process::clone(0, Fd(), [&] {
        if (!becomeProgram(scene, caller, place, spaces) || !caller.waits())
            return kNotPrepared;
        return execute(argv, scene.spec.environment).code == Code::NotFound ? kNotFound : kNotPrepared + 1;
    }));
    switch (process::exitCode(TRY(process::wait(child.pid)))) { // it leaves a process behind that serves the mount
    case 0:
        return notify::Answer{};
    case kNotFound:
        return Error(Code::NotFound, program, ENODEV);
    default:
        return Error(Code::Invalid, program, EINVAL);
    }
}

} // namespace

Result<notify::Answer> mountForGuest(const Scene &scene, const Caller &caller, const notify::Call &call)
{
    if (!caller.isGuests || !caller.has(CAP_SYS_ADMIN) || !mount::makesNewMount(call.arguments[3]) || call.arguments[2] == 0)
        return kGoOn;
    auto type = readText(caller, call.arguments[2], kLongestType);
    if (!type)
        return kGoOn; // the kernel reads it again, and has no such file system for a guest
    const auto &rows = scene.spec.interceptedMounts;
    const auto row = std::ranges::find(rows, *type, &spec::InterceptedMount::type);
    if (row == rows.end())
        return kGoOn;
    const Request request = TRY(readRequest(caller, call, std::move(*type)));
    const Place place = TRY(placeOf(caller, AT_FDCWD));
    if (!row->program.empty())
        return runProgram(scene, caller, place, request, row->program);
    const mount::CallPlan plan = TRY(mount::planCall(request.type, request.flags, request.data));
    const dev_t device = TRY(deviceOf(scene, caller, place, request, plan.readOnly));
    const Fd made = TRY(makeMount(scene, caller, request, plan, device));
    TRY(attachMount(scene, caller, place, request, made));
    return notify::Answer{};
}

} // namespace lxmgr::runtime
