#include "helper/squashfs.h"

#include "base/text.h"
#include "images/attributes.h"
#include "images/elf_machine.h"
#include "images/metadata.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/process.h"
#include "kernel/sys.h"

#include <cerrno>
#include <csignal>
#include <poll.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace lxmgr::helper
{

using namespace images;

namespace
{

constexpr std::size_t kMostOutput = (1 << 20) + 1;
constexpr std::size_t kMostWords = 64 * 1024;
constexpr int kLookEvery = 250; ///< Milliseconds between two looks at the disk while unsquashfs writes.
constexpr const char *kContent = ".content";
constexpr const char *kPrograms[] = {"/usr/bin/unsquashfs", "/usr/sbin/unsquashfs", "/usr/local/bin/unsquashfs"};

std::string pathOf(const Fd &fd) { return "/proc/self/fd/" + std::to_string(fd.get()); }

struct Ran {
    int exitCode = 0;
    std::string output;
    std::string words; ///< Its standard error.
};

/// In the child: plain descriptors, then the program.
[[noreturn]] void become(const Fd &program, const std::vector<std::string> &arguments, int out, int err)
{
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    std::vector<char *> argv;
    for (const std::string &argument : arguments)
        argv.push_back(const_cast<char *>(argument.c_str()));
    argv.push_back(nullptr);
    char *environment[] = {nullptr};
    ::syscall(SYS_execveat, program.get(), "", argv.data(), environment, AT_EMPTY_PATH);
    ::_exit(127);
}

/// Appends what `fd` has; false at its end.
bool drain(const Fd &fd, std::string &into, std::size_t most)
{
    char buffer[16 * 1024];
    const ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got > 0 && into.size() < most)
        into.append(buffer, std::min<std::size_t>(static_cast<std::size_t>(got), most - into.size()));
    return got > 0 || (got < 0 && errno == EINTR);
}

struct Pipe {
    Fd read, write;
};
Result<Pipe> makePipe()
{
    int ends[2];
    TRY(sys::call("pipe2", {}, [&] { return ::pipe2(ends, O_CLOEXEC); }));
    return Pipe{Fd(ends[0]), Fd(ends[1])};
}

/// Runs unsquashfs; `watch` is asked now and then, and its error ends it.
Result<Ran> run(const Fd &program, const std::vector<std::string> &arguments, const std::vector<int> &inherited,
                const std::function<Status()> &watch)
{
    Pipe out = TRY(makePipe());
    Pipe err = TRY(makePipe());
    const pid_t child = static_cast<pid_t>(TRY(sys::call("fork", {}, [] { return ::fork(); })));
    if (child == 0) {
        for (const int fd : inherited)
            ::fcntl(fd, F_SETFD, 0);
        become(program, arguments, out.write.get(), err.write.get());
    }
    out.write.reset();
    err.write.reset();
    Ran ran;
    Status watched;
    pollfd waits[2] = {{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}};
    while (waits[0].fd >= 0 || waits[1].fd >= 0) {
        (void)::poll(waits, 2, kLookEvery); // an interrupted wait is only a look more
        if (waits[0].revents != 0 && !drain(out.read, ran.output, kMostOutput))
            waits[0].fd = -1;
        if (waits[1].revents != 0 && !drain(err.read, ran.words, kMostWords))
            waits[1].fd = -1;
        waits[0].revents = waits[1].revents = 0;
        if (watched && !(watched = watch()))
            process::killChild(child);
    }
    ran.exitCode = process::exitCode(TRY(process::wait(child)));
    TRY(watched);
    if (ran.exitCode == 127)
        return Error(Code::Unavailable, "unsquashfs could not be started");
    return ran;
}

Status nothingToWatch() { return {}; }

/// A small file of the image; "" if there is none.
Result<std::string> fileOf(const Fd &program, const Fd &file, const std::string &name)
{
    Ran ran = TRY(run(program, {"unsquashfs", "-no-wildcards", "-cat", pathOf(file), name}, {file.get()}, &nothingToWatch));
    return ran.exitCode == 0 ? std::move(ran.output) : std::string();
}

/// What it says of device nodes and of attributes it may not set; all else is a failure.
bool isExpected(const std::string &line)
{
    return line.empty() || line.starts_with("create_inode: failed to create character device") ||
           line.starts_with("create_inode: failed to create block device") || line.starts_with("write_xattr: ");
}

Error failed(const Ran &ran)
{
    for (const std::string &line : split(ran.words, '\n'))
        if (!isExpected(line)) {
            const bool full = line.find("No space left") != std::string::npos || line.find("quota exceeded") != std::string::npos;
            return {full ? Code::NoSpace : Code::Invalid, "unsquashfs: " + escaped(line)};
        }
    return {Code::Invalid, "unsquashfs ended with status " + std::to_string(ran.exitCode) + ": the image is damaged"};
}

Status checkRan(const Ran &ran)
{
    bool expected = ran.exitCode == 0;
    if (ran.exitCode == 2) { // some file could not be made in full
        expected = true;
        for (const std::string &line : split(ran.words, '\n'))
            expected = expected && isExpected(line);
    }
    return expected ? Status() : Status(failed(ran));
}

Result<std::uint64_t> freeBytes(const Fd &folder)
{
    struct statvfs info{};
    TRY(sys::call("fstatvfs", {}, [&] { return ::fstatvfs(folder.get(), &info); }));
    return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

/// unsquashfs has no limits of its own, so the disk is looked at while it works.
std::function<Status()> diskWatch(const Fd &target, const UnpackLimits &limits, std::uint64_t freeBefore)
{
    return [&target, limits, freeBefore]() -> Status {
        const std::uint64_t now = TRY(freeBytes(target));
        if (now < freeBefore && freeBefore - now > limits.total.count)
            return Error(Code::Invalid, "the image expands to more than " + humanBytes(limits.total));
        return {};
    };
}

/// Counts, and takes away what an image may not carry.
Status checkEntry(const path::Entry &entry, const UnpackLimits &limits, std::uint64_t &entries)
{
    if (++entries > limits.entries)
        return Error(Code::Invalid, "the image holds more than " + std::to_string(limits.entries) + " files");
    const mode_t mode = entry.info.st_mode;
    if (S_ISCHR(mode) || S_ISBLK(mode))
        return sys::unlinkat(entry.folder, entry.name);
    if (!S_ISREG(mode) && !S_ISDIR(mode))
        return {};
    const Fd file = TRY(sys::openat(entry.folder, entry.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    (void)TRY(removeForeignAttributes(file));
    return {};
}

Status checkTree(const Fd &content, const UnpackLimits &limits)
{
    std::uint64_t entries = 0;
    return path::walk(content, [&](const path::Entry &entry) { return checkEntry(entry, limits, entries); });
}

/// metadata.yaml and templates are read by the manager: regular files with one name only.
Status checkOwnFile(const Fd &folder, const std::string &name)
{
    const struct stat info = TRY(sys::fstatat(folder, name));
    const bool good = S_ISREG(info.st_mode) && info.st_nlink == 1 && info.st_size <= 1 << 20;
    return good ? Status() : Status(Error(Code::Invalid, quoted(name) + " must be a regular file of at most 1 MiB with one name"));
}

Status moveUnified(const Fd &content, const Fd &target)
{
    TRY(checkOwnFile(content, "metadata.yaml"));
    (void)TRY(parseMetadata(TRY(files::read(content, "metadata.yaml"))));
    (void)TRY_IN("rootfs", path::open(content, "rootfs", O_RDONLY | O_DIRECTORY, path::Scope::NoMount));
    TRY(sys::renameat2(content, "metadata.yaml", target, "metadata.yaml"));
    TRY(sys::renameat2(content, "rootfs", target, "rootfs"));
    const auto templates = path::open(content, "templates", O_RDONLY | O_DIRECTORY, path::Scope::NoMount);
    if (!templates)
        return templates.error().errnum == ENOENT ? Status() : Status(templates.error());
    for (const std::string &name : TRY(path::list(*templates)))
        TRY_IN("templates", checkOwnFile(*templates, name));
    return sys::renameat2(content, "templates", target, "templates");
}

} // namespace

Result<Fd> openUnsquashfs()
{
    for (const char *path : kPrograms)
        if (auto program = sys::open(path, O_PATH))
            return program;
    return Error(Code::Unsupported, "this image holds a squashfs, and unsquashfs is not installed (apt-get install squashfs-tools)");
}

Result<Inspected> inspectSquashfs(const Fd &program, const Fd &file)
{
    std::string metadata = TRY(fileOf(program, file, "metadata.yaml"));
    if (!metadata.empty()) {
        (void)TRY(parseMetadata(metadata));
        return Inspected{Layout::Unified, std::move(metadata)};
    }
    std::string osRelease = TRY(fileOf(program, file, "usr/lib/os-release"));
    if (osRelease.empty())
        osRelease = TRY(fileOf(program, file, "etc/os-release"));
    std::string machine;
    for (const char *name : {"usr/bin/env", "bin/sh", "usr/bin/dash", "bin/busybox", "usr/bin/busybox", "usr/bin/bash"})
        if (machine.empty())
            machine = elfMachine(TRY(fileOf(program, file, name)));
    return Inspected{Layout::Rootfs, TRY(guessedMetadata(osRelease, machine))};
}

Status unpackSquashfs(const Fd &program, const Fd &file, const Fd &target, Layout layout, const UnpackLimits &limits)
{
    const std::uint64_t before = TRY(freeBytes(target));
    const std::string place = pathOf(target) + "/" + kContent;
    const Ran ran = TRY(run(program, {"unsquashfs", "-no-progress", "-quiet", "-dest", place, pathOf(file)}, {file.get(), target.get()},
                            diskWatch(target, limits, before)));
    TRY(checkRan(ran));
    const Fd content = TRY(path::open(target, kContent, O_RDONLY | O_DIRECTORY, path::Scope::NoMount));
    TRY(checkTree(content, limits));
    if (layout != Layout::Unified || !sys::fstatat(content, "metadata.yaml"))
        return sys::renameat2(target, kContent, target, "rootfs");
    TRY(moveUnified(content, target));
    return path::removeTree(target, kContent);
}

} // namespace lxmgr::helper
