// What the parsers of values share.
#pragma once

#include "base/result.h"
#include "base/text.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
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

/// One word of a key that takes one of a few.
template <class T> using Word = std::pair<std::string_view, T>;

/// Invalid: "'x' is neither a nor b", "'x' is none of a, b, c", and `note` behind it.
template <class T, std::size_t N> Result<T> parseWord(std::string_view text, const Word<T> (&words)[N], std::string_view note = {})
{
    for (const auto &[name, value] : words)
        if (name == text)
            return value;
    std::string why = N == 2 ? "is neither " : "is none of ";
    for (std::size_t i = 0; i < N; ++i)
        why += (i == 0 ? "" : N == 2 ? " nor " : ", ") + std::string(words[i].first);
    return bad(text, why + std::string(note));
}

template <class T, std::size_t N> std::string formatWord(const T &value, const Word<T> (&words)[N])
{
    for (const auto &[name, each] : words)
        if (each == value)
            return std::string(name);
    return {};
}

} // namespace lxmgr::config
