// lxmgr-helper unpack inspect|unpack single|split LIMIT=N…: looks into an image or unpacks it, shut in a sandbox.
#include "base/text.h"
#include "helper/modes.h"
#include "images/archive.h"
#include "images/extract.h"
#include "images/inspect.h"
#include "images/report.h"
#include "images/sandbox.h"
#include "helper/squashfs.h"
#include "images/unpack.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <optional>

namespace lxmgr::helper
{

namespace
{

using namespace images;

struct Job {
    bool unpack = false;
    bool split = false;
    UnpackLimits limits;
    Fd report{kReportFd};
    Fd first{kFirstFd};
    Fd second;
    Fd target;
    std::optional<Fd> unsquashfs; ///< Opened when one of the files is a squashfs.
    FileKind firstKind = FileKind::Tar;
    FileKind secondKind = FileKind::Tar;

    /// The file that unsquashfs opens by its path.
    const Fd *squashfs() const
    {
        if (firstKind == FileKind::Squashfs)
            return &first;
        return split && secondKind == FileKind::Squashfs ? &second : nullptr;
    }
};

Status parseArguments(std::span<char *const> args, Job &job)
{
    if (args.size() < 2)
        return Error(Code::Usage, "unpack inspect|unpack single|split LIMIT=N…");
    job.unpack = std::string_view(args[0]) == "unpack";
    job.split = std::string_view(args[1]) == "split";
    if (job.split)
        job.second = Fd(kSecondFd);
    if (job.unpack)
        job.target = Fd(kTargetFd);
    for (char *const argument : args.subspan(2))
        TRY(parseLimitArgument(argument, job.limits));
    return {};
}

Result<FileKind> kindOf(const Fd &file)
{
    const FileKind kind = TRY(fileKind(file));
    if (kind == FileKind::DiskImage)
        return Error(Code::Unsupported, "this is the disk of a virtual machine; only images of containers can be used");
    return kind;
}

Status findKinds(Job &job)
{
    job.firstKind = TRY(kindOf(job.first));
    if (job.split && job.firstKind != FileKind::Tar)
        return Error(Code::Invalid, "the first file of a split image must be a tar archive with metadata.yaml");
    if (job.split)
        job.secondKind = TRY(kindOf(job.second));
    if (job.squashfs())
        job.unsquashfs = TRY(openUnsquashfs());
    return {};
}

/// metadata.yaml of the image, read without unpacking.
Result<std::string> inspect(const Job &job, const Sandbox &box)
{
    if (job.split) {
        Inspected seen = TRY_IN("metadata file", inspectMetadataTar(job.first));
        if (job.secondKind == FileKind::Tar)
            TRY_IN("rootfs file", checkRootfsTar(job.second));
        return std::move(seen.metadata);
    }
    if (job.firstKind == FileKind::Squashfs)
        return TRY(inspectSquashfs(*job.unsquashfs, box.readable.front())).metadata;
    return TRY(inspectTar(job.first)).metadata;
}

/// Layout of a single tar archive: a look at its first entry.
Result<Layout> layoutOf(const Job &job) { return job.split ? Result<Layout>(Layout::Metadata) : tarLayout(job.first); }

/// metadata.yaml made from what was unpacked.
Result<std::string> guessMetadata(const Fd &target, const std::string &machine)
{
    const auto rootfs = path::open(target, "rootfs", O_RDONLY | O_DIRECTORY, path::Scope::NoMount);
    if (!rootfs)
        return Error(Code::Invalid, "the image holds no root file system");
    std::string text;
    for (const char *name : {"etc/os-release", "usr/lib/os-release"}) {
        const auto file = path::open(*rootfs, name, O_RDONLY | O_NONBLOCK, path::Scope::InRoot);
        if (file && text.empty())
            text = TRY(files::readAll(*file, 64 * 1024));
    }
    return guessedMetadata(text, machine);
}

/// The folders an image has even when its archive left them out.
Status complete(const Fd &target, const std::string &metadata)
{
    (void)TRY(path::makeFolders(target, "templates", 0755, path::Scope::NoMount));
    if (!path::open(target, "rootfs", O_RDONLY | O_DIRECTORY, path::Scope::NoMount))
        return Error(Code::Invalid, "the image holds no root file system");
    if (sys::fstatat(target, "metadata.yaml"))
        return {};
    const Fd file = TRY(sys::openat(target, "metadata.yaml", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644));
    return files::writeAll(file, metadata);
}

Result<std::string> unpackAll(const Job &job, const Sandbox &box)
{
    const Fd &target = *box.target;
    Extractor extractor(target, job.limits, [&](const std::string &line) { sendReport(job.report, ReportKind::Progress, line); });
    if (job.firstKind == FileKind::Squashfs)
        TRY(unpackSquashfs(*job.unsquashfs, box.readable.front(), target, Layout::Unified, job.limits));
    else
        TRY(extractor.unpack(job.first, TRY(layoutOf(job))));
    if (job.split && extractor.metadata().empty())
        return Error(Code::Invalid, "the first file of a split image holds no metadata.yaml");
    if (job.split && job.secondKind == FileKind::Squashfs)
        TRY(unpackSquashfs(*job.unsquashfs, box.readable.front(), target, Layout::Rootfs, job.limits));
    else if (job.split)
        TRY(extractor.unpack(job.second, Layout::Rootfs));
    TRY(extractor.finish());
    if (const std::string words = extractor.leftOut(); !words.empty())
        sendReport(job.report, ReportKind::Warning, words);
    std::string metadata = extractor.metadata();
    if (metadata.empty() && sys::fstatat(target, "metadata.yaml"))
        metadata = TRY(files::read(target, "metadata.yaml", 1 << 20));
    if (metadata.empty())
        metadata = TRY(guessMetadata(target, extractor.machine()));
    TRY(complete(target, metadata));
    return metadata;
}

Status work(std::span<char *const> args, Job &job)
{
    TRY(parseArguments(args, job));
    TRY(findKinds(job));
    std::vector<const Fd *> readable;
    if (const Fd *file = job.squashfs())
        readable.push_back(file);
    const SandboxUse use = readable.empty() ? SandboxUse::Library : SandboxUse::Program;
    const Sandbox box = TRY(enterSandbox(use, job.unpack ? &job.target : nullptr, readable, job.limits));
    const std::string metadata = job.unpack ? TRY(unpackAll(job, box)) : TRY(inspect(job, box));
    sendReport(job.report, ReportKind::Metadata, metadata);
    return {};
}

} // namespace

int unpack(std::span<char *const> args)
{
    Job job;
    return readArchive(job.report, [&] { return work(args, job); });
}

} // namespace lxmgr::helper
