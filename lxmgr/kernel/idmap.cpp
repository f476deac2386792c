#include "kernel/idmap.h"

#include "kernel/files.h"
#include "kernel/process.h"
#include "kernel/sys.h"

#include <csignal>
#include <sched.h>
#include <unistd.h>

namespace lxmgr::idmap
{

namespace
{

std::string mapText(std::span<const Range> ranges)
{
    std::string text;
    for (const Range &range : ranges)
        text += std::to_string(range.inside) + " " + std::to_string(range.outside) + " " + std::to_string(range.count) +
                "\n";
    return text;
}

std::string procPath(pid_t pid, const char *name) { return "/proc/" + std::to_string(pid) + "/" + name; }

} // namespace

Status write(pid_t pid, std::span<const Range> uids, std::span<const Range> gids)
{
    // One write(2) each: the kernel takes a map once and whole.
    TRY(files::put(procPath(pid, "gid_map"), mapText(gids)));
    return files::put(procPath(pid, "uid_map"), mapText(uids));
}

std::optional<std::uint32_t> toHost(std::span<const Range> ranges, std::uint32_t inside)
{
    for (const Range &range : ranges)
        if (inside >= range.inside && inside - range.inside < range.count)
            return range.outside + (inside - range.inside);
    return {};
}

std::optional<std::uint32_t> toInside(std::span<const Range> ranges, std::uint32_t outside)
{
    for (const Range &range : ranges)
        if (outside >= range.outside && outside - range.outside < range.count)
            return range.inside + (outside - range.outside);
    return {};
}

Result<Fd> makeNamespace(std::span<const Range> uids, std::span<const Range> gids)
{
    // The child only has to exist until its namespace is open; it dies with us if we die.
    const process::Child child = TRY(process::clone(CLONE_NEWUSER, Fd(), [] {
        for (;;)
            ::pause();
        return 0;
    }));
    Result<Fd> result = [&]() -> Result<Fd> {
        TRY(write(child.pid, uids, gids));
        return namespaceOf(child.pid);
    }();
    (void)sys::pidfd_send_signal(child.pidfd, SIGKILL); // ours and alive: cannot fail
    (void)process::wait(child.pid);
    return result;
}

Result<Fd> namespaceOf(pid_t pid) { return sys::open(procPath(pid, "ns/user"), O_RDONLY); }

} // namespace lxmgr::idmap
