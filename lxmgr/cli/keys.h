// "key=value" as users write it.
#pragma once

#include "base/result.h"

#include <span>
#include <string>
#include <vector>

namespace lxmgr::cli
{

struct KeyValue {
    std::string key;
    std::string value;
};
/// Usage without a "=" or a key in front of it.
Result<KeyValue> keyValue(const std::string &text);
/// The same for many; the old form "key value" is one pair, and a value "-" is read from standard input.
Result<std::vector<KeyValue>> keyValues(std::span<const std::string> texts);

} // namespace lxmgr::cli
