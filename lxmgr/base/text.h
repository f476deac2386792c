// Text: splitting, quoting, and the one checked parser for numbers, booleans and sizes.
#pragma once

#include "base/result.h"
#include "base/types.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr
{

/// Parts between `separator`, empty ones included; "" gives {}.
std::vector<std::string> split(std::string_view text, char separator);
/// Words between runs of white space.
std::vector<std::string> words(std::string_view text);
std::string join(std::span<const std::string> parts, std::string_view separator);
std::string_view trimmed(std::string_view text);
std::string lower(std::string_view text);
std::string upper(std::string_view text);

/// Control bytes and invalid UTF-8 as \xNN (newline and tab too), so that the text is safe on a terminal and in a line.
std::string escaped(std::string_view text);
struct Quoted {
    std::string operator()(std::string_view text) const;
};
/// 'text', with control bytes escaped. An object: a function would lose to std::quoted, which argument-dependent lookup
/// finds for a std::string as soon as some header of the library brings it.
inline constexpr Quoted quoted;
bool isValidUtf8(std::string_view text);
/// `text` with U+FFFD for every byte that is no UTF-8.
std::string asUtf8(std::string_view text);

std::string toHex(std::span<const unsigned char> bytes);
/// FNV-1a: to tell names apart, not against anybody.
std::uint64_t nameHash(std::string_view text);

/// Decimal digits only (no sign, no space), within [least, most]. Invalid otherwise, saying the range.
Result<std::uint64_t> parseUnsigned(std::string_view text, std::uint64_t least = 0, std::uint64_t most = UINT64_MAX);
Result<std::int64_t> parseSigned(std::string_view text, std::int64_t least = INT64_MIN, std::int64_t most = INT64_MAX);
/// true/false, 1/0, yes/no, on/off in any case.
Result<bool> parseBool(std::string_view text);
/// "512MiB", "2GB", "100": plain bytes or B kB MB GB TB PB EB (1000) and KiB MiB GiB TiB PiB EiB (1024).
Result<Bytes> parseBytes(std::string_view text);
/// Shortest exact form in binary units ("512MiB", "1500").
std::string formatBytes(Bytes size);
/// For people: "1.50MiB", "12B".
std::string humanBytes(Bytes size);

/// The candidate nearest to `text` (edit distance at most a third of its length), for "did you mean".
std::optional<std::string> nearest(std::string_view text, std::span<const std::string_view> candidates);

} // namespace lxmgr
