// Cutting a template text into pieces: plain text, {{ }} and {% %} tags with their words; comments are dropped.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::images::template_text
{

struct Place {
    std::size_t line = 1;
    std::size_t column = 1;
};

/// "line 3, column 7: why", Invalid.
Error wrong(Place place, const std::string &why);

struct Word {
    enum class Kind { Name, Text, Number, Sign, End };
    Kind kind = Kind::End;
    std::string text; ///< Text: without its quotes, escapes undone.
    Place place;
};

struct Piece {
    enum class Kind { Plain, Output, Tag };
    Kind kind = Kind::Plain;
    std::string plain;
    std::vector<Word> words; ///< Ends with Word::Kind::End.
    Place place;
};

Result<std::vector<Piece>> scan(std::string_view text);

} // namespace lxmgr::images::template_text
