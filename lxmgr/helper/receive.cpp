// lxmgr-helper receive FOLDER: makes the subvolume of btrfs that a stream describes in the empty FOLDER of the target,
// itself the top of a subvolume, by btrfs(8). A stream names paths and holds whatever its maker likes: the program has no
// other folder to write to, and devices that it makes there cannot be opened.
#include "base/text.h"
#include "helper/modes.h"
#include "helper/program.h"
#include "helper/program_root.h"
#include "images/report.h"
#include "images/sandbox.h"
#include "images/unpack.h"
#include "kernel/sys.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <unistd.h>

namespace lxmgr::helper
{

namespace
{

using namespace images;

/// Above what is received: btrfs-receive(8) finds its subvolumes by the mount they are below.
constexpr const char *kArriving = "arriving";

/// Owners, modes, attributes and nodes of all kinds; and marking a subvolume as received.
constexpr unsigned kCapabilities[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP, CAP_MKNOD, CAP_SYS_ADMIN};

/// Its last words: what went before is what it did.
Error failed(const Ran &ran)
{
    std::string last;
    for (const std::string &line : split(ran.words, '\n'))
        if (!line.empty() && !line.starts_with("At "))
            last = line;
    const bool full = ran.words.find("No space left") != std::string::npos || ran.words.find("quota exceeded") != std::string::npos;
    return {full ? Code::NoSpace : Code::Invalid,
            "btrfs receive: " + (last.empty() ? "ended with status " + std::to_string(ran.exitCode) : escaped(last))};
}

Status receiveInto(const std::string &folder)
{
    TRY(checkObjectName("folder", folder));
    const Fd stream(kFirstFd);
    const auto program = openProgram("btrfs");
    if (!program)
        return Error(Code::Unsupported, "the archive holds streams of btrfs, and btrfs is not installed (apt-get install btrfs-progs)");
    const Target target{kArriving, kTargetFd};
    TRY_IN("sandbox", enterProgramRoot(&target, [](std::vector<Part> &) { return Status(); }, [](const Fd &) { return Status(); }));
    const rlimit none{};
    TRY(sys::call("setrlimit", {}, [&] { return ::setrlimit(RLIMIT_CORE, &none); }));
    TRY(sys::call("lseek", {}, [&] { return ::lseek(stream.get(), 0, SEEK_SET); }));
    TRY(sys::call("dup2", {}, [&] { return ::dup2(stream.get(), STDIN_FILENO); }));
    std::uint64_t keep = 0;
    for (const unsigned capability : kCapabilities)
        keep |= 1ULL << capability;
    TRY(shutInProgram(keep));
    const Ran ran = TRY(runProgram(*program, {"btrfs", "receive", "-e", "/" + target.at + "/" + folder}, {}, [] { return Status(); }));
    return ran.exitCode == 0 ? Status() : Status(failed(ran));
}

} // namespace

int receive(std::span<char *const> args)
{
    const Fd report(kReportFd);
    return readArchive(report, [&]() -> Status {
        return args.size() == 1 ? receiveInto(args[0]) : Status(Error(Code::Usage, "receive FOLDER"));
    });
}

} // namespace lxmgr::helper
