// Base64 of RFC 4648, section 4.
#pragma once

#include "base/result.h"

#include <string>
#include <string_view>

namespace lxmgr
{

std::string base64Encode(std::string_view bytes);
/// White space is passed over. Invalid for anything else that is no base64.
Result<std::string> base64Decode(std::string_view text);

} // namespace lxmgr
