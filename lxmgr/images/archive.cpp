#include "images/archive.h"

#include "base/text.h"

#include <archive.h>
#include <archive_entry.h>
#include <cerrno>
#include <string_view>
#include <unistd.h>

namespace lxmgr::images
{

namespace
{

constexpr std::size_t kBlock = 256 * 1024;
constexpr std::size_t kLongestName = 4096;

struct Magic {
    std::string_view bytes;
    std::string_view extension;
    FileKind kind;
};

using namespace std::string_view_literals;
constexpr Magic kMagics[] = {
    {"hsqs"sv, ".squashfs", FileKind::Squashfs},
    {"\x1f\x8b"sv, ".tar.gz", FileKind::Tar},
    {"\xfd""7zXZ\0"sv, ".tar.xz", FileKind::Tar},
    {"BZh"sv, ".tar.bz2", FileKind::Tar},
    {"\x28\xb5\x2f\xfd"sv, ".tar.zst", FileKind::Tar},
    {"\x5d\0\0"sv, ".tar.lzma", FileKind::Tar},
    {"QFI\xfb"sv, ".qcow2", FileKind::DiskImage},
};

Result<const Magic *> magicOf(const Fd &file)
{
    char first[16] = {};
    const ssize_t length = ::pread(file.get(), first, sizeof first, 0);
    if (length < 0)
        return Error::fromErrno(errno, "read");
    if (length == 0)
        return Error(Code::Invalid, "the file is empty");
    for (const Magic &magic : kMagics)
        if (std::string_view(first, static_cast<std::size_t>(length)).starts_with(magic.bytes))
            return &magic;
    return static_cast<const Magic *>(nullptr);
}

} // namespace

Result<FileKind> fileKind(const Fd &file)
{
    const Magic *magic = TRY(magicOf(file));
    return magic ? magic->kind : FileKind::Tar; // libarchive says if it is none
}

Result<std::string> fileExtension(const Fd &file)
{
    const Magic *magic = TRY(magicOf(file));
    return std::string(magic ? magic->extension : ".tar");
}

void TarReader::Close::operator()(archive *handle) const { ::archive_read_free(handle); }

Error TarReader::fail(const std::string &what) const
{
    const char *why = ::archive_error_string(m_archive.get());
    const int errnum = ::archive_errno(m_archive.get());
    if (errnum == ENOMEM)
        return {Code::Invalid, what + ": needs more memory than an image may take to read"};
    return {Code::Invalid, what + ": " + escaped(why ? why : "unknown format")};
}

TarReader::TarReader(TarReader &&) noexcept = default;
TarReader &TarReader::operator=(TarReader &&) noexcept = default;
TarReader::~TarReader() = default;

Result<TarReader> TarReader::create()
{
    TarReader reader(::archive_read_new());
    archive *handle = reader.m_archive.get();
    if (!handle)
        return Error(Code::Internal, "no memory for reading an archive");
    // Named one by one: "all" would also run outside programs for rare compressors.
    ::archive_read_support_filter_gzip(handle);
    ::archive_read_support_filter_bzip2(handle);
    ::archive_read_support_filter_xz(handle);
    ::archive_read_support_filter_lzma(handle);
    ::archive_read_support_filter_zstd(handle);
    ::archive_read_support_filter_lz4(handle);
    ::archive_read_support_format_tar(handle);
    return reader;
}

Result<TarReader> TarReader::open(const Fd &file)
{
    if (::lseek(file.get(), 0, SEEK_SET) < 0)
        return Error::fromErrno(errno, "lseek");
    TarReader reader = TRY(create());
    if (::archive_read_open_fd(reader.handle(), file.get(), kBlock) != ARCHIVE_OK)
        return reader.fail("not a tar archive");
    return reader;
}

Result<TarReader> TarReader::open(std::string_view bytes)
{
    TarReader reader = TRY(create());
    if (::archive_read_open_memory(reader.handle(), bytes.data(), bytes.size()) != ARCHIVE_OK)
        return reader.fail("not a tar archive");
    return reader;
}

Result<archive_entry *> TarReader::next()
{
    archive_entry *entry = nullptr;
    const int status = ::archive_read_next_header(m_archive.get(), &entry);
    if (status == ARCHIVE_EOF)
        return static_cast<archive_entry *>(nullptr);
    if (status < ARCHIVE_WARN)
        return fail(::archive_file_count(m_archive.get()) == 0 ? "not a tar archive" : "damaged tar archive");
    return entry;
}

Result<std::string> TarReader::read(std::size_t most)
{
    std::string bytes(most, '\0');
    std::size_t have = 0;
    while (have < most) {
        const la_ssize_t got = ::archive_read_data(m_archive.get(), bytes.data() + have, most - have);
        if (got < 0)
            return fail("damaged tar archive");
        if (got == 0)
            break;
        have += static_cast<std::size_t>(got);
    }
    bytes.resize(have);
    return bytes;
}

Result<bool> TarReader::readBlock(Block &block)
{
    const void *data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const int status = ::archive_read_data_block(m_archive.get(), &data, &size, &offset);
    if (status == ARCHIVE_EOF)
        return false;
    if (status < ARCHIVE_WARN || offset < 0)
        return fail("damaged tar archive");
    block = {std::span(static_cast<const std::byte *>(data), size), static_cast<std::uint64_t>(offset)};
    return true;
}

std::uint64_t TarReader::packedBytes() const { return static_cast<std::uint64_t>(::archive_filter_bytes(m_archive.get(), -1)); }
std::uint64_t TarReader::expandedBytes() const { return static_cast<std::uint64_t>(::archive_filter_bytes(m_archive.get(), 0)); }

Result<std::string> entryName(archive_entry *entry)
{
    const char *name = ::archive_entry_pathname(entry);
    if (!name)
        name = ::archive_entry_pathname_utf8(entry);
    if (!name || !*name)
        return Error(Code::Invalid, "an entry of the archive has no name that can be read");
    return std::string(name);
}

Result<std::vector<std::string>> checkedParts(const std::string &name, std::uint32_t depth)
{
    if (name.size() > kLongestName)
        return Error(Code::Invalid, "an entry's name is longer than 4096 bytes: " + quoted(name.substr(0, 64)) + "…");
    if (name.front() == '/')
        return Error(Code::Invalid, "entry " + quoted(name) + " has an absolute name");
    std::vector<std::string> parts;
    for (std::string &part : split(name, '/')) {
        if (part == "..")
            return Error(Code::Invalid, "entry " + quoted(name) + " leaves the archive by '..'");
        if (part.size() > 255)
            return Error(Code::Invalid, "entry " + quoted(name) + " has a part longer than 255 bytes");
        if (!part.empty() && part != ".")
            parts.push_back(std::move(part));
    }
    if (parts.size() > depth)
        return Error(Code::Invalid, "entry " + quoted(name.substr(0, 64)) + "… is nested deeper than " + std::to_string(depth));
    return parts;
}

} // namespace lxmgr::images
