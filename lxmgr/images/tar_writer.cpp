#include "images/tar_writer.h"

#include "base/text.h"
#include "images/attributes.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <unistd.h>
#include <vector>

namespace lxmgr::images
{

namespace
{

constexpr std::size_t kChunk = 1 << 20;

struct Filter {
    Compression compression;
    int (*add)(archive *);
    const char *options;
};

constexpr Filter kFilters[] = {
    {Compression::None,  &::archive_write_add_filter_none,  ""                                       },
    {Compression::Gzip,  &::archive_write_add_filter_gzip,  "gzip:!timestamp"                        },
    {Compression::Zstd,  &::archive_write_add_filter_zstd,  "zstd:compression-level=3,zstd:threads=0"}, // 0: all cores
    {Compression::Xz,    &::archive_write_add_filter_xz,    "xz:threads=0"                           },
    {Compression::Bzip2, &::archive_write_add_filter_bzip2, ""                                       },
    {Compression::Lzma,  &::archive_write_add_filter_lzma,  ""                                       },
};

constexpr int kMostPieces = 4096; ///< Of a file with holes; one in more pieces is written whole.

/// Tells `entry` where the data of `file` is, if it has holes.
Status addHoles(const Fd &file, archive_entry *entry, const struct stat &info)
{
    if (info.st_blocks * 512 >= info.st_size)
        return {};
    std::vector<std::pair<off_t, off_t>> pieces;
    for (off_t at = 0; at < info.st_size;) {
        const off_t data = ::lseek(file.get(), at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break; // nothing but a hole follows
        const off_t hole = data < 0 ? data : ::lseek(file.get(), data, SEEK_HOLE);
        if (hole < 0)
            return Error::fromErrno(errno, "lseek");
        pieces.emplace_back(data, std::min(hole, info.st_size) - data);
        if (pieces.size() > kMostPieces)
            return {};
        at = hole;
    }
    if (pieces.empty())
        pieces.emplace_back(0, 0);
    for (const auto &[offset, length] : pieces)
        ::archive_entry_sparse_add_entry(entry, offset, length);
    return {};
}

} // namespace

void TarWriter::FreeEntry::operator()(archive_entry *entry) const { ::archive_entry_free(entry); }

TarWriter::TarWriter(const Fd &to, Progress &progress)
    : m_sink{to, {}, 0, {}}, m_archive(::archive_write_new()), m_progress(progress), m_buffer(kChunk, '\0')
{
}

TarWriter::~TarWriter()
{
    (void)::archive_write_fail(m_archive); // else freeing an unfinished one would write its end
    ::archive_write_free(m_archive);
}

long TarWriter::writeSink(archive *, void *data, const void *bytes, std::size_t size)
{
    auto &sink = *static_cast<Sink *>(data);
    sink.hash.update(std::span(static_cast<const std::byte *>(bytes), size));
    sink.size += size;
    sink.status = files::writeAll(sink.file, {static_cast<const char *>(bytes), size});
    return sink.status ? static_cast<long>(size) : -1;
}

Status TarWriter::check(int status) const
{
    if (status >= ARCHIVE_WARN)
        return {};
    TRY(m_sink.status); // the disk's own words, if it was the disk
    const char *why = ::archive_error_string(m_archive);
    return Error(Code::Internal, std::string("write archive: ") + (why ? why : "unknown reason"));
}

Status TarWriter::open(Compression compression, For use)
{
    const auto filter = std::ranges::find(kFilters, compression, &Filter::compression);
    TRY(check(filter->add(m_archive)));
    const bool isImage = use != For::Export;
    m_holes = use != For::Squashfs;
    TRY(check(isImage ? ::archive_write_set_format_pax_restricted(m_archive)
                      : ::archive_write_set_format_pax(m_archive)));
    // Names that are no UTF-8, or all, are bytes: nothing is translated, whatever the locale. Attributes in the one
    // form that everybody reads.
    TRY(check(::archive_write_set_options(m_archive,
                                          isImage ? "hdrcharset=BINARY,xattrheader=SCHILY" : "xattrheader=SCHILY")));
    if (*filter->options)
        TRY(check(::archive_write_set_options(m_archive, filter->options)));
    TRY(check(::archive_write_set_bytes_in_last_block(m_archive, 1)));
    return check(::archive_write_open(m_archive, &m_sink, nullptr, &writeSink, nullptr));
}

Status TarWriter::close() { return check(::archive_write_close(m_archive)); }

TarWriter::Entry TarWriter::makeEntry(const std::string &path, const struct stat &info) const
{
    Entry entry(::archive_entry_new2(m_archive));
    ::archive_entry_set_pathname(entry.get(), path.c_str());
    ::archive_entry_set_mode(entry.get(), info.st_mode);
    ::archive_entry_set_uid(entry.get(), info.st_uid);
    ::archive_entry_set_gid(entry.get(), info.st_gid);
    ::archive_entry_set_mtime(entry.get(), info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
    ::archive_entry_set_size(entry.get(), S_ISREG(info.st_mode) ? info.st_size : 0);
    if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode))
        ::archive_entry_set_rdev(entry.get(), info.st_rdev);
    return entry;
}

Status TarWriter::begin(const Entry &entry, const std::string &path)
{
    m_content.begin(path, entry.get());
    return check(::archive_write_header(m_archive, entry.get()));
}

Status TarWriter::addFile(const std::string &path, const std::string &content, unsigned mode)
{
    struct stat info {
    };
    info.st_mode = S_IFREG | mode;
    info.st_size = static_cast<off_t>(content.size());
    info.st_mtim.tv_sec = ::time(nullptr);
    TRY(begin(makeEntry(path, info), path));
    m_content.data(0, content);
    return ::archive_write_data(m_archive, content.data(), content.size()) < 0 ? check(ARCHIVE_FATAL) : Status();
}

Status TarWriter::addEmptyFolder(const std::string &path, unsigned mode)
{
    struct stat info {
    };
    info.st_mode = S_IFDIR | mode;
    info.st_mtim.tv_sec = ::time(nullptr);
    return begin(makeEntry(path, info), path);
}

Status TarWriter::add(const Fd &folder, const std::string &name, const std::string &path)
{
    if (m_progress.cancelled())
        return Error(Code::Cancelled, "packing was cancelled");
    const struct stat info = TRY(sys::fstatat(folder, name));
    if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
        return addOther(folder, name, path, info);
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1) {
        const auto [known, isNew] = m_links.try_emplace({info.st_dev, info.st_ino}, path);
        if (!isNew) {
            const Entry entry = makeEntry(path, info);
            ::archive_entry_set_size(entry.get(), 0);
            ::archive_entry_set_hardlink(entry.get(), known->second.c_str());
            return begin(entry, path);
        }
    }
    const Fd file = TRY(path::open(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, path::Scope::NoMount));
    return addOpened(file, path, info);
}

