#include "runtime/caller.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/idmap.h"
#include "kernel/sys.h"
#include "runtime/handshake.h"
#include "runtime/ids.h"
#include "runtime/inside.h"
#include "spec/spawn.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace lxmgr::runtime
{

namespace
{

std::vector<std::string> statusFields(const std::string &status, std::string_view name)
{
    for (const std::string &line : split(status, '\n'))
        if (line.starts_with(name))
            return words(std::string_view(line).substr(name.size()));
    return {};
}

Result<std::uint64_t> statusNumber(const std::string &status, std::string_view name, std::size_t field)
{
    const std::vector<std::string> fields = statusFields(status, name);
    if (fields.size() <= field)
        return Error(Code::Corrupt, "/proc/PID/status has no " + std::string(name), ESRCH);
    return parseUnsigned(fields[field], 0, UINT32_MAX);
}

Result<std::uint64_t> statusBits(const std::string &status, std::string_view name, int base)
{
    const std::vector<std::string> fields = statusFields(status, name);
    if (fields.empty())
        return Error(Code::Corrupt, "/proc/PID/status has no " + std::string(name), ESRCH);
    return std::strtoull(fields[0].c_str(), nullptr, base);
}

Status stillWaits(const Caller &caller)
{
    return caller.waits() ? Status() : Status(Error(Code::NotFound, "the caller has died", ESRCH));
}

} // namespace

Result<Caller> pinCaller(const Scene &scene, const Fd &listener, const notify::Call &call)
{
    constexpr std::size_t kFileSystem = 3; // real, effective, saved, of files
    Caller caller;
    caller.listener = &listener;
    caller.call = call.id;
    caller.proc = TRY(sys::open("/proc/" + std::to_string(call.thread), O_PATH | O_DIRECTORY));
    TRY(stillWaits(caller)); // the number may have been another's when it was opened
    const std::string status = TRY(files::read(caller.proc, "status"));
    caller.uid = static_cast<uid_t>(TRY(statusNumber(status, "Uid:", kFileSystem)));
    caller.gid = static_cast<gid_t>(TRY(statusNumber(status, "Gid:", kFileSystem)));
    for (const std::string &group : statusFields(status, "Groups:"))
        caller.groups.push_back(static_cast<gid_t>(TRY(parseUnsigned(group, 0, UINT32_MAX))));
    caller.capabilities = TRY(statusBits(status, "CapEff:", 16));
    caller.boundingSet = TRY(statusBits(status, "CapBnd:", 16));
    caller.noNewPrivileges = TRY(statusBits(status, "NoNewPrivs:", 10)) != 0;
    caller.umask = static_cast<mode_t>(TRY(statusBits(status, "Umask:", 8)));
    const std::vector<std::string> numbers = statusFields(status, "NSpid:"); // from ours to its own
    if (numbers.empty())
        return Error(Code::Corrupt, "/proc/PID/status has no NSpid:", ESRCH);
    caller.ownNumber = static_cast<pid_t>(TRY(parseUnsigned(numbers.back(), 1, INT32_MAX)));
    const auto space = TRY(sys::fstatat(caller.proc, "ns/user", 0));
    caller.isGuests = space.st_dev == scene.nsDevice && space.st_ino == scene.nsInode;
    TRY(stillWaits(caller));
    return caller;
}

Result<std::string> readText(const Caller &caller, std::uint64_t address, std::size_t most)
{
    const Fd memory = TRY(sys::openat(caller.proc, "mem", O_RDONLY));
    std::string text;
    constexpr std::size_t kPage = 4096;
    std::array<char, kPage> buffer;
    while (text.size() < most) {
        const std::size_t wanted = std::min(kPage - address % kPage, most - text.size()); // the next page may not be there
        const ssize_t got = ::pread(memory.get(), buffer.data(), wanted, static_cast<off_t>(address));
        if (got <= 0)
            return Error(Code::Invalid, "the caller's memory", EFAULT);
        const std::string_view part(buffer.data(), static_cast<std::size_t>(got));
        const std::size_t end = part.find('\0');
        text += part.substr(0, end);
        if (end != std::string_view::npos) {
            TRY(stillWaits(caller));
            return text;
        }
        address += static_cast<std::uint64_t>(got);
    }
    return Error(Code::Invalid, "the caller's text is too long", ENAMETOOLONG);
}

Status readBytes(const Caller &caller, std::uint64_t address, void *into, std::size_t size)
{
    const Fd memory = TRY(sys::openat(caller.proc, "mem", O_RDONLY));
    if (::pread(memory.get(), into, size, static_cast<off_t>(address)) != static_cast<ssize_t>(size))
        return Error(Code::Invalid, "the caller's memory", EFAULT);
    return stillWaits(caller);
}

Status setEffective(std::uint64_t wanted)
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    TRY(sys::call("capget", {}, [&] { return ::syscall(SYS_capget, &header, data); }));
    for (unsigned word = 0; word < 2; ++word)
        data[word].effective = data[word].permitted & static_cast<std::uint32_t>(wanted >> (32 * word));
    TRY(sys::call("capset", {}, [&] { return ::syscall(SYS_capset, &header, data); }));
    return {};
}

