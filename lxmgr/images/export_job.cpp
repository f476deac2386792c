#include "images/export_job.h"

#include "images/unpack.h"
#include "kernel/files.h"
#include "kernel/sys.h"

#include <fcntl.h>
#include <sstream>
#include <sys/mman.h>
#include <unistd.h>

namespace lxmgr::images
{

namespace
{

/// What is read back must come from the disk.
void forgetCached(const Fd &file) { (void)::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED); } // a wish, no more

} // namespace

void putSource(PieceWriter &pieces, const ExportSource &part)
{
    for (const std::string *text : {&part.folder, &part.backup, &part.metadata, &part.templates})
        pieces.text(*text);
    pieces.texts(part.layers);
}

Result<ExportSource> takeSource(PieceReader &pieces)
{
    ExportSource part;
    for (std::string *text : {&part.folder, &part.backup, &part.metadata, &part.templates})
        *text = TRY(pieces.text());
    part.layers = TRY(pieces.texts());
    return part;
}

std::string encodeExportJob(const ExportJob &job)
{
    PieceWriter pieces;
    pieces.number(static_cast<std::uint64_t>(job.layout));
    pieces.number(static_cast<std::uint64_t>(job.compression));
    for (const std::string *text : {&job.index, &job.streams, &job.header})
        pieces.text(*text);
    pieces.number(job.parts.size());
    for (const ExportSource &part : job.parts)
        putSource(pieces, part);
    return std::move(pieces).take();
}

Result<ExportJob> decodeExportJob(std::string_view bytes)
{
    PieceReader pieces(bytes);
    ExportJob job;
    job.layout = static_cast<Layout>(TRY(pieces.number()));
    job.compression = static_cast<Compression>(TRY(pieces.number()));
    for (std::string *text : {&job.index, &job.streams, &job.header})
        *text = TRY(pieces.text());
    for (std::uint64_t left = TRY(pieces.number()); left > 0; --left)
        job.parts.push_back(TRY(takeSource(pieces)));
    return job;
}

std::string encodeExported(const Exported &exported)
{
    return std::to_string(exported.size.count) + " " + exported.hash + " " + exported.content + " " +
           std::to_string(exported.socketsLeftOut);
}

Result<Exported> decodeExported(const std::string &text)
{
    Exported exported;
    std::istringstream words(text);
    words >> exported.size.count >> exported.hash >> exported.content >> exported.socketsLeftOut;
    return words ? Result<Exported>(std::move(exported)) : Error(Code::Corrupt, "the helper's result cannot be read");
}

Result<Exported> packExport(const std::string &helper, const ExportJob &job, const Fd &to, Progress &progress)
{
    const Fd words = TRY(sys::memfd_create("export", MFD_CLOEXEC));
    TRY(files::writeAll(words, encodeExportJob(job)));
    const Unpacked done = TRY(unpackArchive({helper, words, nullptr, &to, {}, UnpackWork::Pack}, progress));
    return decodeExported(done.hash);
}

Status verifyExport(const std::string &helper, const Fd &file, const Exported &exported, Progress &progress)
{
    TRY(sys::fsync(file));
    forgetCached(file);
    Sha256 hash;
    TRY(hashFile(file, hash, progress));
    if (hash.finish() != exported.hash)
        return Error(Code::Corrupt, "what was read back is not what was written: the disk or the memory is faulty");
    const Unpacked read = TRY(unpackArchive({helper, file, nullptr, nullptr, {}, UnpackWork::ContentHash}, progress));
    if (read.hash != exported.content)
        return Error(Code::Corrupt, "the archive does not hold what was put into it");
    return {};
}

} // namespace lxmgr::images
