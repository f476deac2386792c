#include "helper/squashfs.h"

#include "base/text.h"
#include "helper/program.h"
#include "images/attributes.h"
#include "images/elf_machine.h"
#include "images/metadata.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <sys/statvfs.h>
#include <unistd.h>

namespace lxmgr::helper
{

using namespace images;

namespace
{

constexpr const char *kContent = ".content";

/// A small file of the image; "" if there is none.
Result<std::string> fileOf(const Fd &program, const Fd &file, const std::string &name)
{
    Ran ran = TRY(runProgram(program, {"unsquashfs", "-no-wildcards", "-cat", pathOf(file), name}, {file.get()}));
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
    if (auto program = openProgram("unsquashfs"))
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
    const Ran ran = TRY(runProgram(program, {"unsquashfs", "-no-progress", "-quiet", "-dest", place, pathOf(file)}, {file.get(), target.get()},
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