Result<Place> placeOf(const Caller &caller, int folder)
{
    Place place;
    place.root = TRY(sys::openat(caller.proc, "root", O_PATH | O_DIRECTORY));
    auto base = sys::openat(caller.proc, folder == AT_FDCWD ? "cwd" : "fd/" + std::to_string(folder), O_PATH);
    if (!base && base.error().errnum == ENOENT && folder != AT_FDCWD)
        return Error(Code::Invalid, "no such descriptor", EBADF);
    place.base = TRY(std::move(base));
    TRY(stillWaits(caller));
    return place;
}

Status takeRights(const Scene &scene, const Caller &caller, const std::function<Status()> &inside)
{
    const Ids ids = Ids::of(scene.spec.idmap);
    const auto uid = idmap::toInside(ids.uids, caller.uid);
    const auto gid = idmap::toInside(ids.gids, caller.gid);
    if (!uid || !gid)
        return Error(Code::Forbidden, "the caller's ids are not the guest's", EPERM);
    TRY(sys::setgroups(caller.groups)); // by their numbers on the host
    const Fd space = TRY(sys::openat(caller.proc, "ns/user", O_RDONLY));
    TRY(sys::setns(space, CLONE_NEWUSER));
    if (inside)
        TRY(inside());
    TRY(sys::setresgid(*gid));
    TRY(sys::setresuid(*uid));
    TRY(sys::prctl("PR_SET_PDEATHSIG", PR_SET_PDEATHSIG, SIGKILL)); // new ids took it away
    return setEffective(caller.capabilities);
}

Status becomeCaller(const Scene &scene, const Caller &caller, const Place &place)
{
    return takeRights(scene, caller, [&]() -> Status {
        TRY(sys::fchdir(place.root));
        TRY(sys::call("chroot", {}, [] { return ::chroot("."); }));
        if (S_ISDIR(TRY(sys::fstat(place.base)).st_mode))
            TRY(sys::fchdir(place.base));
        return {};
    });
}

namespace
{

Status checkAccess(const Fd &file, int wanted)
{
    TRY(sys::call("faccessat2", {}, [&] { return ::syscall(SYS_faccessat2, file.get(), "", wanted, AT_EACCESS | AT_EMPTY_PATH); }));
    return {};
}

} // namespace

Result<Fd> openAsCaller(const Scene &scene, const Caller &caller, const Place &place, const std::function<Result<Fd>()> &open, int access)
{
    Fd found;
    const auto work = [&](spec::Channel &parent) -> Status {
        TRY(becomeCaller(scene, caller, place));
        const Fd file = TRY(open());
        TRY(checkAccess(file, access));
        return parent.send(wire(Handshake::Listener), {}, {file.get()});
    };
    TRY(inChild(work, [&](spec::Packet &packet) {
        if (packet.fds.size() == 1)
            found = std::move(packet.fds[0]);
    }));
    if (!found)
        return Error(Code::Internal, "nothing came back", EIO);
    return found;
}

} // namespace lxmgr::runtime
