// Base64 (RFC 4648, section 4) of what people pass on as text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lxmgr
{

/// Nothing for what is no base64; padding may be missing.
std::optional<std::string> decodeBase64(std::string_view text);

} // namespace lxmgr
