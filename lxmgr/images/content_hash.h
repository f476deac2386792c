// What an archive says, whatever its compression and the way it puts holes: names, kinds and bytes, as one hash.
// Whoever wrote an archive compares it with that of whoever read it back.
#pragma once

#include "images/fingerprint.h"

#include <cstdint>
#include <string>
#include <string_view>

struct archive_entry;

namespace lxmgr::images
{

class ContentHash
{
public:
    /// An entry begins; its bytes follow in rising order, zeros may be left out.
    void begin(std::string_view path, archive_entry *entry);
    void data(std::uint64_t offset, std::string_view bytes);
    std::string finish();

private:
    static constexpr std::uint64_t kPiece = 64 * 1024;
    void add(std::uint64_t number);
    void add(std::string_view text);
    void flush();

    Sha256 m_hash;
    std::uint64_t m_piece = 0;
    std::string m_buffer; ///< The piece at hand, filled with zeros; empty: none.
};

} // namespace lxmgr::images
