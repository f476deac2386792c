// Passwords as they are kept: never themselves, only what costs time and memory to try (scrypt, RFC 7914).
#pragma once

#include "base/result.h"

#include <string>
#include <string_view>

namespace lxmgr::tls
{

/// "$scrypt$ln=15,r=8,p=1$<salt>$<key>" with a salt of its own: 32 MiB and about a tenth of a second for each try.
Result<std::string> hashPassword(std::string_view password);
/// Whether `hash` was made of `password`; in the same time for each wrong one. False for a hash of another form.
bool isPassword(std::string_view password, std::string_view hash);

} // namespace lxmgr::tls
