// lxmgr-helper export texts|hash|unpack|pack LIMIT=N…: looks into an exported instance (or, as texts-volume and
// unpack-volume, into an exported volume; as unpack-streams, one of streams) or unpacks it, shut in a sandbox; or writes one, or an image, of trees that it
// mounts for itself and then has nothing but the right to read.
#include "config/export.h"

#include "base/text.h"
#include "config/volume_export.h"
#include "helper/modes.h"
#include "helper/squashfs_writer.h"
#include "images/archive.h"
#include "images/content_hash.h"
#include "images/export_job.h"
#include "images/extract.h"
#include "images/pack.h"
#include "images/report.h"
#include "images/sandbox.h"
#include "images/unpack.h"
#include "kernel/files.h"
#include "kernel/mount.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <archive_entry.h>
#include <algorithm>
#include <sys/resource.h>

namespace lxmgr::helper
{

namespace
{

using namespace images;

struct Job {
    std::string work;
    Layout layout = Layout::Export;
    UnpackLimits limits;
    Fd report{kReportFd};
    Fd file{kFirstFd};
    Fd target;
};

Status parseArguments(std::span<char *const> args, Job &job)
{
    if (args.empty())
        return Error(Code::Usage, "export texts|texts-volume|hash|unpack|unpack-volume|pack LIMIT=N…");
    job.work = args[0];
    if (const std::size_t ending = job.work.find("-volume"); ending != std::string::npos) {
        job.work.resize(ending);
        job.layout = Layout::VolumeExport;
    }
    if (job.work == "unpack-streams") {
        job.work = "unpack";
        job.layout = Layout::StreamExport;
    }
    if (job.work == "unpack" || job.work == "pack")
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

Error noIndex(const Job &job)
{
    return {Code::Invalid, std::string("the archive holds no backup/index.yaml, so it is no export of ") +
                               (job.layout == Layout::VolumeExport ? "a storage volume" : "an instance")};
}

/// index.yaml comes first; where it holds no configuration, what follows is read up to the instance's backup.yaml.
Result<Texts> readTexts(const Job &job)
{
    Texts texts;
    TarReader tar = TRY(TarReader::open(job.file));
    while (archive_entry *entry = TRY(tar.next())) {
        const std::string name = TRY(entryName(entry));
        const Place place = TRY_IN("entry " + quoted(name), exportPlaceOf(TRY(checkedParts(name, job.limits.depth)), job.layout));
        const bool isIndex = place.kind == Place::Kind::Index;
        if (!isIndex && !(place.kind == Place::Kind::Backup && place.part == "container"))
            continue;
        std::string &text = isIndex ? texts.index : texts.backup;
        text = TRY(tar.read(kLongestExportText + 1));
        if (text.size() > kLongestExportText)
            return Error(Code::Invalid, "entry " + quoted(name) + " is too long");
        const bool whole = isIndex && (job.layout == Layout::VolumeExport || TRY(config::exportHasConfig(text, name)));
        if (whole || (!texts.index.empty() && !texts.backup.empty()))
            return texts;
    }
    if (texts.index.empty())
        return noIndex(job);
    return Error(Code::Invalid,
                 "the archive holds no configuration of its instance, neither in index.yaml nor in backup.yaml");
}

/// Parsed here, where it can do no harm, before the daemon does. Names of the snapshots.
Result<std::vector<std::string>> sendTexts(const Job &job, const Texts &texts)
{
    std::vector<std::string> snapshots;
    if (job.layout == Layout::VolumeExport) {
        const config::VolumeExportIndex index = TRY(config::readVolumeExport(texts.index));
        for (const config::VolumeSnapshotDocument &one : index.volume.snapshots)
            snapshots.push_back(one.name);
    } else {
        const config::ExportIndex index = TRY(config::readExport(texts.index, texts.backup));
        for (const config::ExportedInstance &one : index.snapshots)
            snapshots.push_back(one.name);
    }
    sendReport(job.report, ReportKind::Metadata, texts.index);
    sendReport(job.report, ReportKind::Backup, texts.backup);
    return snapshots;
}

/// What index.yaml lists is there, and nothing else.
Status checkParts(const Job &job, const std::vector<std::string> &snapshots, std::set<std::string> parts)
{
    if (parts.erase("container") == 0)
        return Error(Code::Invalid, job.layout == Layout::VolumeExport ? "the archive holds no files of the volume"
                                                                       : "the archive holds no root file system of the instance");
    for (const std::string &snapshot : snapshots)
        if (parts.erase("snapshots/" + snapshot) == 0)
            return Error(Code::Invalid,
                         "snapshot " + quoted(snapshot) + " is listed in index.yaml and not in the archive");
    if (!parts.empty())
        return Error(Code::Invalid, quoted(*parts.begin()) + " is in the archive and not listed in index.yaml");
    return {};
}

Status unpackInto(const Job &job, const Fd &target)
{
    Extractor extractor(target, job.limits,
                        [&](const std::string &line) { sendReport(job.report, ReportKind::Progress, line); });
    TRY(extractor.unpack(job.file, job.layout));
    TRY(extractor.finish());
    if (extractor.index().empty())
        return noIndex(job);
    const std::vector<std::string> snapshots = TRY(sendTexts(job, {extractor.index(), extractor.backup()}));
    if (job.layout == Layout::Export && TRY(config::readExport(extractor.index(), extractor.backup())).optimized)
        return Error(Code::Invalid, "index.yaml says that the archive holds streams of a storage driver (--optimized-storage), and it holds files");
    TRY(checkParts(job, snapshots, extractor.parts()));
    if (job.layout == Layout::StreamExport && !extractor.header().empty())
        TRY(config::checkStreamHeader(extractor.header()));
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

constexpr std::size_t kLongestJob = 1 << 30;
constexpr rlim_t kMostFiles = 65'536; ///< A mount for each snapshot, and folders as deep as they may be.

struct OpenedSource {
    Fd rootfs, templates;
};

Result<std::vector<OpenedSource>> openSources(const ExportJob &wanted)
{
    std::vector<OpenedSource> opened;
    for (const ExportSource &part : wanted.parts) {
        OpenedSource source;
        if (part.layers.empty())
            return Error(Code::Corrupt, "the job of an export names a tree without layers");
        source.rootfs = TRY_IN(part.folder, mount::openLayers(part.layers));
        if (!part.templates.empty())
            source.templates = TRY(sys::open(part.templates, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        opened.push_back(std::move(source));
    }
    return opened;
}

class HelperProgress final : public Progress
{
public:
    explicit HelperProgress(const Fd &report) : m_report(report) {}
    void report(const std::string &text) override { sendReport(m_report, ReportKind::Progress, text); }
    bool cancelled() const override { return false; } // then this process is killed

private:
    const Fd &m_report;
};

Result<Exported> packInstance(const Fd &to, const ExportJob &wanted, const std::vector<OpenedSource> &sources,
                              Progress &progress)
{
    const auto writer = TRY(ExportWriter::open(to, wanted.compression, wanted.index, progress));
    for (std::size_t i = 0; i < sources.size(); ++i) {
        const ExportSource &part = wanted.parts[i];
        if (wanted.layout == Layout::VolumeExport)
            TRY(writer->addVolume(part.folder, sources[i].rootfs));
        else
            TRY(writer->add({part.folder, part.backup, part.metadata,
                             sources[i].templates ? &sources[i].templates : nullptr, sources[i].rootfs}));
    }
    return writer->close();
}

Result<Exported> packStreams(const Fd &to, const ExportJob &wanted, const Fd &streams, Progress &progress)
{
    const auto writer = TRY(ExportWriter::open(to, wanted.compression, wanted.index, progress));
    TRY(writer->addHeader(wanted.header));
    for (const ExportSource &part : wanted.parts)
        TRY(writer->addStream(streams, part.folder));
    return writer->close();
}

Result<Exported> packImage(const Fd &to, const ExportJob &wanted, const std::vector<OpenedSource> &sources,
                           std::optional<SquashfsWriter> &squashfs, Progress &progress)
{
    if (sources.size() != 1)
        return Error(Code::Corrupt, "the job of an image is to name one tree");
    const OpenedSource &source = sources.front();
    const ImageParts parts{wanted.parts.front().metadata, source.templates ? &source.templates : nullptr, source.rootfs};
    if (!squashfs)
        return images::packImage(parts, to, wanted.compression, progress);
    auto packed = images::packImage(parts, squashfs->input(), wanted.compression, progress);
    const SquashfsWriter::Written written = TRY(squashfs->finish()); // first: where it failed, so did writing to it
    Exported done = TRY(std::move(packed));
    done.size = written.size;
    done.hash = written.hash;
    return done;
}

Status pack(const Job &job)
{
    rlimit open{};
    TRY(sys::call("getrlimit", {}, [&] { return ::getrlimit(RLIMIT_NOFILE, &open); }));
    open.rlim_cur = std::min(kMostFiles, open.rlim_max);
    TRY(sys::call("setrlimit", {}, [&] { return ::setrlimit(RLIMIT_NOFILE, &open); }));
    TRY(sys::call("lseek", {}, [&] { return ::lseek(job.file.get(), 0, SEEK_SET); }));
    const ExportJob wanted = TRY(decodeExportJob(TRY(files::readAll(job.file, kLongestJob))));
    std::optional<SquashfsWriter> squashfs;
    if (wanted.compression == Compression::Squashfs)
        squashfs = TRY(SquashfsWriter::start(job.target)); // now: what is shut in starts no process
    const bool ofStreams = wanted.layout == Layout::StreamExport;
    const std::vector<OpenedSource> sources = ofStreams ? std::vector<OpenedSource>() : TRY(openSources(wanted));
    const Fd streams = ofStreams ? TRY(sys::open(wanted.streams, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)) : Fd();
    std::vector<const Fd *> trees;
    if (streams)
        trees.push_back(&streams);
    for (const OpenedSource &source : sources)
        for (const Fd *tree : {&source.rootfs, &source.templates})
            if (*tree)
                trees.push_back(tree);
    TRY(shutInPacker(trees));
    HelperProgress progress(job.report);
    const Exported done = TRY(ofStreams                           ? packStreams(job.target, wanted, streams, progress)
                              : wanted.layout == Layout::Unified ? packImage(job.target, wanted, sources, squashfs, progress)
                                                                 : packInstance(job.target, wanted, sources, progress));
    sendReport(job.report, ReportKind::Hash, encodeExported(done));
    return {};
}

Status work(std::span<char *const> args, Job &job)
{
    TRY(parseArguments(args, job));
    if (job.work == "pack") {
        Status done = pack(job);
        return done || done.error().errnum != EPIPE ? done : Status(std::move(done.error()).as(Code::Cancelled));
    }
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
    Job job;
    return readArchive(job.report, [&] { return work(args, job); });
}

} // namespace lxmgr::helper
