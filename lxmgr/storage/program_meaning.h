// What the words of a program that failed mean: its text as an Error with the code and the cure that a caller acts by.
#pragma once

#include "base/result.h"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

namespace lxmgr::storage
{

/// Words of a program that say what is wrong.
struct Meaning {
    std::string_view said;
    Code code;
    std::string_view hint;
};

/// `message` as the first of `meanings` whose words are in `said`; Internal where none are.
inline Error meant(std::string message, std::string_view said, std::span<const Meaning> meanings)
{
    const auto meaning = std::ranges::find_if(meanings, [&](const Meaning &each) { return said.find(each.said) != std::string_view::npos; });
    if (meaning == meanings.end())
        return {Code::Internal, std::move(message)};
    Error error(meaning->code, std::move(message));
    return meaning->hint.empty() ? error : std::move(error).hint(std::string(meaning->hint));
}

} // namespace lxmgr::storage
