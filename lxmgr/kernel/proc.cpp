#include "kernel/proc.h"

#include "base/text.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <cstdlib>
#include <fcntl.h>
#include <sys/syscall.h>

namespace lxmgr::proc
{

namespace
{

std::string procPath(pid_t pid, const char *name) { return "/proc/" + std::to_string(pid) + "/" + name; }

/// The hexadecimal number behind "Name:\t".
std::uint64_t hexField(const std::string &status, const char *name)
{
    const std::size_t at = status.find(name);
    return at == std::string::npos ? 0
                                   : std::strtoull(status.c_str() + at + std::string_view(name).size(), nullptr, 16);
}

} // namespace

std::string programName(pid_t pid)
{
    const auto target = sys::readlinkat(sys::cwd(), procPath(pid, "exe"));
    return target ? target->substr(target->rfind('/') + 1) : std::string();
}

Result<SignalSets> signalSets(pid_t pid)
{
    const std::string status = TRY(files::read(procPath(pid, "status")));
    const auto call = files::read(procPath(pid, "syscall"));
    const bool waiting = call && call->starts_with(std::to_string(SYS_rt_sigtimedwait) + " ");
    return SignalSets{hexField(status, "SigBlk:"), hexField(status, "SigCgt:"), waiting};
}

Result<Stat> stat(pid_t pid)
{
    const std::string text = TRY(files::read(procPath(pid, "stat")));
    // The name in parentheses may hold anything, so count from its end.
    const std::size_t end = text.rfind(')');
    const std::vector<std::string> fields =
        words(end == std::string::npos ? "" : std::string_view(text).substr(end + 1));
    if (fields.size() < 20)
        return Error(Code::Corrupt, procPath(pid, "stat") + " is not understood");
    return Stat{static_cast<pid_t>(std::strtol(fields[1].c_str(), nullptr, 10)),
                std::strtoull(fields[19].c_str(), nullptr, 10), fields[0][0]};
}

Result<Fd> findInside(pid_t init, pid_t inside)
{
    const std::string space = TRY(sys::readlinkat(sys::cwd(), procPath(init, "ns/pid")));
    const Fd all = TRY(sys::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (const std::string &name : TRY(path::list(all))) {
        const auto pid = parseUnsigned(name, 1, INT32_MAX);
        Result<Fd> found = pid ? sys::pidfd_open(static_cast<pid_t>(*pid)) : Result<Fd>(pid.error());
        if (!found) // First, so that what is read next is read of the process it pins.
            continue;
        const auto its = sys::readlinkat(all, name + "/ns/pid");
        const auto status = its && *its == space ? files::read(all, name + "/status") : Result<std::string>(Error());
        for (const std::string &line : split(status ? *status : "", '\n'))
            if (const auto numbers = words(line); numbers.size() > 1 && numbers[0] == "NSpid:" && numbers.back() == std::to_string(inside))
                return found;
    }
    return Error(Code::NotFound, "no process " + std::to_string(inside) + " inside");
}

} // namespace lxmgr::proc
