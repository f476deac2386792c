// What the parsers of values share.
#pragma once

#include "base/result.h"
#include "base/text.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::config
{

/// Invalid: "'x' is not …".
inline Error bad(std::string_view text, std::string_view why) { return {Code::Invalid, quoted(text) + " " + std::string(why)}; }

inline bool isDigit(char c) { return c >= '0' && c <= '9'; }
inline bool isLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
/// -1: none, or not in lower case.
inline int hexDigit(char c) { return isDigit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

/// "0-2,5" is {0,1,2,5}: sorted, no doubles, at least one.
Result<std::vector<std::uint32_t>> parseNumbers(std::string_view text, std::uint32_t least, std::uint32_t most);
std::string formatNumbers(const std::vector<std::uint32_t> &numbers);

} // namespace lxmgr::config
