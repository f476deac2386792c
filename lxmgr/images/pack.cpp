#include "images/pack.h"

#include "base/text.h"
#include "images/attributes.h"
#include "images/fingerprint.h"
#include "kernel/files.h"
#include "kernel/path.h"
#include "kernel/sys.h"

#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <cerrno>
#include <ctime>
#include <fcntl.h>
#include <map>
#include <memory>
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
    {Compression::None, &::archive_write_add_filter_none, ""},
    {Compression::Gzip, &::archive_write_add_filter_gzip, "gzip:!timestamp"},
    {Compression::Zstd, &::archive_write_add_filter_zstd, "zstd:compression-level=3,zstd:threads=0"}, // 0: all cores
    {Compression::Xz, &::archive_write_add_filter_xz, "xz:threads=0"},
    {Compression::Bzip2, &::archive_write_add_filter_bzip2, ""},
    {Compression::Lzma, &::archive_write_add_filter_lzma, ""},
};

/// Where the compressed bytes go: into the file and the hash at once.
struct Sink {
    const Fd &file;
    Sha256 hash;
    Status status;
};

la_ssize_t writeSink(archive *, void *data, const void *bytes, std::size_t size)
{
    auto &sink = *static_cast<Sink *>(data);
    sink.hash.update(std::span(static_cast<const std::byte *>(bytes), size));
    sink.status = files::writeAll(sink.file, {static_cast<const char *>(bytes), size});
    return sink.status ? static_cast<la_ssize_t>(size) : -1;
}

struct FreeEntry {
    void operator()(archive_entry *entry) const { ::archive_entry_free(entry); }
};
using Entry = std::unique_ptr<archive_entry, FreeEntry>;

class Packer
{
public:
    Packer(Sink &sink, Progress &progress) : m_sink(sink), m_archive(::archive_write_new()), m_progress(progress), m_buffer(kChunk, '\0') {}
    Packer(const Packer &) = delete;
    Packer &operator=(const Packer &) = delete;
    ~Packer() { ::archive_write_free(m_archive); }

    Status open(Compression compression);
    /// `name` of `folder`, with all below it, as `path`.
    Status add(const Fd &folder, const std::string &name, const std::string &path);
    Status close() { return check(::archive_write_close(m_archive)); }

private:
    Status check(int status) const;
    Status addFolder(const Fd &folder, const std::string &path);
    Status addContent(const Fd &file, const std::string &path, std::uint64_t size);
    Status addOther(const Fd &folder, const std::string &name, const std::string &path, const struct stat &info);
    Entry makeEntry(const std::string &path, const struct stat &info) const;
    void reportNow();

    Sink &m_sink;
    archive *m_archive;
    Progress &m_progress;
    std::string m_buffer;
    std::uint64_t m_bytes = 0;
    std::int64_t m_reportedAt = 0;
    std::map<std::pair<dev_t, ino_t>, std::string> m_links;
};

Status Packer::check(int status) const
{
    if (status >= ARCHIVE_WARN)
        return {};
    TRY(m_sink.status); // the disk's own words, if it was the disk
    const char *why = ::archive_error_string(m_archive);
    return Error(Code::Internal, std::string("write archive: ") + (why ? why : "unknown reason"));
}

Status Packer::open(Compression compression)
{
    const auto filter = std::ranges::find(kFilters, compression, &Filter::compression);
    TRY(check(filter->add(m_archive)));
    TRY(check(::archive_write_set_format_pax_restricted(m_archive)));
    // Names are bytes: nothing is translated, whatever the locale.
    TRY(check(::archive_write_set_options(m_archive, "hdrcharset=BINARY")));
    if (*filter->options)
        TRY(check(::archive_write_set_options(m_archive, filter->options)));
    TRY(check(::archive_write_set_bytes_in_last_block(m_archive, 1)));
    return check(::archive_write_open(m_archive, &m_sink, nullptr, &writeSink, nullptr));
}

Entry Packer::makeEntry(const std::string &path, const struct stat &info) const
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

Status Packer::add(const Fd &folder, const std::string &name, const std::string &path)
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
            return check(::archive_write_header(m_archive, entry.get()));
        }
    }
    const Fd file = TRY(path::open(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, path::Scope::NoMount));
    const Entry entry = makeEntry(path, info);
    TRY(addAttributes(file, entry.get()));
    TRY(check(::archive_write_header(m_archive, entry.get())));
    return S_ISDIR(info.st_mode) ? addFolder(file, path) : addContent(file, path, static_cast<std::uint64_t>(info.st_size));
}

Status Packer::addFolder(const Fd &folder, const std::string &path)
{
    auto names = TRY(path::list(folder));
    std::ranges::sort(names); // the same tree gives the same file
    for (const std::string &name : names)
        TRY(add(folder, name, path + "/" + name));
    return {};
}

Status Packer::addContent(const Fd &file, const std::string &path, std::uint64_t size)
{
    while (size > 0) {
        const auto got = TRY(sys::call("read", path, [&] { return ::read(file.get(), m_buffer.data(), std::min<std::uint64_t>(size, kChunk)); }));
        if (got == 0)
            return Error(Code::Internal, quoted(path) + " became shorter while it was packed");
        if (::archive_write_data(m_archive, m_buffer.data(), static_cast<std::size_t>(got)) < 0)
            return check(ARCHIVE_FATAL);
        size -= static_cast<std::uint64_t>(got);
        m_bytes += static_cast<std::uint64_t>(got);
        reportNow();
    }
    return {};
}

Status Packer::addOther(const Fd &folder, const std::string &name, const std::string &path, const struct stat &info)
{
    if (S_ISSOCK(info.st_mode))
        return {};
    const Entry entry = makeEntry(path, info);
    if (S_ISLNK(info.st_mode))
        ::archive_entry_set_symlink(entry.get(), TRY(sys::readlinkat(folder, name)).c_str());
    return check(::archive_write_header(m_archive, entry.get()));
}

void Packer::reportNow()
{
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    const std::int64_t millis = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (millis - m_reportedAt < 200)
        return;
    m_reportedAt = millis;
    m_progress.report("pack: " + humanBytes(Bytes{m_bytes}));
}

} // namespace

Result<std::string> packTree(const Fd &tree, const Fd &file, Compression compression, Progress &progress)
{
    Sink sink{file, {}, {}};
    Packer packer(sink, progress);
    TRY(packer.open(compression));
    // metadata.yaml first: who wants to know what this is need not read on.
    TRY_IN("image tree", packer.add(tree, "metadata.yaml", "metadata.yaml"));
    if (sys::fstatat(tree, "templates"))
        TRY_IN("image tree", packer.add(tree, "templates", "templates"));
    TRY_IN("image tree", packer.add(tree, "rootfs", "rootfs"));
    TRY(packer.close());
    return sink.hash.finish();
}

} // namespace lxmgr::images
