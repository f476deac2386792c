// Reading tar archives, whatever they are compressed with: libarchive with only the formats we want.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct archive;
struct archive_entry;

namespace lxmgr::images
{

/// What a file is by its first bytes.
enum class FileKind { Tar, Squashfs, DiskImage };
Result<FileKind> fileKind(const Fd &file);

/// ".tar", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst", ".tar.lzma", ".squashfs": by the first bytes.
Result<std::string> fileExtension(const Fd &file);

class TarReader
{
public:
    /// Reads `file` from its start.
    static Result<TarReader> open(const Fd &file);
    /// Reads `bytes`, which outlive it.
    static Result<TarReader> open(std::string_view bytes);
    TarReader(TarReader &&) noexcept;
    TarReader &operator=(TarReader &&) noexcept;
    ~TarReader();

    /// The next entry, nullptr at the end; valid until the next call. Invalid: not a tar archive, or a damaged one.
    Result<archive_entry *> next();
    /// At most `most` bytes of the current entry from where reading stands; shorter only at its end.
    Result<std::string> read(std::size_t most);
    /// The next piece of the current entry with its offset (holes are left out); false at its end.
    struct Block {
        std::span<const std::byte> bytes;
        std::uint64_t offset = 0;
    };
    Result<bool> readBlock(Block &block);
    /// Bytes taken from the file and bytes they expanded to.
    std::uint64_t packedBytes() const;
    std::uint64_t expandedBytes() const;
    archive *handle() const { return m_archive.get(); }

private:
    struct Close {
        void operator()(archive *handle) const;
    };
    explicit TarReader(archive *handle) : m_archive(handle) {}
    static Result<TarReader> create();
    Error fail(const std::string &what) const;
    std::unique_ptr<archive, Close> m_archive;
};

/// Name of an entry as it stands in the archive; Invalid when it has none.
Result<std::string> entryName(archive_entry *entry);

/// The parts of an archive's path without "." and doubled slashes. Invalid: "..", absolute, longer than 4096, deeper than `depth`.
Result<std::vector<std::string>> checkedParts(const std::string &name, std::uint32_t depth);

} // namespace lxmgr::images
