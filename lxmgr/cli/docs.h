// Manual pages: prose with lines "@TABLE name@" that are replaced by tables made of what the program itself reads.
#pragma once

#include "base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::cli
{

/// Names that may stand in "@TABLE name@".
std::vector<std::string_view> docTables();
/// The table as roff (man(7)); Usage for an unknown name.
Result<std::string> docTable(std::string_view name);
/// `page` with every "@TABLE name@" line replaced and "@VERSION@" filled in; Usage with the line of an unknown one.
Result<std::string> fillPage(std::string_view page);
/// The REST API as an OpenAPI 3 document: JSON.
std::string openApi();

} // namespace lxmgr::cli
