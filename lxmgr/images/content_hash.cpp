#include "images/content_hash.h"

#include <algorithm>
#include <archive_entry.h>

namespace lxmgr::images
{

namespace
{

std::span<const std::byte> bytesOf(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

} // namespace

void ContentHash::add(std::uint64_t number)
{
    m_hash.update(bytesOf({reinterpret_cast<const char *>(&number), sizeof number}));
}

void ContentHash::add(std::string_view text)
{
    add(text.size());
    m_hash.update(bytesOf(text));
}

void ContentHash::begin(std::string_view path, archive_entry *entry)
{
    flush();
    while (path.ends_with('/'))
        path.remove_suffix(1); // folders have one in a tar archive
    add(path);
    const char *hardLink = ::archive_entry_hardlink(entry);
    const char *target = hardLink ? hardLink : ::archive_entry_symlink(entry);
    add(std::string_view(target ? target : ""));
    if (hardLink)
        return; // the rest is that of the file it names
    add(::archive_entry_mode(entry));
    add(static_cast<std::uint64_t>(::archive_entry_uid(entry)));
    add(static_cast<std::uint64_t>(::archive_entry_gid(entry)));
    add(::archive_entry_filetype(entry) == AE_IFREG ? static_cast<std::uint64_t>(::archive_entry_size(entry)) : 0);
}

void ContentHash::data(std::uint64_t offset, std::string_view bytes)
{
    while (!bytes.empty()) {
        const std::uint64_t piece = offset / kPiece;
        if (m_buffer.empty() || piece != m_piece) {
            flush();
            m_piece = piece;
            m_buffer.assign(kPiece, '\0');
        }
        const std::uint64_t at = offset % kPiece;
        const std::size_t length = std::min<std::size_t>(bytes.size(), kPiece - at);
        std::ranges::copy(bytes.substr(0, length), m_buffer.begin() + static_cast<std::ptrdiff_t>(at));
        bytes.remove_prefix(length);
        offset += length;
    }
}

/// A piece of nothing but zeros is the same as a hole.
void ContentHash::flush()
{
    if (m_buffer.find_first_not_of('\0') != std::string::npos) {
        add(m_piece);
        m_hash.update(bytesOf(m_buffer));
    }
    m_buffer.clear();
}

std::string ContentHash::finish()
{
    flush();
    return m_hash.finish();
}

} // namespace lxmgr::images
