// lxmgr-helper export texts|hash|unpack LIMIT=N…: looks into an exported instance or unpacks it, shut in a sandbox.
#include "config/export.h"

#include "base/text.h"
#include "helper/modes.h"
#include "images/archive.h"
#include "images/content_hash.h"
#include "images/extract.h"
#include "images/report.h"
#include "images/sandbox.h"
#include "images/unpack.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <archive_entry.h>
#include <clocale>
#include <csignal>

namespace lxmgr::helper
{

namespace
{

using namespace images;

struct Job {
    std::string work;
    UnpackLimits limits;
    Fd report{kReportFd};
    Fd file{kFirstFd};
    Fd target;
};

Status parseArguments(std::span<char *const> args, Job &job)
{
    if (args.empty())
        return Error(Code::Usage, "export texts|hash|unpack LIMIT=N…");
    job.work = args[0];
    if (job.work == "unpack")
        job.target = Fd(kTargetFd);
    for (char *const argument : args.subspan(1))
        TRY(parseLimitArgument(argument, job.limits));
    return {};
}

struct Texts {
    std::string index, backup;
};

Status checkKind(const Fd &file)
{
    switch (TRY(fileKind(file))) {
    case FileKind::Squashfs:
        return Error(Code::Unsupported, "the file is a squashfs; an export of an instance is a tar archive");
    case FileKind::DiskImage:
        return Error(Code::Unsupported,
                     "the file is the disk of a virtual machine; an export of an instance is a tar archive");
    default:
        return {};
    }
}

/// index.yaml comes first; where it holds no configuration, what follows is read up to the instance's backup.yaml.
Result<Texts> readTexts(const Job &job)
{
    Texts texts;
    TarReader tar = TRY(TarReader::open(job.file));
    while (archive_entry *entry = TRY(tar.next())) {
        const std::string name = TRY(entryName(entry));
        const Place place = TRY_IN("entry " + quoted(name), exportPlaceOf(TRY(checkedParts(name, job.limits.depth))));
        const bool isIndex = place.kind == Place::Kind::Index;
        if (!isIndex && !(place.kind == Place::Kind::Backup && place.part == "container"))
            continue;
        std::string &text = isIndex ? texts.index : texts.backup;
        text = TRY(tar.read(kLongestExportText + 1));
        if (text.size() > kLongestExportText)
            return Error(Code::Invalid, "entry " + quoted(name) + " is too long");
        const bool whole = isIndex && TRY(config::exportHasConfig(text, name));
        if (whole || (!texts.index.empty() && !texts.backup.empty()))
            return texts;
    }
    if (texts.index.empty())
        return Error(Code::Invalid, "the archive holds no backup/index.yaml, so it is no export of an instance");
    return Error(Code::Invalid,
                 "the archive holds no configuration of its instance, neither in index.yaml nor in backup.yaml");
}

/// Parsed here, where it can do no harm, before the daemon does.
Result<config::ExportIndex> sendTexts(const Job &job, const Texts &texts)
{
    config::ExportIndex index = TRY(config::readExport(texts.index, texts.backup));
    sendReport(job.report, ReportKind::Metadata, texts.index);
    sendReport(job.report, ReportKind::Backup, texts.backup);
    return index;
}

/// What index.yaml lists is there, and nothing else.
Status checkParts(const config::ExportIndex &index, std::set<std::string> parts)
{
    if (parts.erase("container") == 0)
        return Error(Code::Invalid, "the archive holds no root file system of the instance");
    for (const config::ExportedInstance &snapshot : index.snapshots)
        if (parts.erase("snapshots/" + snapshot.name) == 0)
            return Error(Code::Invalid,
                         "snapshot " + quoted(snapshot.name) + " is listed in index.yaml and not in the archive");
    if (!parts.empty())
        return Error(Code::Invalid, quoted(*parts.begin()) + " is in the archive and not listed in index.yaml");
    return {};
}

Status unpackInto(const Job &job, const Fd &target)
{
    Extractor extractor(target, job.limits,
                        [&](const std::string &line) { sendReport(job.report, ReportKind::Progress, line); });
    TRY(extractor.unpack(job.file, Layout::Export));
    TRY(extractor.finish());
    if (extractor.index().empty())
        return Error(Code::Invalid, "the archive holds no backup/index.yaml, so it is no export of an instance");
    const config::ExportIndex index = TRY(sendTexts(job, {extractor.index(), extractor.backup()}));
    TRY(checkParts(index, extractor.parts()));
    if (!extractor.metadata().empty())
        TRY(files::writeAll(
            TRY(sys::openat(target, "container/metadata.yaml", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644)),
            extractor.metadata()));
    for (const DeviceEntry &device : extractor.devices())
        sendReport(job.report, ReportKind::Device, formatDevice(device));
    if (const std::string words = extractor.leftOut(); !words.empty())
        sendReport(job.report, ReportKind::Warning, words);
    return {};
}

Result<std::string> hashContent(const Job &job)
{
    ContentHash hash;
    TarReader tar = TRY(TarReader::open(job.file));
    while (archive_entry *entry = TRY(tar.next())) {
        hash.begin(TRY(entryName(entry)), entry);
        TarReader::Block block;
        while (::archive_entry_size(entry) > 0 && TRY(tar.readBlock(block)))
            hash.data(block.offset, {reinterpret_cast<const char *>(block.bytes.data()), block.bytes.size()});
        sendReport(job.report, ReportKind::Progress, humanBytes(Bytes{tar.packedBytes()}));
    }
    return hash.finish();
}

Status work(std::span<char *const> args, Job &job)
{
    TRY(parseArguments(args, job));
    TRY(checkKind(job.file));
    const bool unpacks = job.work == "unpack";
    const Sandbox box = TRY(enterSandbox(SandboxUse::Library, unpacks ? &job.target : nullptr, {}, job.limits));
    if (unpacks)
        return unpackInto(job, *box.target);
    if (job.work == "hash") {
        sendReport(job.report, ReportKind::Hash, TRY(hashContent(job)));
        return {};
    }
    (void)TRY(sendTexts(job, TRY(readTexts(job))));
    return {};
}

} // namespace

int exported(std::span<char *const> args)
{
    // Names in archives are UTF-8 for libarchive to know; with "C" it would refuse all others than ASCII.
    (void)std::setlocale(LC_CTYPE, "C.UTF-8");
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGXFSZ, SIG_IGN); // the limit on a file's size is then an error that names it
    ::umask(0);
    Job job;
    if (const Status done = work(args, job); !done) {
        sendError(job.report, done.error());
        return 1;
    }
    sendReport(job.report, ReportKind::Done, {});
    return 0;
}

} // namespace lxmgr::helper