Status TarWriter::addTree(const Fd &root, const std::string &path)
{
    m_links.clear(); // a link into another tree of the archive would not survive one of them being left out
    return addOpened(root, path, TRY(sys::fstat(root)));
}

Status TarWriter::addOpened(const Fd &file, const std::string &path, const struct stat &info)
{
    const Entry entry = makeEntry(path, info);
    TRY(addAttributes(file, entry.get()));
    if (S_ISREG(info.st_mode) && m_holes)
        TRY(addHoles(file, entry.get(), info));
    TRY(begin(entry, path));
    return S_ISDIR(info.st_mode) ? addFolder(file, path)
                                 : addContent(file, path, static_cast<std::uint64_t>(info.st_size));
}

Status TarWriter::addFolder(const Fd &folder, const std::string &path)
{
    auto names = TRY(path::list(folder));
    std::ranges::sort(names); // the same tree gives the same file
    for (const std::string &name : names)
        TRY(add(folder, name, path + "/" + name));
    return {};
}

/// libarchive wants the bytes of holes too and drops them.
Status TarWriter::addContent(const Fd &file, const std::string &path, std::uint64_t size)
{
    for (std::uint64_t offset = 0; offset < size;) {
        if (m_progress.cancelled())
            return Error(Code::Cancelled, "packing was cancelled");
        const auto got = static_cast<std::size_t>(TRY(sys::call("read", path, [&] {
            return ::pread(file.get(), m_buffer.data(), std::min<std::uint64_t>(size - offset, kChunk),
                           static_cast<off_t>(offset));
        })));
        if (got == 0)
            return Error(Code::Internal, quoted(path) + " became shorter while it was packed");
        m_content.data(offset, {m_buffer.data(), got});
        if (::archive_write_data(m_archive, m_buffer.data(), got) < 0)
            return check(ARCHIVE_FATAL);
        offset += got;
        m_bytes += got;
        reportNow();
    }
    return {};
}

Status TarWriter::addOther(const Fd &folder, const std::string &name, const std::string &path, const struct stat &info)
{
    if (S_ISSOCK(info.st_mode)) {
        ++m_sockets;
        return {};
    }
    const Entry entry = makeEntry(path, info);
    if (S_ISLNK(info.st_mode))
        ::archive_entry_set_symlink(entry.get(), TRY(sys::readlinkat(folder, name)).c_str());
    return begin(entry, path);
}

void TarWriter::reportNow()
{
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    const std::int64_t millis = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (millis - m_reportedAt < 200)
        return;
    m_reportedAt = millis;
    m_progress.report("pack: " + humanBytes(Bytes{m_bytes}));
}

} // namespace lxmgr::images
