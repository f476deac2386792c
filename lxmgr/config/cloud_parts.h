// The forms that user data comes in: one text, or several in a MIME message, or one of these in base64 of gzip.
#pragma once

#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lxmgr::config
{

struct CloudPart {
    enum class Kind { Config, Program };
    Kind kind = Kind::Config;
    std::string file; ///< The "file" of errors in it: the key, and which part where lines are not counted in the whole.
    std::string text; ///< Decoded. Of Config with as many empty lines in front as makes its lines those of the whole.
};

/// The parts of `text`, the value of `key`, in their order. Invalid as "<key>:<line>:<column>: what" where it is malformed,
/// Unsupported for a form that only cloud-init itself can apply. No text at all is no part.
Result<std::vector<CloudPart>> cloudParts(const std::string &key, std::string_view text);

/// What a value that is gzip in base64 stands for, as bytes; else the value itself.
std::string cloudBytes(const std::string &value);

/// Invalid: no gzip, or more than `most` bytes come out of it.
Result<std::string> gunzip(std::string_view packed, std::size_t most);

} // namespace lxmgr::config
