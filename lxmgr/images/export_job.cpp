#include "images/export_job.h"

#include "images/unpack.h"
#include "kernel/files.h"
#include "kernel/sys.h"

#include <cstring>
#include <fcntl.h>
#include <sstream>
#include <sys/mman.h>
#include <unistd.h>

namespace lxmgr::images
{

namespace
{

void append(std::string &bytes, std::uint64_t number)
{
    bytes.append(reinterpret_cast<const char *>(&number), sizeof number);
}

void append(std::string &bytes, std::string_view text)
{
    append(bytes, text.size());
    bytes.append(text);
}

/// Takes what append put, piece by piece.
class Pieces
{
public:
    explicit Pieces(std::string_view bytes) : m_rest(bytes) {}
    Result<std::uint64_t> number()
    {
        std::uint64_t number = 0;
        if (m_rest.size() < sizeof number)
            return cut();
        std::memcpy(&number, m_rest.data(), sizeof number);
        m_rest.remove_prefix(sizeof number);
        return number;
    }
    Result<std::string> text()
    {
        const std::uint64_t size = TRY(number());
        if (size > m_rest.size())
            return cut();
        std::string text(m_rest.substr(0, size));
        m_rest.remove_prefix(size);
        return text;
    }

private:
    static Error cut() { return {Code::Corrupt, "the job of an export cannot be read"}; }
    std::string_view m_rest;
};

/// What is read back must come from the disk.
void forgetCached(const Fd &file) { (void)::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED); } // a wish, no more

} // namespace

std::string encodeExportJob(const ExportJob &job)
{
    std::string bytes;
    append(bytes, static_cast<std::uint64_t>(job.layout));
    append(bytes, static_cast<std::uint64_t>(job.compression));
    append(bytes, job.index);
    append(bytes, job.parts.size());
    for (const ExportSource &part : job.parts) {
        for (const std::string *text : {&part.folder, &part.backup, &part.metadata, &part.templates})
            append(bytes, *text);
        append(bytes, part.layers.size());
        for (const std::string &layer : part.layers)
            append(bytes, layer);
    }
    return bytes;
}

Result<ExportJob> decodeExportJob(std::string_view bytes)
{
    Pieces pieces(bytes);
    ExportJob job;
    job.layout = static_cast<Layout>(TRY(pieces.number()));
    job.compression = static_cast<Compression>(TRY(pieces.number()));
    job.index = TRY(pieces.text());
    const std::uint64_t parts = TRY(pieces.number());
    for (std::uint64_t i = 0; i < parts; ++i) {
        ExportSource part;
        for (std::string *text : {&part.folder, &part.backup, &part.metadata, &part.templates})
            *text = TRY(pieces.text());
        const std::uint64_t layers = TRY(pieces.number());
        for (std::uint64_t layer = 0; layer < layers; ++layer)
            part.layers.push_back(TRY(pieces.text()));
        job.parts.push_back(std::move(part));
    }
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
